"""Exported files against the network, read by other software; and files that an export must not touch."""

import json

import keras
import numpy as np
import pytest

from resnet_keras import build
from resnet_keras.errors import UserError
from resnet_keras.evaluation import export as module
from resnet_keras.evaluation.export import FORMATS, destination, export
from resnet_keras.evaluation.predict import Trained, find
from tests.models.reference import array


@pytest.fixture(scope="module")
def trained(trained_store, run_name):
    """A network trained in bfloat16."""
    return find(run_name, store=trained_store)


def reader(form, path):
    """The file in other software than this package, as a function of images."""
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        (entry,) = session.get_inputs()
        assert (entry.name, entry.type, entry.shape[1:]) == ("pictures", "tensor(uint8)", [8, 8, 3])
        return lambda images: session.run(None, {"pictures": images})[0]
    if form == "keras":
        return keras.saving.load_model(path)
    import tensorflow as tf

    if form == "litert":
        runner = tf.lite.Interpreter(str(path)).get_signature_runner()
        return lambda images: next(iter(runner(pictures=images).values()))
    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.signatures["serving_default"](pictures=tf.constant(images))["output_0"]


@pytest.mark.parametrize("form", FORMATS)
def test_other_software_gets_the_networks_logits(trained, form, tmp_path, tiny):
    for package in ("tf2onnx", "onnxruntime") if form == "onnx" else ():
        pytest.importorskip(package)
    path = export(trained, form, tmp_path / f"net{FORMATS[form]}")
    exact = trained.network
    if form != "keras":
        exact = build("resnet8", classes=4, input_shape=(8, 8, 3))  # float32, as the other formats are
        exact.set_weights(trained.network.get_weights())
    exact = array(exact(tiny.test.images[:5]))
    np.testing.assert_allclose(array(reader(form, path)(tiny.test.images[:5])), exact, atol=1e-3 * np.abs(exact).max())
    about = json.loads((tmp_path / f"{path.name}.json").read_text())
    assert about["classes"] == ["a", "b", "c", "d"] and about["input_shape"] == [8, 8, 3]
    assert 0 <= about["largest_difference"] < 1e-3
    with pytest.raises(UserError, match="--force"):
        export(trained, form, path)
    assert export(trained, form, path, replace=True) == path
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([path.name, f"{path.name}.json"])


def test_a_stage_that_runs_as_a_loop_is_written_block_by_block(tmp_path):
    onnx = pytest.importorskip("onnx")
    trained = Trained("deep", build("resnet20", classes=3, input_shape=(8, 8, 3)), ("a", "b", "c"))
    trained.network.scan_from = 2
    kinds = [node.op_type for node in onnx.load(export(trained, "onnx", tmp_path / "deep.onnx")).graph.node]
    assert "Loop" not in kinds and kinds.count("Conv") == 19


def test_what_fails_or_computes_something_else_is_one_line_and_no_file(trained, monkeypatch, tmp_path):
    read = module._reader
    monkeypatch.setattr(module, "_reader", lambda *where: lambda images: 1.01 * array(read(*where)(images)))
    with pytest.raises(UserError, match="other logits"):
        export(trained, "keras", tmp_path / "net.keras")
    monkeypatch.setattr(module, "_reader", lambda *where: 1 / 0)
    with pytest.raises(UserError, match=r"keras cannot be written here \(division by zero\)"):
        export(trained, "keras", tmp_path / "net.keras")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(module, "_write", lambda *_: None)
    with pytest.raises(UserError, match=r"onnx cannot be written .*: pip install 'resnet-keras\[export\]'"):
        export(trained, "onnx", tmp_path / "net.onnx")


def test_nothing_is_replaced_but_an_earlier_export(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, content in {
        "models/other.txt": "somebody's", "mine.keras": "mine", "package.json": '{"name": "mine"}',
        "ours/saved_model.pb": "ours",
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "ours.json").write_text(json.dumps({"sha256": module._digests(tmp_path / "ours")}))
    (tmp_path / "link").symlink_to(tmp_path / "models")
    (tmp_path / "link.keras").symlink_to(tmp_path / "gone")
    assert destination("net", "savedmodel", "ours", replace=True)
    (tmp_path / "ours" / "notes.txt").write_text("somebody's")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    for form, target in (
        ("savedmodel", "models"), ("savedmodel", "link"), ("savedmodel", "."), ("savedmodel", "models/.."),
        ("savedmodel", "package"), ("savedmodel", "ours"), ("keras", "mine.keras"), ("keras", "link.keras"),
        ("keras", "models"), ("keras", "a.onnx"), ("onnx", "gone/a.onnx"),
    ):  # fmt: skip
        with pytest.raises(UserError) as refused:
            destination("net", form, target, replace=True)
        assert "\n" not in str(refused.value)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
    path = export(trained, "keras", "net.keras")
    path.write_bytes(path.read_bytes() + b"changed")
    with pytest.raises(UserError, match="no export made it"):
        export(trained, "keras", path, replace=True)
