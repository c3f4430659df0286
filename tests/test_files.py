"""A file is complete or as it was; a lock has one owner at a time and outlives none."""

import multiprocessing
import subprocess
import sys
import threading
import time

import pytest

from resnet_keras.files import Held, locked, replacing, write_atomically


def test_a_writer_replaces_and_one_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "a.json"
    for content in ("1", "ä"):
        write_atomically(path, content)
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half")
        assert part.suffix == ".json" and part.name.startswith(".")
        1 / 0  # noqa: B018
    assert path.read_text(encoding="utf-8") == "ä" and list(tmp_path.iterdir()) == [path]


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


def test_another_process_has_it_until_it_dies_and_who_waits_says_so(path):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    with pytest.raises(Held, match="another process is at work on it"):
        locked(path, "it", wait=False).__enter__()
    said = []

    def and_then_end(line):
        said.append(line)
        threading.Timer(0.1, child.kill).start()

    with locked(path, "it", say=and_then_end):
        assert said == ["Another process is at work on it: waiting for it."]
    assert not path.exists() and child.wait() == -9


def test_many_processes_lose_no_count(path, tmp_path):
    context = multiprocessing.get_context("fork")
    counter, start = tmp_path / "counter", context.Event()
    counter.write_text("0")

    def count():
        start.wait()
        for _ in range(15):
            with locked(path, "it", say=lambda line: None):
                number = int(counter.read_text())
                time.sleep(0.001)
                counter.write_text(str(number + 1))

    workers = [context.Process(target=count) for _ in range(4)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(60)
    assert counter.read_text() == "60" and not path.exists()
