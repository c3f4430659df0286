"""TFDS sets: listed by their files, read with TFDS, and refused with one line; and CIFAR-10 (JPEG), which is made."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from resnet_keras import data
from resnet_keras.data import jpeg, tfds
from resnet_keras.errors import UserError

from ..conftest import REAL_DATA
from .conftest import noise, photograph


def describe(root, name, version):
    folder = root / name / version
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"name": name, "version": version}))
    return folder


def test_the_newest_version_of_the_first_root_is_taken(tmp_path):
    for version in ("1.0.2", "1.0.10", "1.0.9"):
        describe(tmp_path / "a", "toys", version)
    describe(tmp_path / "b", "toys", "2.0.0")
    (tmp_path / "a" / "toys" / "1.0.99").mkdir()  # begun and never finished
    describe(tmp_path / "a", "toys", "notes")
    roots = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
    assert tfds.prepared_folder("toys", roots) == tmp_path / "a" / "toys" / "1.0.10"
    assert tfds.prepared_folder("other", roots) is None
    folder = describe(tmp_path / "a", "toys/blue", "1.0.0")
    assert tfds.prepared_folder("toys/blue", roots) == folder


def test_identify_needs_no_tfds(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_tfds", lambda *_: pytest.fail("asked TFDS"))
    describe(tmp_path / "tfds", "cifar10", "3.0.2")
    for place in (tmp_path, tmp_path / "tfds"):  # the folder of sets, or the one above it
        identity = data.identify("cifar10", place)
        assert identity == data.Identity("cifar10", "3.0.2", "CIFAR-10") and identity.source == "cifar10"


class Offline:
    """A builder of TFDS whose download must not be tried."""

    info = SimpleNamespace(name="cifar10")
    data_dir = "data/tfds/cifar10/3.0.2"
    url_infos = {"https://pictures.invalid/cifar-10.tar.gz": None}  # noqa: RUF012

    def download_and_prepare(self):
        raise RuntimeError("checksum mismatch\nand much more")


def test_without_a_network_one_line_says_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no connection")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(tfds, "getproxies", dict)
    with pytest.raises(UserError) as caught:
        tfds.open_set(Offline())
    message = str(caught.value)
    assert "(OSError: no connection)" in message and "\n" not in message
    assert "data/tfds/cifar10/3.0.2" in message and "--data shapes16" in message and 'tfds.load("cifar10"' in message
    monkeypatch.setattr(tfds, "getproxies", lambda: {"https": "proxy"})
    with pytest.raises(UserError, match=r"cannot be downloaded \(RuntimeError: checksum mismatch\); where"):
        tfds.open_set(Offline())


def test_without_tfds_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(tfds, "load_keras", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"cifar10 is in no cache, and reading it needs TensorFlow Datasets"):
        data.load("cifar10")


def rows(counts, height=4, width=6, channels=3, label=lambda i: i % 2, **extra):
    return {
        split: [
            {"image": noise(100 * n + i, height, width)[..., :channels], "label": label(i), **extra} for i in range(m)
        ]
        for n, (split, m) in enumerate(counts.items())
    }


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Prepared sets, fine ones and others, and what is in them."""
    library = pytest.importorskip("tensorflow_datasets")
    kinds = library.features
    root, stored = tmp_path_factory.mktemp("shelf"), {}
    image, grey, mask = (
        kinds.Image(shape=shape, encoding_format="png") for shape in ((4, 6, 3), (4, 6, 1), (None, None, 1))
    )
    label = kinds.ClassLabel(names=["cat", "ant"])

    def store(name, content, features):
        stored[name] = content
        library.dataset_builders.store_as_tfds_dataset(
            name=name, version="1.0.0", features=kinds.FeaturesDict(features), data_dir=root, disable_shuffling=True,
            split_datasets={split: list(enumerate(part)) for split, part in content.items()},
        )  # fmt: skip

    both, usual = {"train": 9, "test": 4}, {"image": image, "label": label}
    store("toys", rows(both), usual)
    store("grey", rows(both, channels=1), {**usual, "image": grey})
    store("single", rows({"train": 9}), usual)
    store("secret", rows(both, label=lambda i: -1 if i == 3 else i % 2), usual)
    words = [{"text": "a", "label": 0}]
    store("words", {"train": words, "test": words}, {"text": kinds.Text(), "label": label})
    masked = rows({"train": 9, "validation": 4}, a_mask=np.zeros((300, 300, 1), np.uint8))
    store("masked", masked, {"a_mask": mask, **usual})
    renamed = {
        split: [{"scan": row["image"], "kind": row["label"]} for row in part] for split, part in rows(both).items()
    }
    store("renamed", renamed, {"scan": image, "kind": label})
    several = {split: [{**row, "sort": 1} for row in part] for split, part in renamed.items()}
    store("several", several, {"scan": image, "kind": label, "sort": label})
    return root, stored


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toys", "grey", "masked", "renamed"])
def test_a_prepared_set_is_read_as_it_was_stored(shelf, name):
    root, stored = shelf
    dataset = data.load(name, root)
    assert dataset.identity == data.Identity(name, "1.0.0", name)
    assert dataset.classes == ("cat", "ant")  # the set's own order of classes
    for split, part in zip(stored[name], (dataset.train, dataset.test), strict=True):
        keys = ("scan", "kind") if name == "renamed" else ("image", "label")
        wanted = [tuple(row[key] for key in keys) for row in stored[name][split]]
        wanted = {(np.broadcast_to(image, (4, 6, 3)).tobytes(), label) for image, label in wanted}
        assert {(image.tobytes(), int(label)) for image, label in zip(part.images, part.labels, strict=True)} == wanted
        assert part.images.shape == (len(wanted), 4, 6, 3)


REFUSED = {
    "words": "words/1.0.0 has no feature of kind Image; only sets of labelled images can be used",
    "several": r"several/1.0.0 has several features of kind ClassLabel \(kind, sort\)",
    "single": "single/1.0.0 has the splits train; it must have train, and test or validation",
    "secret": "secret/1.0.0, train record 3 has the label -1: a split whose labels are secret or wrong",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_set_that_cannot_be_used_is_refused(shelf, name):
    with pytest.raises(UserError, match=REFUSED[name]):
        data.load(name, shelf[0])


@pytest.mark.slow
@pytest.mark.faults
def test_damaged_records_are_one_line(shelf, tmp_path):
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
    assert tfds.unprepared("cifar1o", home) is None
    assert "cifar100" in tfds.known_names([])
    with pytest.raises(UserError, match=r"imagenet2012/5.1.0 is a set of photographs.*array_record"):
        tfds.unprepared("imagenet2012", home)


# Prepared by TFDS' own builder from two archives as image-net.org has them, by the command of data/README.md.
PREPARE = """
import sys
import tensorflow_datasets as tfds
builder = tfds.builder("imagenet2012", data_dir=sys.argv[1], file_format="array_record")
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=sys.argv[2]))
"""


def tar(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.slow
def test_imagenet2012_as_tfds_prepares_it(tmp_path):
    """Two classes, 6 training and 4 validation photographs; read, and refused where random access is missing."""
    names = ("n01440764", "n01443537")
    train = [
        (f"{name}.tar", tar([(f"{name}_{i}.JPEG", photograph(10 * k + i)) for i in range(3)]))
        for k, name in enumerate(names)
    ]
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "ILSVRC2012_img_train.tar").write_bytes(tar(train))
    validation = tar([(f"ILSVRC2012_val_{i:08d}.JPEG", photograph(100 + i)) for i in range(1, 5)])
    (tmp_path / "manual" / "ILSVRC2012_img_val.tar").write_bytes(validation)
    command = [sys.executable, "-c", PREPARE, str(tmp_path), str(tmp_path / "manual")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, env=os.environ)
    if ran.returncode:
        pytest.skip(f"TFDS cannot prepare here: {ran.stderr.strip().splitlines()[-1]}")

    dataset = data.load("imagenet2012", tmp_path, crop=32)
    assert dataset.identity == data.Identity("imagenet2012", "5.1.0", "ImageNet 2012")
    assert len(dataset.classes) == 1000 and (len(dataset.train), len(dataset.test)) == (6, 4)
    for item in map(dataset.train.read, range(6)):
        synset, number = item.where.partition("(")[2].partition(".JPEG)")[0].split("_")
        assert dataset.classes[item.label] == synset and item.source == photograph(10 * item.label + int(number))
    feed = dataset.feed(0, 6, True)
    assert sorted(feed.take(0, 1).labels[0].tolist()) == [0, 0, 0, 1, 1, 1]
    feed.close()

    about = tmp_path / "imagenet2012" / "5.1.0" / "dataset_info.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(UserError, match=r"must have been prepared .*array_record.*data/README"):
        data.load("imagenet2012", tmp_path)


# CIFAR-10 (JPEG)


def toys():
    parts = (
        data.Split(
            np.stack([noise(n + i, 4, 4).repeat(8, 0).repeat(8, 1) for i in range(n)]), np.arange(n, dtype=np.int32) % 2
        )
        for n in (7, 4)
    )
    return data.Dataset(data.Identity("toys", "1", "toys"), ("cat", "dog"), *parts)


@pytest.mark.slow
def test_the_recompressed_set_is_stored_as_tfds_stores_one(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    original = toys()
    jpeg.store(original, "toys_jpeg", tmp_path)
    made = data.load("toys_jpeg", tmp_path)
    assert (made.identity.version, made.classes, len(made.train), len(made.test)) == ("1.0.0", ("cat", "dog"), 7, 4)
    for image, label in zip(made.test.images, made.test.labels, strict=True):
        same = [i for i, known in enumerate(original.test.images) if np.abs(known.astype(int) - image).mean() < 40]
        assert [original.test.labels[i] for i in same] == [label]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no shared data beside this checkout")
def test_the_recompression_is_that_of_the_shared_set():
    """The same quantisation tables, sampling factors and Huffman tables, byte for byte, up to the coded image."""
    with tarfile.open(REAL_DATA / "cifar10_jpeg.tar.xz", "r|xz") as archive:
        member = next(member for member in archive if member.isfile())
        shared = archive.extractfile(member).read()
    (ours, *_) = (row["image"] for row in jpeg.recompressed(toys().train))
    scan = b"\xff\xda"  # where the coded image starts
    assert ours[: ours.index(scan)] == shared[: shared.index(scan)]
    with Image.open(io.BytesIO(ours)) as image:
        assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)], "4:2:0"
