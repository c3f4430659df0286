"""Names to data sets."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet_keras import data
from resnet_keras.data import cache, pictures, prepared, shapes32, sources
from resnet_keras.errors import UserError

from ..conftest import REAL_DATA
from .conftest import png

PLACE = Path(__file__).parents[2]
needs_real = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no shared data beside this checkout")


def same(one, other):
    return one.classes == other.classes and all(
        np.array_equal(getattr(one, split).images, getattr(other, split).images)
        and np.array_equal(getattr(one, split).labels, getattr(other, split).labels)
        for split in ("train", "test")
    )


@pytest.fixture
def small_shapes(monkeypatch):
    """shapes32 with a block of each split: a tenth of a second."""
    monkeypatch.setattr(shapes32, "COUNTS", {"train": shapes32.BLOCK, "test": shapes32.BLOCK})


def test_the_built_in_set(home, small_shapes):
    assert data.identify("shapes32") == data.Identity("shapes32", shapes32.VERSION, "shapes32")
    first = data.load("shapes32")
    assert np.array_equal(first.train.images, shapes32.draw("train").images)
    assert (home / "cache" / f"shapes32-{shapes32.VERSION}").is_dir()


def test_the_second_time_comes_from_the_cache(home, small_shapes, monkeypatch):
    first = data.load("shapes32")
    monkeypatch.setattr(shapes32, "draw", lambda split: pytest.fail("drawn again"))
    assert same(data.load("shapes32"), first)


def test_validation_images_are_fixed_disjoint_and_random(home, small_shapes):
    whole, apart = data.load("shapes32"), data.load("shapes32", validation=60)
    assert whole.validation is None
    assert (len(apart.train), len(apart.validation), len(apart.test)) == (440, 60, 500)
    used = {image.tobytes() for image in apart.train.images}
    kept = {image.tobytes() for image in apart.validation.images}
    assert not used & kept
    assert used | kept == {image.tobytes() for image in whole.train.images}
    assert np.array_equal(data.load("shapes32", validation=60).validation.images, apart.validation.images)
    assert len(np.unique(apart.validation.labels)) == 10
    assert not np.array_equal(apart.mean(), whole.mean())


@pytest.mark.parametrize("count", [-1, 500, 5000])
def test_validation_must_leave_something_to_train_on(home, small_shapes, count):
    with pytest.raises(UserError, match=f"validation is {count}; shapes32 allows 0 to 499 of its 500 images"):
        data.load("shapes32", validation=count)


def test_a_folder_is_named_by_its_base_and_its_files(home, folder):
    identity = data.identify(str(folder))
    assert (identity.name, identity.title) == ("pets", "pets")
    assert data.identify(folder) == identity
    (folder / "train" / "cat" / "new.png").write_bytes(png(np.zeros((5, 6, 3), np.uint8)))
    assert data.identify(folder).version != identity.version


def test_a_folder_moved_elsewhere_is_the_same_set(home, folder, tmp_path):
    before = data.identify(folder)
    folder.rename(tmp_path / "other").rename(tmp_path / "deeper")
    (tmp_path / "new").mkdir()
    moved = (tmp_path / "deeper").rename(tmp_path / "new" / "pets")
    assert data.identify(moved) == before


def test_a_name_that_no_file_could_bear_is_made_safe(home, folder):
    renamed = folder.rename(folder.with_name("my pets: 2 (new)"))
    identity = data.identify(renamed)
    assert (identity.name, identity.title) == ("my_pets_2_new", "my pets: 2 (new)")
    assert same(data.load(renamed), data.load(renamed))


def test_a_picture_changed_in_place_is_read_again(home, folder, caplog):
    """The new picture is as long as the old one, so that only its time tells."""
    data.load(folder)
    file = next((folder / "train" / "cat").iterdir())
    content = file.read_bytes()
    other = png(np.random.default_rng(99).integers(0, 256, (5, 6, 3), dtype=np.uint8))
    assert len(other) == len(content), "pick another seed"
    file.write_bytes(other)
    os.utime(file, ns=(1, 1))
    changed = data.load(folder)
    assert "has changed since it was cached" in caplog.text
    assert pictures.decode(pictures.Picture("train", "cat", "x", other)).tobytes() in {
        image.tobytes() for image in changed.train.images
    }


def test_an_archive(home, folder, pictures, make_archive):
    path = make_archive([(name, png(array)) for name, array in pictures.items()])
    identity = data.identify(str(path))
    assert (identity.name, identity.title) == ("pets", "pets")
    assert same(data.load(path), data.load(folder))
    other = make_archive([(name, png(255 - array)) for name, array in pictures.items()], "pets.tar")
    assert data.identify(other).version != identity.version


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere", r"there is no folder nowhere; a folder of pictures must hold"),
        ("nowhere.tar.xz", r"archive nowhere.tar.xz cannot be read \(No such file or directory\)"),
    ],
)
def test_what_is_not_there_is_said(home, name, said):
    with pytest.raises(UserError, match=said):
        data.identify(name)


def test_an_unknown_name_lists_what_is_near_and_what_is_allowed(home, monkeypatch):
    monkeypatch.setattr(prepared, "builder", lambda name, root: None)
    monkeypatch.setattr(prepared, "known", lambda: ["cifar10", "cifar100", "mnist"])
    with pytest.raises(UserError) as caught:
        data.load("cifar1O")
    said = str(caught.value)
    assert "no data set 'cifar1O' (near it: cifar10, cifar100)" in said
    assert "shapes32" in said and "{train,test}/<class>/*.{png,jpg}" in said and "\n" not in said
    with pytest.raises(UserError, match="near it: shapes32"):
        data.load("shape32")


def test_the_bare_name_of_a_folder_is_explained(home, folder, monkeypatch):
    monkeypatch.setattr(prepared, "builder", lambda name, root: None)
    monkeypatch.setattr(prepared, "known", list)
    monkeypatch.chdir(folder.parent)
    with pytest.raises(UserError, match=r"for the folder of that name, give ./pets"):
        data.load("pets")
    assert data.identify("./pets").name == "pets"


def test_a_data_folder_that_is_not_there_is_said(home, tmp_path):
    with pytest.raises(UserError, match="there is no data folder"):
        data.identify("cifar10", tmp_path / "nowhere")


def test_a_cached_set_needs_nothing_else(home, monkeypatch):
    """Neither the prepared files nor TFDS: the newest cached version is taken."""
    arrays = cache.Arrays(("a",), *[data.Split(np.zeros((3, 2, 2, 3), np.uint8), np.zeros(3, np.int32))] * 2)
    for version in ("3.0.2", "3.0.10"):
        cache.save(data.Identity("cifar10", version, "CIFAR-10"), arrays)
    monkeypatch.setattr(prepared, "_tfds", lambda where: pytest.fail("asked TFDS"))
    assert data.identify("cifar10") == data.Identity("cifar10", "3.0.10", "CIFAR-10")
    assert same(data.load("cifar10"), data.Dataset(None, *arrays))


def test_a_cached_folder_of_the_same_name_is_not_taken_for_a_tfds_set(home, folder, monkeypatch):
    data.load(folder)
    monkeypatch.setattr(prepared, "builder", lambda name, root: None)
    monkeypatch.setattr(prepared, "known", list)
    with pytest.raises(UserError, match="there is no data set 'pets'"):
        data.identify("pets")


LIGHT = """
import sys
from resnet_keras import data
data.identify({name!r}); data.load({name!r})
heavy = {{"tensorflow", "keras", "jax", "tensorflow_datasets"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_folders_need_neither_keras_nor_tensorflow(home, folder):
    environment = os.environ | {"PYTHONPATH": str(PLACE)}
    run = subprocess.run(
        [sys.executable, "-c", LIGHT.format(name=str(folder))], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@needs_real
def test_the_known_archive_is_the_tfds_set(home):
    archive, prepared_set = REAL_DATA / "cifar10_jpeg.tar.xz", REAL_DATA / "tfds"
    expected = data.Identity("cifar10_jpeg", "1.0.0", "CIFAR-10 (JPEG)")
    assert data.identify(archive) == data.identify("cifar10_jpeg", prepared_set) == expected


@needs_real
@pytest.mark.slow
def test_the_known_archive_and_the_tfds_set_are_equal_bit_for_bit(home):
    one = sources._find(REAL_DATA / "cifar10_jpeg.tar.xz", None).read()
    other = sources._find("cifar10_jpeg", REAL_DATA / "tfds").read()
    assert same(one, other)
    assert one.train.images.shape == (50_000, 32, 32, 3) and one.test.images.shape == (10_000, 32, 32, 3)
    assert (np.bincount(one.train.labels) == 5000).all() and (np.bincount(one.test.labels) == 1000).all()


def test_a_note_is_left_to_the_log_alone(home, small_shapes, capsys, caplog):
    caplog.set_level(logging.DEBUG, logger="resnet_keras")
    data.load("shapes32")
    data.load("shapes32")
    assert capsys.readouterr() == ("", "") and not caplog.records
