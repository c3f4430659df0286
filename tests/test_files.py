"""A file is complete or as it was; a lock has one owner at a time and outlives none."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from resnet_keras.files import Held, locked, replacing, write_atomically, write_json


def names(folder):
    return [entry.name for entry in folder.iterdir()]


def test_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    write_json(path, {"x": "ä"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"x": "ä"}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_on_the_way_changes_nothing(tmp_path, monkeypatch, call):
    path = tmp_path / "a.txt"
    write_atomically(path, "before")

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "after")
    monkeypatch.undo()
    assert path.read_text() == "before" and names(tmp_path) == ["a.txt"]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.keras") as part:
        part.write_text("half")
        assert part.suffix == ".keras" and part.name.startswith(".")
        1 / 0  # noqa: B018
    assert names(tmp_path) == []


HOLD = """
import sys, time
from pathlib import Path
from resnet_keras.files import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / ".x.lock"


@pytest.fixture
def other(path):
    """Another process that has the lock."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()


def test_another_process_has_it_until_it_dies(path, other):
    with pytest.raises(Held, match="another process is at work on it: wait for it, or stop it first"):
        locked(path, "it", wait=False).__enter__()
    other.kill()
    other.wait()
    with locked(path, "it", wait=False) as waited:
        assert not waited
    assert names(path.parent) == []


def test_who_waits_says_so_once_and_gets_it(path, other):
    said = []

    def and_then_end(line):
        said.append(line)
        threading.Timer(0.1, other.kill).start()

    with locked(path, "it", say=and_then_end) as waited:
        assert waited and said == ["Another process is at work on it: waiting for it."]


def test_a_fork_of_the_owner_gives_nothing_back(path):
    with locked(path, "it"):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(Held):
            locked(path, "it", wait=False).__enter__()


def _count(path, counter, start, rounds):
    start.wait()
    for _ in range(rounds):
        with locked(path, "it", say=lambda line: None):
            number = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(number + 1))


def test_many_processes_lose_no_count(path, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    start = context.Event()
    workers = [context.Process(target=_count, args=(path, counter, start, 15)) for _ in range(4)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert counter.read_text() == "60" and names(path.parent) == []
