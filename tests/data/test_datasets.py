"""Names to data sets, the order of their images, and the cache: quick, complete or absent, never in the way."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest

from resnet_keras import data
from resnet_keras.data import datasets, shapes16, tfds
from resnet_keras.errors import UserError

from ..faults.test_security import Attack
from .conftest import noise, write


def values(classes, train, test):
    """All that a data set holds, to be compared."""
    return classes, *((part.images.shape, part.images.tobytes(), part.labels.tolist()) for part in (train, test))


def loaded(*arguments, **options):
    dataset = data.load(*arguments, **options)
    return values(dataset.classes, dataset.train, dataset.test)


@pytest.fixture
def small_shapes(monkeypatch):
    """shapes16 with a block of each split: a tenth of a second."""
    monkeypatch.setattr(shapes16, "COUNTS", {"train": shapes16.BLOCK, "test": shapes16.BLOCK})


def test_the_built_in_set_is_drawn_once_and_validation_images_are_fixed(small_shapes, monkeypatch):
    assert data.identify("shapes16") == data.Identity("shapes16", shapes16.VERSION, "shapes16")
    first = data.load("shapes16")
    assert np.array_equal(first.train.images, shapes16.draw_images("train")[0]) and first.shape == (16, 16, 3)
    monkeypatch.setattr(shapes16, "draw_images", lambda split: pytest.fail("drawn again"))
    assert loaded("shapes16") == values(first.classes, first.train, first.test) and first.validation is None

    apart = data.load("shapes16", validation=60)
    assert (len(apart.train), len(apart.validation), len(apart.test)) == (440, 60, 500)
    assert np.array_equal(np.concatenate([apart.train.images, apart.validation.images]), first.train.images)
    assert len(np.unique(apart.validation.labels)) == 10
    for count in (-1, 500):
        with pytest.raises(UserError, match=f"validation is {count}; shapes16 allows 0 to 499"):
            data.load("shapes16", validation=count)


def test_a_folder_gives_its_images_in_an_order_of_their_content(pets, arrays, tmp_path, caplog):
    dataset = data.load(pets)
    assert dataset.classes == ("ant", "cat", "dog") and dataset.shape == (5, 6, 3)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        pairs = {(i.tobytes(), dataset.classes[n]) for i, n in zip(split.images, split.labels, strict=True)}
        assert pairs == {(a.tobytes(), p.split("/")[1]) for p, a in arrays.items() if p.startswith(name)}
    assert (np.diff(dataset.train.labels) < 0).any() and dataset.train.labels.dtype == np.int32
    renamed = {f"{p.rpartition('/')[0]}/{99 - i}.png": array for i, (p, array) in enumerate(arrays.items())}
    other = write(tmp_path / "other", renamed)
    assert loaded(other) == loaded(pets) and not caplog.records
    write(other, {"train/cat/notes.txt": b"x"})  # what is left out is said, once
    assert data.identify(other) and loaded(other) == loaded(pets)
    (record,) = caplog.records
    assert record.message == "other: left out, as they are no images of a class: 1 (train/cat/notes.txt)"


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
    ("name", "hint"),
    [("cifar1O", "(near it: cifar10, cifar100"), ("pets", "give ./pets)")]
    + [(name, "") for name in (200 * "x", "x" * 5000, "a b", "a\0b", "", "cifar10/" + 300 * "y", "../x", "./z")],
)
def test_an_unknown_name_is_a_short_line(pets, monkeypatch, name, hint):
    monkeypatch.setattr(tfds, "unprepared", lambda name, root: None)  # as if the installed TFDS knew no names
    data.load(pets)  # its cache is not taken for a TFDS set
    monkeypatch.chdir(pets.parent)
    with pytest.raises(UserError, match="train/CLASS/") as caught:
        data.identify(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600 and hint in str(caught.value)


TOYS = data.Identity("toys", "1.2.3", "Toys")


def test_the_mean_is_exact_for_each_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 2, 3, 3), dtype=np.uint8)
    train = data.Split(pixels, np.zeros(7, np.int32))
    mean = data.Dataset(TOYS, ("x",), train, data.Split(255 + 0 * pixels, train.labels)).mean()
    assert mean.shape == (2, 3, 3) and mean.dtype == np.float32
    for place in np.ndindex(2, 3, 3):
        assert mean[place] == np.float32(float(Fraction(sum(int(image[place]) for image in pixels), 7)))
    many = data.Split(np.full((70_000, 1, 1, 3), 255, np.uint8), np.zeros(70_000, np.int32))
    assert (data.Dataset(TOYS, ("x",), many, many).mean() == 255).all()
    assert np.shares_memory(many[2:5].images, many.images)


# The cache


def contents():
    arrays = [np.stack([noise(i) for i in range(count)]) for count in (9, 4)]
    return ("cat", "dog"), *(data.Split(images, np.arange(len(images), dtype=np.int32) % 2) for images in arrays)


def cached(make=contents):
    return values(*datasets._cached(TOYS, make))


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["cut", "emptied", "pickle", *range(0, 100, 7)])
def test_a_damaged_entry_is_said_and_made_again(home, caplog, damage, tmp_path, monkeypatch):
    """Cut short, or a bit changed anywhere from the first byte to the last; and no pickle is opened."""
    monkeypatch.chdir(tmp_path)
    cached()
    entry = home / "cache" / "toys-1.2.3.npz"
    content = bytearray(entry.read_bytes())
    if damage == "pickle":
        np.savez(entry, train_images=np.array([Attack("mark")], dtype=object))
    elif isinstance(damage, str):
        entry.write_bytes({"cut": content[: len(content) // 2], "emptied": b""}[damage])
    else:
        content[len(content) * damage // 100] ^= 1
        entry.write_bytes(content)
    assert cached() == values(*contents())
    assert isinstance(damage, int) or "is damaged" in caplog.text
    assert cached(lambda: pytest.fail("made again")) == values(*contents())
    assert not (tmp_path / "mark").exists()


@pytest.mark.faults
def test_a_full_disk_or_no_folder_leaves_nothing_behind_and_stops_nothing(home, tmp_path, caplog, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.np, "savez", full)
    assert cached() == values(*contents())
    assert "cannot cache toys-1.2.3" in caplog.text and "No space left" in caplog.text
    assert list((home / "cache").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("RESNET_KERAS_DATA", str(write(tmp_path, {"file": b"no folder"}) / "file"))
    assert cached() == values(*contents())
    assert caplog.text.count("going on without") == 2


def test_a_cached_set_needs_neither_the_prepared_files_nor_tfds(monkeypatch):
    for version in ("3.0.2", "3.0.10"):
        datasets._cached(data.Identity("cifar10", version, "CIFAR-10"), contents)
    monkeypatch.setattr(tfds, "_tfds", lambda *_: pytest.fail("asked TFDS"))
    assert data.identify("cifar10") == data.Identity("cifar10", "3.0.10", "CIFAR-10")
    assert loaded("cifar10") == values(*contents())


def test_the_built_in_images_never_change():
    """A change of one bit needs a new VERSION, or results of different images would stand side by side."""
    assert shapes16.VERSION == "1"
    for split, count, digest in (
        ("train", 10_000, "81eded0cdfaca7af592af6b3b010dcc12b89b089e1ddf8163e14445231278e16"),
        ("test", 2_000, "b47cc72acaa9a57e63e518e4a5c550a36692ed41ab409739b8223110316dbbbe"),
    ):
        images, labels = shapes16.draw_images(split)
        assert hashlib.sha256(images.tobytes()).hexdigest() == digest and images.shape == (count, 16, 16, 3)
        assert labels.dtype == np.int32 and (np.bincount(labels) == count // 10).all()
        assert len({image.tobytes() for image in images}) == count
