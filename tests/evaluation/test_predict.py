"""Networks by name, and predictions on image files; which kinds of files and views there are: tests/data."""

import io
import json
import os
import shutil
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from resnet_keras import build
from resnet_keras.data import views
from resnet_keras.data.photos import MEAN
from resnet_keras.errors import UserError
from resnet_keras.evaluation.predict import Prediction, Trained, find, image_files, predict, sheet
from resnet_keras.store import Store
from tests.models.reference import array
from tests.test_cli import call


@pytest.fixture(scope="module")
def trained(trained_store, run_name):
    return find(run_name, store=trained_store)


@pytest.fixture(scope="module")
def photograph():
    """A picture without symmetry, 96 high and 120 wide, as a Pillow picture."""
    y, x = np.mgrid[:96, :120]
    return Image.fromarray(np.stack([2 * x, 255 - 2 * y, x + y], axis=-1).clip(0, 255).astype(np.uint8))


@pytest.fixture
def files(photograph, tmp_path):
    """The photograph in a file, one that is cut off, and it again in grey."""
    paths = [tmp_path / name for name in ("good.png", "cut.png", "grey.png")]
    photograph.save(paths[0])
    paths[1].write_bytes(paths[0].read_bytes()[:200])
    photograph.convert("L").save(paths[2])
    return list(map(str, paths))


def test_the_names_of_the_classes_travel_with_a_run_and_a_users_come_first(trained, trained_store, run_name, tmp_path):
    assert trained.classes == ("a", "b", "c", "d")
    assert (trained.network.name, trained.input_shape) == ("resnet8", (8, 8, 3))
    (tmp_path / "names.txt").write_bytes("\ufeffant\nbée\n\ncat\r\ndog\n".encode())  # with a byte-order mark
    assert find(run_name, classes=tmp_path / "names.txt", store=trained_store).classes == ("ant", "bée", "cat", "dog")
    for content, says in ((b"ant\nbee\n", "2 classes, resnet8 has 4"), (b"\xff\xfea\0", "give a UTF-8 text file")):
        (tmp_path / "names.txt").write_bytes(content)
        with pytest.raises(UserError, match=says):
            find(run_name, classes=tmp_path / "names.txt", store=trained_store)


def test_what_names_no_trained_network_is_refused(trained_store, run_name, tmp_path):
    file, bare = trained_store.run(run_name).network_file, Store(tmp_path)
    bare.run(run_name).begin(trained_store.run(run_name).config)
    for name, weights, store, says in (
        (run_name[:-1], None, trained_store, f"did you mean {run_name}"),
        (run_name, None, bare, r"no network\.keras"),
        (run_name, file, trained_store, "unknown network"),
        ("resnet14", file, trained_store, "holds resnet8, not resnet14"),
    ):
        with pytest.raises(UserError, match=says):
            find(name, weights, store=store)


def test_probabilities_are_the_networks_softmax_and_bad_files_are_named(trained, files):
    prediction, cut, grey = predict(trained, files, top=4)
    assert [prediction.picture, cut.picture, grey.picture] == files and len(grey.top) == 4
    assert cut.picture in cut.error and "\n" not in cut.error and not grey.error
    logits = array(trained.network(prediction.view[None]))[0].astype(float)
    scores = np.exp(logits) / np.exp(logits).sum()
    order = np.argsort(-scores)
    assert [index for index, _, _ in prediction.top] == order.tolist()
    assert [name for _, name, _ in prediction.top] == ["abcd"[index] for index in order]
    np.testing.assert_allclose([share for _, _, share in prediction.top], scores[order], atol=0.01)  # bfloat16


def test_the_view_is_a_crop_where_the_network_was_trained_on_crops(photograph, trained):
    cifar = build("resnet8", classes=2, input_shape=(64, 64, 3))  # as of a run on photographs with --crop 64
    cifar.set_mean(MEAN)
    crop = views.test_view(photograph, (64, 64, 3), cropped=True)
    for network in (build("resnet18", classes=2, input_shape=(64, 64, 3)), cifar):
        assert np.array_equal(Trained("x", network, ("a", "b")).view(photograph), crop)
    assert np.array_equal(trained.view(photograph), views.test_view(photograph, (8, 8, 3), cropped=False))


def test_the_number_of_classes(files):
    two = Trained("x", build("resnet8", classes=2, input_shape=(8, 8, 3)), ("a", "b"))
    for options, count in (({}, 2), ({"top": 1}, 1)):  # three by default, where there are as many
        assert [len(prediction.top) for prediction in predict(two, files[:1], **options)] == [count]


def test_a_folder_stands_for_its_images(tmp_path):
    for name in ("b.png", "a.jpg", ".hidden.png", "notes.txt", "deeper/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert image_files([tmp_path, tmp_path / "gone.png"]) == [tmp_path / n for n in ("a.jpg", "b.png", "gone.png")]
    with pytest.raises(UserError, match=r"no images at .*gone\.png"):
        image_files([tmp_path / "gone.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no images at .*empty: name files"):
        image_files([tmp_path / "empty"])


def test_the_command_prints_a_table_json_and_a_sheet(capsys, trained_store, run_name, files, tmp_path):
    results, path = ["--results", str(trained_store.root)], tmp_path / "sheet.png"
    code, out, err = call(capsys, "predict", run_name, *files[:2], "--top", "2", *results)
    assert code == 2 and len(out.splitlines()) == 2 and out.startswith(files[0]) and "%" in out
    assert err.count("\n") == 1 and "cut.png" in err
    code, out, _ = call(capsys, "predict", run_name, *files, "--json", "--sheet", str(path), *results)
    first, second, third = json.loads(out)
    assert code == 2 and "error" in second and first["picture"] == files[0] and len(third["predictions"]) == 3
    assert first["predictions"][0]["class"] in "abcd"
    with Image.open(path) as drawn:
        assert drawn.width > 300 and drawn.height > 100
    for pictures, name in ((files[:1], "a.pdf"), (files[:1] * 201, "a.png")):
        code, out, err = call(capsys, "predict", run_name, *pictures, "--sheet", str(tmp_path / name), *results)
        assert code == 2 and out == "" and err.count("\n") == 1 and "takes a file ending in .png" in err


def test_names_that_no_terminal_can_show_lose_no_result(capsys, trained_store, run_name, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["./-dash.png", os.fsdecode(b"caf\xe9 \xf0\x9f\x90\x88.png")]
    for name in names:
        shutil.copy(files[0], name)
    for encoding in ("utf-8", "cp1252", "ascii"):
        sys.stdout.reconfigure(encoding=encoding, errors="strict")
        code, out, err = call(capsys, "predict", run_name, *names, "--top", "1", "--results", str(trained_store.root))
        assert (code, err) == (0, "") and len(out.splitlines()) == 2 and "caf" in out


def test_names_are_text_and_no_mathematics_and_missing_glyphs_are_no_warning():
    view = np.zeros((8, 8, 3), np.uint8)
    names = ["$", "$x^{$", "a_b$c$", "猫 고양이 🐈", "\udce9", "x" * 300, "&<b>"]
    predictions = [Prediction(f"{name}.png", view, ((0, name, 0.7), (1, "b", 0.3))) for name in names]
    predictions.append(Prediction("grey.png", view[..., :1], ((0, "a", 1.0),)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = sheet(predictions)
    with Image.open(io.BytesIO(png)) as image:
        assert image.width > image.height > 300
    assert sheet(predictions) == png
