"""The cache of decoded arrays: quick, whole or not there, and never in the way."""

import json
import logging
import multiprocessing
import os
import time

import numpy as np
import pytest

from resnet_keras.data import Identity, Split, cache

WHO = Identity("pets", "1.2.3", "Pets")
FILES = ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"]


def arrays(seed=0):
    random = np.random.default_rng(seed)

    def split(count):
        return Split(
            random.integers(0, 256, (count, 5, 6, 3), dtype=np.uint8), random.integers(0, 2, count, dtype=np.int32)
        )

    return cache.Arrays(("cat", "dog"), split(9), split(4))


def same(one, other):
    pairs = [
        (getattr(getattr(one, split), kind), getattr(getattr(other, split), kind))
        for split in ("train", "test")
        for kind in ("images", "labels")
    ]
    return one.classes == other.classes and all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


@pytest.fixture
def entry(home):
    cache.save(WHO, arrays(), "stamp")
    return home / "cache" / "pets-1.2.3"


def test_what_was_saved_comes_back(entry):
    assert same(cache.load(WHO, "stamp"), arrays())
    assert sorted(path.name for path in entry.iterdir()) == sorted([*FILES, "set.json"])
    assert [path.name for path in entry.parent.iterdir()] == ["pets-1.2.3"]
    assert list(cache.entries()) == [WHO]


def test_what_was_not_saved_is_not_there(entry):
    assert cache.load(Identity("pets", "1.2.4", "Pets")) is None


def test_another_stamp_is_said_and_replaced(entry, caplog):
    assert cache.load(WHO, "later") is None
    assert "pets has changed since it was cached" in caplog.text
    cache.save(WHO, arrays(1), "later")
    assert same(cache.load(WHO, "later"), arrays(1))


@pytest.mark.faults
@pytest.mark.parametrize("file", [*FILES, "set.json"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "gone", "changed"])
def test_a_damaged_entry_is_said_and_made_again(entry, caplog, file, damage):
    path = entry / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]
        path.write_bytes({"cut": content[: len(content) // 2], "emptied": b"", "changed": changed}[damage])
    assert cache.load(WHO, "stamp") is None
    assert "is damaged" in caplog.text and "making it again" in caplog.text
    cache.save(WHO, arrays(), "stamp")
    assert same(cache.load(WHO, "stamp"), arrays())
    assert [path.name for path in entry.parent.iterdir()] == ["pets-1.2.3"]


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def test_no_pickle_is_ever_opened(entry, caplog, tmp_path):
    np.save(entry / "train_labels.npy", np.array([Attack(tmp_path / "mark")], dtype=object), allow_pickle=True)
    assert cache.load(WHO, "stamp") is None
    assert "is damaged" in caplog.text and not (tmp_path / "mark").exists()


def test_an_entry_of_another_format_is_made_again(entry):
    about = json.loads((entry / "set.json").read_text())
    (entry / "set.json").write_text(json.dumps(about | {"format": 99}))
    assert cache.load(WHO, "stamp") is None


def _save_and_load(home, start, results):
    os.environ["RESNET_KERAS_DATA"] = str(home)
    start.wait()
    for _ in range(5):
        cache.save(WHO, arrays())
        results.put(same(cache.load(WHO), arrays()))


def test_processes_that_make_the_same_entry_do_not_break_each_other(home):
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    workers = [context.Process(target=_save_and_load, args=(home, start, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    start.set()
    assert [results.get(timeout=60) for _ in range(20)] == [True] * 20
    for worker in workers:
        worker.join()
    assert [path.name for path in (home / "cache").iterdir()] == ["pets-1.2.3"]


@pytest.mark.faults
def test_an_entry_appears_by_its_last_step_alone(home, monkeypatch):
    """Killed any time before the rename, nothing is there to be taken for an entry."""

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        cache.save(WHO, arrays())
    assert list((home / "cache").iterdir()) == []


@pytest.mark.faults
def test_a_full_disk_leaves_nothing_behind_and_stops_nothing(home, caplog, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "save", full)
    cache.save(WHO, arrays())
    assert "cannot cache pets" in caplog.text and "No space left" in caplog.text
    assert list((home / "cache").iterdir()) == []


@pytest.mark.faults
def test_a_place_where_nothing_can_be_written_stops_nothing(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("RESNET_KERAS_DATA", str(tmp_path / "file"))
    cache.save(WHO, arrays())
    assert "going on without" in caplog.text
    assert cache.load(WHO) is None


def test_what_killed_processes_left_is_swept_in_time(home, caplog):
    caplog.set_level(logging.WARNING)
    old, new = home / "cache" / ".pets-1-old", home / "cache" / ".pets-1-new"
    for path in (old, new):
        path.mkdir(parents=True)
    os.utime(old, (time.time() - cache.ABANDONED - 60,) * 2)
    cache.save(WHO, arrays())
    assert not old.exists() and new.exists()
