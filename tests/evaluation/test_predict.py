"""Networks by name, and predictions on files of every kind against the views of one and the same image."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from resnet_keras import build
from resnet_keras.data.photos import MEAN
from resnet_keras.errors import UserError
from resnet_keras.evaluation import predict as module
from resnet_keras.evaluation.predict import Trained, find, image_files, predict
from resnet_keras.store import Store
from tests.models.reference import array
from tests.test_cli import call


@pytest.fixture(scope="module")
def trained(trained_store, run_name):
    return find(run_name, store=trained_store)


# ---- Networks by name -------------------------------------------------------------------------------------------


def test_the_names_of_the_classes_travel_with_a_run_and_a_users_come_first(trained, trained_store, run_name, tmp_path):
    assert trained.classes == ("a", "b", "c", "d")
    assert (trained.network.name, trained.input_shape) == ("resnet8", (8, 8, 3))
    (tmp_path / "names.txt").write_bytes("\ufeffant\nbée\n\ncat\r\ndog\n".encode())  # with a byte-order mark
    named = find(run_name, classes=tmp_path / "names.txt", store=trained_store)
    assert named.classes == ("ant", "bée", "cat", "dog")
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    with pytest.raises(UserError, match=r"names\.txt names 2 classes, resnet8 has 4"):
        find(run_name, classes=tmp_path / "names.txt", store=trained_store)
    (tmp_path / "names.txt").write_bytes(b"\xff\xfea\x00")
    with pytest.raises(UserError, match="no UTF-8 text"):
        find(run_name, classes=tmp_path / "names.txt", store=trained_store)


def test_an_older_run_has_numbers_for_names(trained_store, run_name, tmp_path):
    folder = tmp_path / "runs" / run_name
    shutil.copytree(trained_store.run(run_name).path, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["classes"]
    (folder / "config.json").write_text(json.dumps(config))
    assert find(run_name, store=Store(tmp_path)).classes == ("class 0", "class 1", "class 2", "class 3")


def test_a_catalogue_name_with_weights(tmp_path):
    network = build("resnet18", classes=3, shortcut="B", pool_padding="both", input_shape=(64, 64, 3))
    network.set_mean(MEAN)
    network.save(tmp_path / "w.keras")
    read = find("resnet18", tmp_path / "w.keras")
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(array(read.network(images)), array(network(images)), rtol=1e-4, atol=1e-4)
    assert read.classes == ("class 0", "class 1", "class 2") and read.folder is None


def test_what_names_no_trained_network_is_refused(trained_store, run_name, tmp_path):
    file, torn = trained_store.run(run_name).network_file, tmp_path / "torn.keras"
    torn.write_bytes(file.read_bytes()[:1000])
    bare = Store(tmp_path)
    bare.run(run_name).begin(trained_store.run(run_name).config)
    for name, weights, store, says in (
        ("resnet50", None, trained_store, "--weights FILE"),
        ("nothing", None, trained_store, "resnet-keras list"),
        ("../up", None, trained_store, "not a run's name"),
        (run_name[:-1], None, trained_store, f"did you mean {run_name}"),
        (run_name, None, bare, r"no network\.keras"),
        (run_name, file, trained_store, "unknown network"),
        ("resnet14", file, trained_store, "holds resnet8, not resnet14"),
        ("resnet50", tmp_path / "gone.safetensors", trained_store, "no file"),
        ("resnet8", torn, trained_store, r"torn\.keras cannot be read"),
    ):
        with pytest.raises(UserError, match=says):
            find(name, weights, store=store)


# ---- Predictions ------------------------------------------------------------------------------------------------


def test_every_kind_of_file_is_the_same_image(trained, kinds, photograph):
    square = photograph.crop((12, 0, 108, 96)).resize((8, 8), Image.Resampling.BILINEAR)
    colour, grey = (np.asarray(square.convert(mode).convert("RGB")).astype(int) for mode in ("RGB", "L"))
    for name, path in kinds.items():
        if name.startswith("bad"):
            continue
        (prediction,) = predict(trained, [path])
        assert prediction.view.shape == (8, 8, 3) and prediction.view.dtype == np.uint8
        if name != "tiny.png":
            limit = 12 if name == "palette.gif" else 5  # of 255
            exact = grey if name in ("grey.png", "deep.png") else colour
            assert np.abs(prediction.view - exact).max() <= limit, name


def test_probabilities_are_the_networks_softmax(trained, kinds):
    (prediction,) = predict(trained, [kinds["rgb.png"]], top=4)
    logits = array(trained.network(prediction.view[None]))[0].astype(float)
    scores = np.exp(logits) / np.exp(logits).sum()
    order = np.argsort(-scores)
    assert [index for index, _, _ in prediction.top] == order.tolist()
    assert [name for _, name, _ in prediction.top] == ["abcd"[index] for index in order]
    np.testing.assert_allclose([share for _, _, share in prediction.top], scores[order], atol=0.01)  # bfloat16


def test_the_view_is_a_crop_where_the_network_was_trained_on_crops(photograph, trained, tiny):
    image = tiny.test.images[0]
    assert np.array_equal(trained.view(Image.fromarray(image)), image)  # one of the network's size is not touched
    side = round(64 * 256 / 224)
    whole = np.asarray(photograph.resize((120 * side // 96, side), Image.Resampling.BILINEAR)).astype(int)
    top, left = (side - 64) // 2, (whole.shape[1] - 64) // 2
    crop = whole[top : top + 64, left : left + 64]
    cifar = build("resnet8", classes=2, input_shape=(64, 64, 3))  # as of a run on photographs with --crop 64
    cifar.set_mean(MEAN)
    for network in (build("resnet18", classes=2, input_shape=(64, 64, 3)), cifar):
        assert np.abs(Trained("x", network, ("a", "b")).view(photograph) - crop).max() <= 2
    cifar.set_mean([120.0, 120.0, 120.0])
    fitted = photograph.crop((12, 0, 108, 96)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(Trained("x", cifar, ("a", "b")).view(photograph) - np.asarray(fitted).astype(int)).max() <= 2


def test_a_network_of_one_channel_sees_grey(photograph):
    network = build("resnet8", classes=2, input_shape=(8, 8, 1))
    grey = photograph.convert("L").crop((12, 0, 108, 96)).resize((8, 8), Image.Resampling.BILINEAR)
    view = Trained("x", network, ("a", "b")).view(photograph)
    assert view.shape == (8, 8, 1) and np.abs(view[..., 0] - np.asarray(grey).astype(int)).max() <= 2


def test_bad_files_are_named_and_the_others_go_on(trained, kinds, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    predictions = list(predict(trained, kinds.values(), top=4))
    assert [each.picture for each in predictions] == [str(path) for path in kinds.values()]
    bad = [each for each in predictions if each.error]
    assert [each.picture.rpartition("bad_")[2] for each in bad] == ["cut.jpg", "empty.jpg", "text.png"]
    assert all(each.picture in each.error and "\n" not in each.error for each in bad)
    assert all(len(each.top) == 4 for each in predictions if not each.error)


def test_the_number_of_classes(kinds):
    two = Trained("x", build("resnet8", classes=2, input_shape=(8, 8, 3)), ("a", "b"))
    (prediction,) = predict(two, [kinds["rgb.png"]])  # three by default, where there are as many
    assert len(prediction.top) == 2
    for top in (0, 3):
        with pytest.raises(UserError, match="x has 2 classes, give 1 to 2"):
            predict(two, [kinds["rgb.png"]], top=top)


def test_a_folder_stands_for_its_images(tmp_path):
    for name in ("b.png", "a.jpg", ".hidden.png", "notes.txt", "deeper/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert image_files([tmp_path, tmp_path / "gone.png"]) == [tmp_path / n for n in ("a.jpg", "b.png", "gone.png")]
    with pytest.raises(UserError, match="no file"):
        image_files([tmp_path / "gone.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        image_files([tmp_path / "empty"])


# ---- The command ------------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_json_and_a_sheet(capsys, trained_store, run_name, kinds, tmp_path):
    good, bad, results = str(kinds["rgb.png"]), str(kinds["bad_cut.jpg"]), ["--results", str(trained_store.root)]
    code, out, err = call(capsys, "predict", run_name, good, bad, "--top", "2", *results)
    assert code == 2 and len(out.splitlines()) == 2 and out.startswith(good) and "%" in out
    assert err.count("\n") == 1 and "bad_cut.jpg" in err
    sheet = tmp_path / "sheet.png"
    files = [good, bad, str(kinds["grey.png"])]
    code, out, _ = call(capsys, "predict", run_name, *files, "--json", "--sheet", str(sheet), *results)
    first, second, third = json.loads(out)
    assert code == 2 and "error" in second and first["picture"] == good and len(third["predictions"]) == 3
    assert first["predictions"][0]["class"] in "abcd"
    with Image.open(sheet) as drawn:
        assert drawn.width > 300 and drawn.height > 100


def test_names_that_no_terminal_can_show_lose_no_result(capsys, trained_store, run_name, kinds):
    strange = os.fsencode(kinds["rgb.png"].parent) + b"/caf\xe9 \xf0\x9f\x90\x88.png"
    shutil.copy(kinds["rgb.png"], strange)
    files = [os.fsdecode(strange), str(kinds["grey.png"])]
    for encoding in ("utf-8", "cp1252", "ascii"):
        sys.stdout.reconfigure(encoding=encoding, errors="strict")
        code, out, err = call(capsys, "predict", run_name, *files, "--top", "1", "--results", str(trained_store.root))
        assert (code, err) == (0, "") and len(out.splitlines()) == 2 and "caf" in out


def test_the_command_refuses_before_it_works(capsys, trained_store, run_name, kinds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(kinds["rgb.png"], "-dash.png")
    good, results = str(kinds["rgb.png"]), ["--results", str(trained_store.root)]
    for arguments, says in (
        ([run_name], "no images"),
        ([run_name, "gone.png"], "no file gone.png"),
        ([run_name, "-dash.png"], "./-dash.png"),
        ([run_name, good, "--sheet", "a.pdf"], "ending in .png"),
        ([run_name, *[good] * 201, "--sheet", "a.png"], "at most 200"),
        (["resnet50", good], "--weights"),
    ):
        code, out, err = call(capsys, "predict", *arguments, *results)
        assert code == 2 and out == "" and err.count("\n") == 1 and says in err
    code, _, err = call(capsys, "predict", run_name, "./-dash.png", *results)
    assert (code, err) == (0, "")
