"""TFDS sets: found by their files, read with TFDS, and refused with one line."""

import importlib.resources
import importlib.resources.abc
import json
import shutil
import socket
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from resnet_keras import data
from resnet_keras.data import prepared
from resnet_keras.errors import UserError


def describe(root, name, version):
    folder = root / name / version
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"name": name, "version": version}))
    return folder


def test_the_newest_version_of_the_first_root_is_found(tmp_path):
    for version in ("1.0.2", "1.0.10", "1.0.9"):
        describe(tmp_path / "a", "toys", version)
    describe(tmp_path / "b", "toys", "2.0.0")
    (tmp_path / "a" / "toys" / "1.0.99").mkdir()  # begun and never finished
    describe(tmp_path / "a", "toys", "notes")
    found = prepared.find("toys", [tmp_path / "none", tmp_path / "a", tmp_path / "b"])
    assert found == tmp_path / "a" / "toys" / "1.0.10"
    assert prepared.version(found) == "1.0.10"
    assert prepared.find("other", [tmp_path / "a"]) is None
    assert prepared.names([tmp_path / "a"]) == ["toys"]


def test_a_configuration_is_found_by_its_path(tmp_path):
    folder = describe(tmp_path, "toys/blue", "1.0.0")
    assert prepared.find("toys/blue", [tmp_path]) == folder


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_broken_description_is_named(tmp_path, content):
    folder = describe(tmp_path, "toys", "1.0.0")
    (folder / "dataset_info.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset_info.json cannot be read .*; prepare the set again"):
        prepared.version(folder)


def test_identify_reads_the_description_alone(home, tmp_path):
    describe(tmp_path / "tfds", "cifar10", "3.0.2")
    for place in (tmp_path, tmp_path / "tfds"):  # the folder of sets, or the one above it
        assert data.identify("cifar10", place) == data.Identity("cifar10", "3.0.2", "CIFAR-10")


class Offline:
    """A builder of TFDS whose download must not be tried."""

    info = SimpleNamespace(name="cifar10")
    data_dir = "data/tfds/cifar10/3.0.2"
    url_infos = {"https://pictures.invalid/cifar-10.tar.gz": None}  # noqa: RUF012

    def download_and_prepare(self):
        pytest.fail("tried to download")


def test_without_a_network_one_line_says_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(prepared, "getproxies", dict)
    with pytest.raises(UserError) as caught:
        prepared.download(Offline())
    said = str(caught.value)
    assert "no connection to pictures.invalid" in said
    assert "data/tfds/cifar10/3.0.2" in said and "--data shapes32" in said and 'tfds.load("cifar10"' in said
    assert "\n" not in said


def test_a_download_that_fails_is_one_line(monkeypatch):
    class Failing(Offline):
        def download_and_prepare(self):
            raise RuntimeError("checksum mismatch\nand much more")

    monkeypatch.setattr(prepared, "getproxies", lambda: {"https": "proxy"})
    with pytest.raises(UserError, match=r"cannot be downloaded \(RuntimeError: checksum mismatch\); where"):
        prepared.download(Failing())


def test_without_tfds_one_line_says_what_to_install(home, monkeypatch):
    monkeypatch.setattr(prepared, "load_keras", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r"cifar10 is in no cache, and reading it needs TensorFlow Datasets"):
        data.load("cifar10")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Four prepared sets: two fine ones, one without a test split, one without pictures. And what is in them."""
    tfds = pytest.importorskip("tensorflow_datasets")
    # TFDS writes with a backport that it does not declare; reading, which is tested here, does without.
    sys.modules.setdefault("importlib_resources", importlib.resources)
    random, stored = np.random.default_rng(3), {}
    root = tmp_path_factory.mktemp("shelf")

    def store(name, features, rows, splits=("train", "test")):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={split: list(enumerate(rows[split])) for split in splits},
            data_dir=root,
            disable_shuffling=True,
        )

    label = tfds.features.ClassLabel(names=["cat", "ant"])
    for name, channels in (("toys", 3), ("grey", 1), ("single", 3)):
        rows = {
            split: [
                {"image": random.integers(0, 256, (4, 6, channels), dtype=np.uint8), "label": i % 2}
                for i in range(count)
            ]
            for split, count in (("train", 9), ("test", 4))
        }
        image = tfds.features.Image(shape=(4, 6, channels), encoding_format="png")
        store(name, {"image": image, "label": label}, rows, ("train",) if name == "single" else ("train", "test"))
        stored[name] = rows
    words = [{"text": "a", "label": 0}]
    store("words", {"text": tfds.features.Text(), "label": label}, {"train": words, "test": words})
    return root, stored


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toys", "grey"])
def test_a_prepared_set_is_read_as_it_was_stored(home, shelf, name):
    root, rows = shelf
    found = data.load(name, root)
    assert found.identity == data.Identity(name, "1.0.0", name)
    assert found.classes == ("cat", "ant")  # the set's own order of classes
    for split in ("train", "test"):
        stored = {(np.broadcast_to(row["image"], (4, 6, 3)).tobytes(), row["label"]) for row in rows[name][split]}
        arrays = getattr(found, split)
        assert {(i.tobytes(), int(label)) for i, label in zip(arrays.images, arrays.labels, strict=True)} == stored
        assert arrays.images.shape == (len(stored), 4, 6, 3)


@pytest.mark.slow
def test_sets_that_cannot_be_used_are_refused(home, shelf):
    with pytest.raises(UserError, match=r"words/1.0.0 has no labelled pictures; only image-classification sets"):
        data.load("words", shelf[0])
    with pytest.raises(UserError, match=r"single/1.0.0 has the splits train; it must have train and test"):
        data.load("single", shelf[0])


@pytest.mark.slow
@pytest.mark.faults
def test_damaged_records_are_one_line(home, shelf, tmp_path):
    shutil.copytree(shelf[0] / "toys", tmp_path / "toys")
    for record in (tmp_path / "toys" / "1.0.0").glob("*train*"):
        record.write_bytes(record.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"^toys/1.0.0 cannot be read \([^\n]*\); prepare it again$"):
        data.load("toys", tmp_path)


@pytest.mark.slow
def test_tfds_itself_knows_the_names(home):
    """What the installed TFDS answers: version and features without a download, and None for a stranger."""
    pytest.importorskip("tensorflow_datasets")
    assert data.identify("cifar10").name == "cifar10"
    assert prepared.builder("cifar1o", home) is None
    assert prepared.builder("no name", home) is None
    assert "cifar100" in prepared.known()
    with pytest.raises(UserError, match=r"imagenet2012 is a set of photographs.*array_record"):
        prepared.builder("imagenet2012", home)
