"""Predictions on files of every kind, against the network and against the views of one and the same picture."""

import json

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras")

from resnet_keras import build, cli  # noqa: E402
from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.inference import predict as module  # noqa: E402
from resnet_keras.inference.predict import fit, predict  # noqa: E402
from resnet_keras.inference.trained import Trained, find  # noqa: E402


@pytest.fixture(scope="module")
def trained(trained_store, run_name):
    return find(run_name, store=trained_store)


def test_every_kind_of_file_is_the_same_picture(trained, kinds, photograph):
    found = {name: next(predict(trained, [path])) for name, path in kinds.items() if not name.startswith("bad")}
    square = photograph.crop((12, 0, 108, 96)).resize((8, 8), Image.Resampling.BILINEAR)
    colour, grey = (np.asarray(square.convert(mode).convert("RGB")).astype(int) for mode in ("RGB", "L"))
    for name, prediction in found.items():
        wanted = grey if name in ("grey.png", "deep.png") else colour
        limit = 24 if name == "tiny.png" else 12 if name == "palette.gif" else 5  # of 255
        if name != "tiny.png":
            assert np.abs(prediction.view - wanted).max() <= limit, name
        assert prediction.view.shape == (8, 8, 3) and prediction.view.dtype == np.uint8


def test_probabilities_are_the_networks_softmax(trained, kinds):
    (found,) = predict(trained, [kinds["rgb.png"]], top=4)
    logits = keras.ops.convert_to_numpy(trained.network(found.view[None]))[0].astype(float)
    scores = np.exp(logits) / np.exp(logits).sum()
    order = np.argsort(-scores)
    assert [index for index, _, _ in found.top] == order.tolist()
    assert [name for _, name, _ in found.top] == ["abcd"[index] for index in order]
    np.testing.assert_allclose([share for _, _, share in found.top], scores[order], atol=0.01)  # bfloat16
    assert sum(share for _, _, share in found.top) == pytest.approx(1)


def test_a_picture_of_the_networks_size_is_not_touched(trained, tiny):
    image = tiny.test.images[0]
    assert np.array_equal(fit(Image.fromarray(image), trained), image)


def test_imagenet_networks_see_the_centre_crop(photograph):
    network = Trained("x", build("resnet18", classes=2, input_shape=(64, 64, 3)), ("a", "b"))
    side = round(64 * 256 / 224)
    whole = np.asarray(photograph.resize((120 * side // 96, side), Image.Resampling.BILINEAR)).astype(int)
    top, left = (side - 64) // 2, (whole.shape[1] - 64) // 2
    assert np.abs(fit(photograph, network) - whole[top : top + 64, left : left + 64]).max() <= 2


def test_bad_files_are_named_and_the_others_go_on(trained, kinds, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    found = list(predict(trained, kinds.values(), top=4))
    assert [each.picture for each in found] == [str(path) for path in kinds.values()]
    bad = [each for each in found if each.error]
    assert [each.picture.rpartition("bad_")[2] for each in bad] == ["cut.jpg", "empty.jpg", "text.png"]
    assert all(each.picture in each.error and "\n" not in each.error for each in bad)
    assert all(len(each.top) == 4 for each in found if not each.error)


@pytest.mark.parametrize("top", [0, 5])
def test_more_classes_than_there_are(trained, kinds, top):
    with pytest.raises(UserError, match="tells 4 classes apart"):
        predict(trained, [kinds["rgb.png"]], top=top)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return end.value.code, *capsys.readouterr()


def test_the_command_prints_a_table_json_and_a_sheet(capsys, trained_store, run_name, kinds, tmp_path):
    good, bad = kinds["rgb.png"], kinds["bad_cut.jpg"]
    code, out, err = call(capsys, "predict", run_name, good, bad, "--top", 2, "--results", trained_store.root)
    assert code == 2 and len(out.splitlines()) == 2 and out.startswith(str(good)) and "%" in out
    assert err.count("\n") == 1 and "bad_cut.jpg" in err
    sheet = tmp_path / "sheet.png"
    options = ["--json", "--sheet", sheet, "--results", trained_store.root]
    code, out, _ = call(capsys, "predict", run_name, good, bad, kinds["grey.png"], *options)
    first, second, third = json.loads(out)
    assert code == 2 and "error" in second and first["picture"] == str(good) and len(third["predictions"]) == 3
    assert first["predictions"][0]["class"] in "abcd"
    with Image.open(sheet) as drawn:
        assert drawn.width > drawn.height > 100


def test_the_command_refuses_before_it_works(capsys, trained_store, run_name, kinds, tmp_path):
    results = ["--results", trained_store.root]
    for arguments, says in (
        ([run_name], "no pictures"),
        ([run_name, kinds["rgb.png"], "--sheet", tmp_path / "a.pdf"], "ending in .png"),
        (["resnet50", kinds["rgb.png"]], "--weights"),
    ):
        code, out, err = call(capsys, "predict", *arguments, *results)
        assert code == 2 and out == "" and err.count("\n") == 1 and says in err
