"""Names to data sets, the order of their images, and the cache: quick, complete or absent, never in the way."""

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from resnet_keras import data
from resnet_keras.data import datasets, shapes16, tfds
from resnet_keras.errors import UserError

from ..conftest import ROOT
from .conftest import noise, write


def same(a, b):
    """Whether two data sets have equal classes, images and labels."""
    splits = ((a.train, b.train), (a.test, b.test))
    return a.classes == b.classes and all(
        np.array_equal(mine.images, other.images) and np.array_equal(mine.labels, other.labels)
        for mine, other in splits
    )


@pytest.fixture
def small_shapes(monkeypatch):
    """shapes16 with a block of each split: a tenth of a second."""
    monkeypatch.setattr(shapes16, "COUNTS", {"train": shapes16.BLOCK, "test": shapes16.BLOCK})


@pytest.fixture
def no_tfds(monkeypatch):
    """As if the installed TFDS knew no names."""
    monkeypatch.setattr(tfds, "unprepared", lambda name, root: None)


def test_the_built_in_set_is_drawn_once(small_shapes, monkeypatch):
    assert data.identify("shapes16") == data.Identity("shapes16", shapes16.VERSION, "shapes16")
    first = data.load("shapes16")
    assert np.array_equal(first.train.images, shapes16.draw_images("train")[0]) and first.shape == (16, 16, 3)
    monkeypatch.setattr(shapes16, "draw_images", lambda split: pytest.fail("drawn again"))
    assert same(data.load("shapes16"), first)


def test_validation_images_are_fixed_disjoint_and_random(small_shapes):
    everything, apart = data.load("shapes16"), data.load("shapes16", validation=60)
    assert everything.validation is None
    assert (len(apart.train), len(apart.validation), len(apart.test)) == (440, 60, 500)
    used, kept = ({image.tobytes() for image in split.images} for split in (apart.train, apart.validation))
    assert not used & kept and used | kept == {image.tobytes() for image in everything.train.images}
    assert len(np.unique(apart.validation.labels)) == 10
    for count in (-1, 500):
        with pytest.raises(UserError, match=f"validation is {count}; shapes16 allows 0 to 499 of its 500 images"):
            data.load("shapes16", validation=count)


def test_a_folder_gives_its_images_in_an_order_of_their_content(pets, arrays, tmp_path):
    dataset = data.load(pets)
    assert dataset.classes == ("ant", "cat", "dog") and dataset.shape == (5, 6, 3)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        pairs = zip(
            (image.tobytes() for image in split.images), (dataset.classes[i] for i in split.labels), strict=True
        )
        assert set(pairs) == {(a.tobytes(), p.split("/")[1]) for p, a in arrays.items() if p.startswith(name)}
    assert (np.diff(dataset.train.labels) < 0).any() and dataset.train.labels.dtype == np.int32
    renamed = {f"{p.rpartition('/')[0]}/{99 - i}.png": array for i, (p, array) in enumerate(arrays.items())}
    assert same(data.load(write(tmp_path / "other", renamed)), dataset)


def test_an_image_changed_in_place_is_read_and_what_is_left_out_is_said_once(pets, caplog):
    data.load(pets)
    write(pets, {"train/cat/0.png": noise(77)})
    assert any(np.array_equal(image, noise(77)) for image in data.load(pets).train.images)
    assert not caplog.records
    write(pets, {"train/cat/notes.txt": b"x"})
    data.identify(pets), data.load(pets), data.load(pets)
    assert [record.message for record in caplog.records] == [
        "pets: files left out, as they are no images: 1 (train/cat/notes.txt)"
    ]


def test_a_set_says_how_to_find_it_again(pets, small_shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = pets.rename(tmp_path / "cifar10")  # the name of a TFDS set, which it is not
    identity = data.identify("./cifar10")
    assert identity.source == str(folder) and identity.title == "cifar10"
    monkeypatch.chdir("/")
    assert data.identify(identity.source) == identity
    assert data.identify("shapes16").source == "shapes16"
    folder.rename(tmp_path / "gone")
    with pytest.raises(UserError, match=f"there is no folder {folder}; a folder of images must hold"):
        data.load(identity.source)


def test_a_name_that_no_file_could_bear_is_made_safe(pets):
    pets = pets.rename(pets.with_name("my pets: 2 (new)"))
    assert (data.identify(pets).name, data.identify(pets).title) == ("my_pets_2_new", "my pets: 2 (new)")
    long = data.identify(pets.rename(pets.with_name(200 * "p")))
    assert len(long.name) <= 100 and len(data.load(long.source).train) == 12


@pytest.mark.parametrize(
    "name", ["cifar1O", 200 * "x", "x" * 5000, "a b", "a\0b", "", "cifar10/" + 300 * "y", "../x", "./" + 300 * "z"]
)
def test_an_unknown_name_is_a_short_line(no_tfds, name):
    with pytest.raises(UserError) as caught:
        data.identify(name)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600 and "train/CLASS/" in message
    assert name != "cifar1O" or "no data set 'cifar1O' (near it: cifar10, cifar100" in message


def test_the_bare_name_of_a_folder_is_explained(pets, no_tfds, monkeypatch):
    data.load(pets)  # its cache is not taken for a TFDS set
    monkeypatch.chdir(pets.parent)
    with pytest.raises(UserError, match=r"no data set 'pets' \(for the folder of that name, give ./pets\)"):
        data.load("pets")
    with pytest.raises(UserError, match="there is no data folder"):
        data.identify("cifar10", pets / "nowhere")


LIGHT = """
import sys
from resnet_keras import data
for name in sys.argv[1:]:
    data.identify(name); s = data.load(name); f = s.feed(0, 4, True); f.take(0, 1); f.close()
    next(s.test.batches(4))
heavy = {"tensorflow", "keras", "jax", "tensorflow_datasets"} & set(sys.modules)
assert not heavy, heavy
"""


def test_folders_need_neither_keras_nor_tensorflow(pets, scenes):
    command = [sys.executable, "-c", LIGHT, str(pets), str(scenes)]
    run = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_mean_is_exact_for_each_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 2, 3, 3), dtype=np.uint8)
    train = data.Split(pixels, np.zeros(7, np.int32))
    mean = data.Dataset(WHO, ("x",), train, data.Split(255 + 0 * pixels, train.labels)).mean()
    assert mean.shape == (2, 3, 3) and mean.dtype == np.float32
    for place in np.ndindex(2, 3, 3):
        assert mean[place] == np.float32(float(Fraction(sum(int(image[place]) for image in pixels), 7)))
    many = data.Split(np.full((70_000, 1, 1, 3), 255, np.uint8), np.zeros(70_000, np.int32))
    assert (data.Dataset(WHO, ("x",), many, many).mean() == 255).all()
    assert np.shares_memory(many[2:5].images, many.images)


# The cache

WHO = data.Identity("toys", "1.2.3", "Toys")


def contents(seed=0):
    arrays = [np.stack([noise(seed + i) for i in range(count)]) for count in (9, 4)]
    return ("cat", "dog"), *(data.Split(images, np.arange(len(images), dtype=np.int32) % 2) for images in arrays)


def equal(a, b):
    return same(data.Dataset(WHO, *a), data.Dataset(WHO, *b))


def must_not_be_made():
    pytest.fail("made again")


@pytest.fixture
def entry(home):
    datasets._cached(WHO, contents)
    return home / "cache" / "toys-1.2.3.npz"


class Attack:
    """An object whose pickle makes a file when it is opened."""

    def __reduce__(self):
        return open, ("mark", "w")


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["cut", "emptied", "pickle", *range(0, 100, 7)])
def test_a_damaged_entry_is_said_and_made_again(entry, caplog, damage, tmp_path, monkeypatch):
    """Cut short, or a bit changed anywhere from the first byte to the last; and no pickle is opened."""
    monkeypatch.chdir(tmp_path)
    content = bytearray(entry.read_bytes())
    if damage == "pickle":
        np.savez(entry, train_images=np.array([Attack()], dtype=object))
    elif isinstance(damage, str):
        entry.write_bytes({"cut": content[: len(content) // 2], "emptied": b""}[damage])
    else:
        content[len(content) * damage // 100] ^= 1
        entry.write_bytes(content)
    assert equal(datasets._cached(WHO, contents), contents())
    assert isinstance(damage, int) or "is damaged" in caplog.text
    assert equal(datasets._cached(WHO, must_not_be_made), contents())
    assert not (tmp_path / "mark").exists()


@pytest.mark.faults
def test_a_full_disk_or_no_folder_leaves_nothing_behind_and_stops_nothing(home, tmp_path, caplog, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.np, "savez", full)
    assert equal(datasets._cached(WHO, contents), contents())
    assert "cannot cache toys-1.2.3" in caplog.text and "No space left" in caplog.text
    assert list((home / "cache").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("RESNET_KERAS_DATA", str(write(tmp_path, {"file": b"no folder"}) / "file"))
    assert equal(datasets._cached(WHO, contents), contents())
    assert caplog.text.count("going on without") == 2


def test_a_cached_set_needs_nothing_else(monkeypatch):
    """Neither the prepared files nor TFDS: the newest cached version is taken."""
    for version in ("3.0.2", "3.0.10"):
        datasets._cached(data.Identity("cifar10", version, "CIFAR-10"), contents)
    monkeypatch.setattr(tfds, "_tfds", lambda *_: pytest.fail("asked TFDS"))
    assert data.identify("cifar10") == data.Identity("cifar10", "3.0.10", "CIFAR-10")
    assert same(data.load("cifar10"), data.Dataset(None, *contents()))
