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

from data import cifar10_jpeg as jpeg
from resnet_keras import data
from resnet_keras.data import tfds
from resnet_keras.errors import UserError

from ..conftest import REAL_DATA
from .conftest import noise, photograph, write


def test_the_newest_version_of_the_first_root_is_taken_without_tfds(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_tfds", lambda *_: pytest.fail("asked TFDS"))
    sets = ("a/cifar10/3.0.2", "a/cifar10/3.0.10", "a/cifar10/notes", "b/cifar10/4.0.0", "a/toys/blue/1.0.0")
    write(tmp_path, {f"{place}/dataset_info.json": b"{}" for place in sets})
    (tmp_path / "a" / "cifar10" / "3.0.99").mkdir()  # begun and never finished
    roots = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
    assert tfds.prepared_folder("cifar10", roots) == tmp_path / "a" / "cifar10" / "3.0.10"
    assert tfds.prepared_folder("toys/blue", roots) == tmp_path / "a" / "toys" / "blue" / "1.0.0"
    (tmp_path / "a").rename(tmp_path / "tfds")
    for place in (tmp_path, tmp_path / "tfds"):  # the folder of sets, or the one above it
        identity = data.identify("cifar10", place)
        assert identity == data.Identity("cifar10", "3.0.10", "CIFAR-10") and identity.source == "cifar10"
    with pytest.raises(UserError, match="there is no data folder"):
        data.identify("cifar10", tmp_path / "a")


def test_without_a_network_or_tfds_a_line_says_what_to_do(monkeypatch):
    def fails(error):
        def fail(*_, **__):
            raise error

        return fail

    builder = SimpleNamespace(
        info=SimpleNamespace(name="cifar10"), data_dir="data/cifar10/3.0.2", url_infos={"https://x.invalid/c": None},
        download_and_prepare=fails(RuntimeError("checksum mismatch\nand much more")),
    )  # fmt: skip
    monkeypatch.setattr(socket, "create_connection", fails(OSError("no connection")))
    monkeypatch.setattr(tfds, "getproxies", dict)
    monkeypatch.setattr(tfds, "_describe", lambda builder: None)
    with pytest.raises(UserError, match=r"3\.0\.2 .*\(OSError: no connection\); .*tfds\.load\(.*--data shapes16"):
        tfds.download(builder)
    monkeypatch.setattr(tfds, "getproxies", lambda: {"https": "proxy"})
    with pytest.raises(UserError, match=r"cannot be downloaded \(RuntimeError: checksum mismatch\); where"):
        tfds.download(builder)
    monkeypatch.setattr(tfds, "load_keras", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"cifar10 is in no cache, and reading it needs TensorFlow Datasets"):
        data.load("cifar10")


def rows(splits=("train", "test"), label=lambda i: i % 2, keys=("image", "label"), **extra):
    """`{split: records}`: 9 images to train on, 4 to test on."""

    def row(seed, i):
        return dict(zip(keys, (noise(seed + i, 4, 6), label(i)), strict=True)) | extra

    return {split: [row(100 * n, i) for i in range(4 if n else 9)] for n, split in enumerate(splits)}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Prepared sets, fine ones and others, and what is in them."""
    library = pytest.importorskip("tensorflow_datasets")
    kinds = library.features
    label = kinds.ClassLabel(names=["cat", "ant"])
    image, mask = (kinds.Image(shape=shape, encoding_format="png") for shape in ((4, 6, 3), (None, None, 1)))
    sets = {
        "masked": (rows(("train", "validation"), a_mask=np.zeros((300, 300, 1), np.uint8)), {"a_mask": mask}),
        "several": (rows(keys=("image", "kind"), sort=1), {"kind": label, "sort": label, "label": None}),
        "secret": (rows(label=lambda i: -1 if i == 3 else i % 2), {}), "single": (rows(["train"]), {}),
    }  # fmt: skip
    root = tmp_path_factory.mktemp("shelf")
    for name, (content, own) in sets.items():
        features = sorted(({"image": image, "label": label} | own).items())  # a mask comes first
        library.dataset_builders.store_as_tfds_dataset(
            name=name, version="1.0.0", data_dir=root, disable_shuffling=True,
            features=kinds.FeaturesDict({key: feature for key, feature in features if feature}),
            split_datasets={split: list(enumerate(part)) for split, part in content.items()},
        )  # fmt: skip
    return root, {name: content for name, (content, _) in sets.items()}


def test_a_prepared_set_is_read_as_it_was_stored(shelf):
    root, stored = shelf
    dataset = data.load("masked", root)
    assert dataset.identity == data.Identity("masked", "1.0.0", "masked")
    assert dataset.classes == ("cat", "ant")  # the set's own order of classes
    for content, part in zip(stored["masked"].values(), (dataset.train, dataset.test), strict=True):
        pairs = [list(row.values())[:2] for row in content]
        wanted = {(image.tobytes(), label) for image, label in pairs}
        assert {(image.tobytes(), int(label)) for image, label in zip(part.images, part.labels, strict=True)} == wanted
        assert part.images.shape == (len(wanted), 4, 6, 3)


@pytest.mark.faults
def test_sets_that_cannot_be_used_are_refused(shelf, tmp_path, home):
    for name, says in {
        "several": "several/1.0.0 has image, kind, sort; only sets of labelled images",
        "single": "single/1.0.0 has the splits train; it must have train, and test or validation",
        "secret": "secret/1.0.0, train record 3 has the label -1: a split whose labels are secret or wrong",
    }.items():
        with pytest.raises(UserError, match=says):
            data.load(name, shelf[0])
    shutil.copytree(shelf[0] / "masked", tmp_path / "masked")
    for record in (tmp_path / "masked" / "1.0.0").glob("*train*"):
        record.write_bytes(record.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"masked/1.0.0 cannot be read \([^\n]*\); prepare it again$"):
        data.load("masked", tmp_path)
    assert data.identify("cifar10").name == "cifar10"  # what the installed TFDS knows, without a download
    assert tfds.unprepared("cifar1o", home) is None


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
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_imagenet2012_as_tfds_prepares_it(tmp_path):
    """Two classes, 6 training and 4 validation photographs; read, and refused where random access is missing."""
    train = {
        f"{name}.tar": tar({f"{name}_{i}.JPEG": photograph(10 * k + i) for i in range(3)})
        for k, name in enumerate(("n01440764", "n01443537"))
    }
    validation = {f"ILSVRC2012_val_{i:08d}.JPEG": photograph(100 + i) for i in range(1, 5)}
    manual = {"ILSVRC2012_img_train.tar": tar(train), "ILSVRC2012_img_val.tar": tar(validation)}
    command = [sys.executable, "-c", PREPARE, str(tmp_path), str(write(tmp_path / "manual", manual))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, env=os.environ)
    if ran.returncode:
        pytest.skip(f"TFDS cannot prepare here: {ran.stderr.strip().splitlines()[-1]}")

    dataset = data.load("imagenet2012", tmp_path, crop=32)
    assert dataset.identity == data.Identity("imagenet2012", "5.1.0", "ImageNet 2012")
    assert len(dataset.classes) == 1000 and (len(dataset.train), len(dataset.test)) == (6, 4)
    for item in map(dataset.train.read, range(6)):
        synset, number = item.where.partition("(")[2].partition(".JPEG")[0].split("_")
        assert dataset.classes[item.label] == synset and item.source == photograph(10 * item.label + int(number))

    about = tmp_path / "imagenet2012" / "5.1.0" / "dataset_info.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(UserError, match=r"must have been prepared .*array_record.*data/README"):
        data.load("imagenet2012", tmp_path)


# CIFAR-10 (JPEG)


@pytest.fixture(scope="module")
def original():
    images = [np.stack([noise(n + i, 4, 4).repeat(8, 0).repeat(8, 1) for i in range(n)]) for n in (7, 4)]
    splits = (data.Split(part, np.arange(len(part), dtype=np.int32) % 2) for part in images)
    return data.Dataset(data.Identity("toys", "1", "toys"), ("cat", "dog"), *splits)


def test_the_recompressed_set_is_stored_as_tfds_stores_any(original, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    jpeg.store(original, "toys_jpeg", tmp_path)
    made = data.load("toys_jpeg", tmp_path)
    assert (made.identity.version, made.classes, len(made.train), len(made.test)) == ("1.0.0", ("cat", "dog"), 7, 4)
    for image, label in zip(made.test.images, made.test.labels, strict=True):
        same = [i for i, known in enumerate(original.test.images) if np.abs(known.astype(int) - image).mean() < 40]
        assert [original.test.labels[i] for i in same] == [label]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no shared data beside this checkout")
def test_the_recompression_is_that_of_the_shared_set(original):
    """The same quantisation tables, sampling factors and Huffman tables, byte for byte, up to the coded image."""
    with tarfile.open(REAL_DATA / "cifar10_jpeg.tar.xz", "r|xz") as archive:
        member = next(member for member in archive if member.isfile())
        shared = archive.extractfile(member).read()
    ours = next(jpeg.recompressed(original.train))["image"]
    scan = b"\xff\xda"  # where the coded image starts
    assert ours[: ours.index(scan)] == shared[: shared.index(scan)]
    with Image.open(io.BytesIO(ours)) as image:
        assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)], "4:2:0"
