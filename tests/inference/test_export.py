"""Exported files against the network, read by other software; and files that must not come to be."""

import json

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras import build  # noqa: E402
from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.inference import export as module  # noqa: E402
from resnet_keras.inference.export import FORMATS, export, float32  # noqa: E402
from resnet_keras.inference.trained import Trained, find  # noqa: E402
from resnet_keras.models import repeat  # noqa: E402


def needs(form):
    """Skip where the packages of a format are not installed."""
    for package in FORMATS[form].packages:
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def trained(trained_store, run_name):
    """A network trained in bfloat16."""
    return find(run_name, store=trained_store)


def readers(form, path):
    """The file in other software than this package, as a function of pictures."""
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        (given,) = session.get_inputs()
        assert (given.name, given.type, given.shape[1:]) == ("pictures", "tensor(uint8)", [8, 8, 3])
        return lambda pictures: session.run(None, {"pictures": pictures})[0]
    if form == "keras":
        return lambda pictures: keras.ops.convert_to_numpy(keras.saving.load_model(path)(pictures))
    import tensorflow as tf

    if form == "litert":
        runner = tf.lite.Interpreter(str(path)).get_signature_runner()
        return lambda pictures: next(iter(runner(pictures=pictures).values()))
    loaded = tf.saved_model.load(str(path))
    return lambda pictures: loaded.signatures["serving_default"](pictures=tf.constant(pictures))["output_0"].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_other_software_gets_the_networks_logits(trained, form, tmp_path, tiny):
    needs(form)
    path = export(trained, form, tmp_path / f"net{FORMATS[form].ending}")
    pictures = tiny.test.images[:5]
    logits = readers(form, path)(pictures)
    own = trained.network if form == "keras" else float32(trained.network)
    wanted = keras.ops.convert_to_numpy(own(pictures))
    np.testing.assert_allclose(logits, wanted, atol=1e-3 * np.abs(wanted).max())
    contract = json.loads((tmp_path / f"{path.name}.json").read_text())
    assert contract["classes"] == ["a", "b", "c", "d"] and contract["input"]["shape"] == ["batch", 8, 8, 3]
    assert 0 <= contract["largest_difference"] < 1e-3
    assert contract["precision"] == ("mixed_bfloat16" if form == "keras" else "float32")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([path.name, f"{path.name}.json"])


def test_the_float32_copy_is_the_same_network(trained, tiny):
    copy = float32(trained.network)
    assert copy.dtype_policy.name == "float32" and copy.blocks[0].convs[0].compute_dtype == "float32"
    pairs = zip(copy.variables, trained.network.variables, strict=True)
    assert all(np.array_equal(np.asarray(mine), np.asarray(its)) for mine, its in pairs)
    assert float32(copy) is copy


@pytest.mark.slow
def test_a_stage_that_runs_as_a_loop_is_written_block_by_block(monkeypatch, tmp_path):
    needs("onnx")
    monkeypatch.setattr(repeat, "MANY", 2)
    trained = Trained("deep", build("resnet20", classes=3, input_shape=(8, 8, 3)), ("a", "b", "c"))
    path = export(trained, "onnx", tmp_path / "deep.onnx")
    import onnx

    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert "Loop" not in kinds and kinds.count("Conv") == 19
    assert repeat.MANY == 2


def test_a_file_that_computes_something_else_is_not_kept(trained, monkeypatch, tmp_path):
    chosen = FORMATS["keras"]
    wrong = chosen._replace(read=lambda path: lambda pictures: 1.01 * chosen.read(path)(pictures))
    monkeypatch.setitem(module.FORMATS, "keras", wrong)
    with pytest.raises(UserError, match="other logits"):
        export(trained, "keras", tmp_path / "net.keras")
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_unless_it_may_go(trained, tmp_path):
    path = tmp_path / "net.keras"
    path.write_text("mine")
    with pytest.raises(UserError, match="--force"):
        export(trained, "keras", path)
    assert path.read_text() == "mine"
    export(trained, "keras", path, replace=True)
    assert keras.saving.load_model(path).name == "resnet8"


@pytest.mark.parametrize(
    ("form", "name", "says"),
    [
        ("pdf", "a", "savedmodel"),
        ("onnx", "a.tflite", r"ends in \.onnx"),
        ("keras", "gone/a.keras", "no folder"),
    ],
)
def test_mistakes_are_refused_first(trained, tmp_path, form, name, says):
    with pytest.raises(UserError, match=says):
        export(trained, form, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", FORMATS["onnx"]._replace(packages={"no_such_module": "that-package"}))
    with pytest.raises(UserError, match=r"needs that-package: pip install 'resnet-keras\[export\]'"):
        module.check("onnx")


def test_another_backend_is_told_which_to_take(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match="set KERAS_BACKEND"):
        export(trained, "litert", tmp_path / "a.tflite")
