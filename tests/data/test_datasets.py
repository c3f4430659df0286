"""Names to data sets, the order of their images, and the cache: quick, complete or absent, never in the way."""

import os
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

from resnet_keras import data
from resnet_keras.data import datasets, shapes16, tfds
from resnet_keras.errors import UserError

from ..conftest import ROOT
from .conftest import noise, write


def same(one, other):
    return one.classes == other.classes and all(
        np.array_equal(getattr(getattr(one, split), kind), getattr(getattr(other, split), kind))
        for split in ("train", "test")
        for kind in ("images", "labels")
    )


@pytest.fixture
def small_shapes(monkeypatch):
    """shapes16 with a block of each split: a tenth of a second."""
    monkeypatch.setattr(shapes16, "COUNTS", {"train": shapes16.BLOCK, "test": shapes16.BLOCK})


@pytest.fixture
def no_tfds(monkeypatch):
    """As if the installed TFDS knew three names."""
    monkeypatch.setattr(tfds, "unprepared", lambda name, root: None)
    monkeypatch.setattr(tfds, "known_names", lambda roots: {"cifar10", "cifar100", "mnist"})


def test_the_built_in_set_is_drawn_once(home, small_shapes, monkeypatch):
    assert data.identify("shapes16") == data.Identity("shapes16", shapes16.VERSION, "shapes16")
    first = data.load("shapes16")
    assert np.array_equal(first.train.images, shapes16.draw_images("train")[0]) and first.shape == (16, 16, 3)
    monkeypatch.setattr(shapes16, "draw_images", lambda split: pytest.fail("drawn again"))
    assert same(data.load("shapes16"), first)


def test_validation_images_are_fixed_disjoint_and_random(small_shapes):
    everything, apart = data.load("shapes16"), data.load("shapes16", validation=60)
    assert everything.validation is None
    assert (len(apart.train), len(apart.validation), len(apart.test)) == (440, 60, 500)
    used = {image.tobytes() for image in apart.train.images}
    kept = {image.tobytes() for image in apart.validation.images}
    assert not used & kept and used | kept == {image.tobytes() for image in everything.train.images}
    assert len(np.unique(apart.validation.labels)) == 10
    for count in (-1, 500):
        with pytest.raises(UserError, match=f"validation is {count}; shapes16 allows 0 to 499 of its 500 images"):
            data.load("shapes16", validation=count)


def test_a_folder_gives_its_images_in_an_order_of_their_content(pets, arrays, tmp_path):
    dataset = data.load(pets)
    assert dataset.classes == ("ant", "cat", "dog") and dataset.shape == (5, 6, 3)
    for split in ("train", "test"):
        part = getattr(dataset, split)
        assert part.labels.dtype == np.int32
        pairs = {
            (image.tobytes(), dataset.classes[label]) for image, label in zip(part.images, part.labels, strict=True)
        }
        assert pairs == {(a.tobytes(), p.split("/")[1]) for p, a in arrays.items() if p.startswith(split)}
    assert (np.diff(dataset.train.labels) < 0).any()
    renamed = {f"{p.rpartition('/')[0]}/{99 - i}.png": array for i, (p, array) in enumerate(arrays.items())}
    assert same(data.load(write(tmp_path / "other", renamed)), dataset)


def test_folders_of_one_name_and_other_images_are_two_sets(tmp_path, arrays):
    here, there = (write(tmp_path / place / "pets", arrays) for place in "ab")
    assert data.identify(here) == data.identify(there)
    write(there, {"train/cat/0.png": 255 - arrays["train/cat/0.png"]})
    one, other = data.identify(here), data.identify(there)
    assert (one.name, other.name) == ("pets", "pets") and one.version != other.version
    assert not same(data.load(here), data.load(there))


def test_an_image_changed_in_place_is_read_and_nothing_is_said(pets, caplog):
    data.load(pets)
    write(pets, {"train/cat/0.png": noise(77)})
    assert any(np.array_equal(image, noise(77)) for image in data.load(pets).train.images)
    assert not caplog.records


def test_what_is_left_out_is_said_once(pets, caplog):
    write(pets, {"train/cat/notes.txt": b"x"})
    data.identify(pets), data.load(pets), data.load(pets)
    assert [r.message for r in caplog.records] == [
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
    identity = data.identify(pets.rename(pets.with_name("my pets: 2 (new)")))
    assert (identity.name, identity.title) == ("my_pets_2_new", "my pets: 2 (new)")
    long = data.identify(pets.with_name("my pets: 2 (new)").rename(pets.with_name(200 * "p")))
    assert len(long.name) <= 100 and len(data.load(long.source).train) == 12


def test_an_unknown_name_lists_what_is_near_and_what_is_allowed(no_tfds):
    with pytest.raises(UserError) as caught:
        data.load("cifar1O")
    message = str(caught.value)
    assert "no data set 'cifar1O' (near it: cifar10, cifar100)" in message
    assert "shapes16" in message and "train/CLASS/" in message and "\n" not in message
    with pytest.raises(UserError, match="near it: shapes16"):
        data.load("shape32")


@pytest.mark.parametrize(
    "name", [200 * "x", "x" * 5000, "a b", "a\0b", "", "cifar10/" + 300 * "y", "../x", "./" + 300 * "z"]
)
def test_a_strange_name_is_one_short_line(no_tfds, name):
    with pytest.raises(UserError) as caught:
        data.identify(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_the_bare_name_of_a_folder_is_explained(pets, no_tfds, monkeypatch):
    data.load(pets)  # its cache is not taken for a TFDS set
    monkeypatch.chdir(pets.parent)
    with pytest.raises(UserError, match=r"no data set 'pets' \(for the folder of that name, give ./pets\)"):
        data.load("pets")


def test_a_data_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no data folder"):
        data.identify("cifar10", tmp_path / "nowhere")


LIGHT = """
import sys
from resnet_keras import data
data.identify({name!r}); s = data.load({name!r}); f = s.feed(0, 4, True); f.take(0, 1); f.close()
next(s.test.batches(4))
heavy = {{"tensorflow", "keras", "jax", "tensorflow_datasets"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_folders_need_neither_keras_nor_tensorflow(pets, scenes):
    for folder in (pets, scenes):
        command = [sys.executable, "-c", LIGHT.format(name=str(folder))]
        run = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


def test_the_mean_is_exact_for_each_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 2, 3, 3), dtype=np.uint8)
    test = data.Split(np.full((4, 2, 3, 3), 255, np.uint8), np.zeros(4, np.int32))
    dataset = data.Dataset(data.Identity("a", "1", "a"), ("x",), data.Split(pixels, np.zeros(7, np.int32)), test)
    mean = dataset.mean()
    assert mean.shape == (2, 3, 3) and mean.dtype == np.float32
    for place in np.ndindex(2, 3, 3):
        assert mean[place] == np.float32(float(Fraction(sum(int(image[place]) for image in pixels), 7)))
    many = data.Split(np.full((70_000, 1, 1, 3), 255, np.uint8), np.zeros(70_000, np.int32))
    assert (data.Dataset(dataset.identity, ("x",), many, many).mean() == 255).all()
    assert np.shares_memory(many[2:5].images, many.images)


# The cache

WHO = data.Identity("toys", "1.2.3", "Toys")


def contents(seed=0):
    parts = (
        data.Split(np.stack([noise(seed + i) for i in range(n)]), np.arange(n, dtype=np.int32) % 2) for n in (9, 4)
    )
    return ("cat", "dog"), *parts


def equal(one, other):
    return same(data.Dataset(WHO, *one), data.Dataset(WHO, *other))


def must_not_be_made():
    pytest.fail("made again")


@pytest.fixture
def entry(home):
    datasets._cached(WHO, contents)
    return home / "cache" / "toys-1.2.3.npz"


def test_what_was_cached_comes_back(entry):
    assert equal(datasets._cached(WHO, must_not_be_made), contents())
    assert list(entry.parent.iterdir()) == [entry]
    other = data.Identity("toys", "1.2.4", "Toys")
    assert equal(datasets._cached(other, lambda: contents(5)), contents(5))


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["cut", "emptied", "pickle", *range(0, 100, 7)])
def test_a_damaged_entry_is_said_and_made_again(entry, caplog, damage):
    """Cut short, or a bit changed anywhere from the first byte to the last."""
    content = bytearray(entry.read_bytes())
    if damage == "pickle":
        np.savez(entry, **{name: np.array([{}], dtype=object) for name in ("classes", "train_images", "train_labels")})
    elif isinstance(damage, str):
        entry.write_bytes({"cut": content[: len(content) // 2], "emptied": b""}[damage])
    else:
        content[len(content) * damage // 100] ^= 1
        entry.write_bytes(content)
    assert equal(datasets._cached(WHO, contents), contents())
    assert isinstance(damage, int) or "is damaged" in caplog.text
    assert equal(datasets._cached(WHO, must_not_be_made), contents())


def test_no_pickle_is_ever_opened(entry, tmp_path):
    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "mark"), "w")

    np.savez(entry, train_images=np.array([Attack()], dtype=object))
    datasets._cached(WHO, contents)
    assert not (tmp_path / "mark").exists()


MAKE = """
import time, numpy as np
from resnet_keras import data
from resnet_keras.data import datasets
def make():
    print("made", flush=True); time.sleep(1.5)
    split = data.Split(np.zeros((3, 2, 2, 3), np.uint8), np.zeros(3, np.int32))
    return ("a",), split, split
assert len(datasets._cached(data.Identity("toys", "9", "toys"), make)[1]) == 3
"""


@pytest.mark.faults
def test_one_process_makes_an_entry_and_the_others_wait(home):
    """Also where the first to make it was killed."""
    command, pipes = [sys.executable, "-c", MAKE], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    killed = subprocess.Popen(command, text=True, **pipes)
    assert killed.stdout.readline() == "made\n"
    waiting = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]
    time.sleep(0.5)
    killed.kill()
    said = [process.communicate(timeout=60) for process in waiting]
    assert [process.returncode for process in waiting] == [0, 0, 0], said
    assert sum("made" in out for out, _ in said) == 1


@pytest.mark.faults
def test_a_full_disk_leaves_nothing_behind_and_stops_nothing(home, caplog, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.np, "savez", full)
    assert equal(datasets._cached(WHO, contents), contents())
    assert "cannot cache toys-1.2.3" in caplog.text and "No space left" in caplog.text
    assert list((home / "cache").iterdir()) == []


@pytest.mark.faults
def test_a_place_where_nothing_can_be_written_stops_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RESNET_KERAS_DATA", str(write(tmp_path, {"file": b"no folder"}) / "file"))
    assert equal(datasets._cached(WHO, contents), contents())
    assert "going on without" in caplog.text


def test_a_cached_set_needs_nothing_else(monkeypatch):
    """Neither the prepared files nor TFDS: the newest cached version is taken."""
    for version in ("3.0.2", "3.0.10"):
        datasets._cached(data.Identity("cifar10", version, "CIFAR-10"), contents)
    monkeypatch.setattr(tfds, "_tfds", lambda *_: pytest.fail("asked TFDS"))
    assert data.identify("cifar10") == data.Identity("cifar10", "3.0.10", "CIFAR-10")
    assert same(data.load("cifar10"), data.Dataset(None, *contents()))
