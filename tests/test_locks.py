"""A lock has one owner at a time, outlives none, and finds out when it was lost."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from resnet_keras import locks
from resnet_keras.locks import Held, Lock, Lost

HOLD = """
import sys, time
from pathlib import Path
from resnet_keras.locks import Lock
with Lock(Path(sys.argv[1]), "it"):
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


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(locks, "POLL", 0.01)


def foreign(path, age=0.0, **changes):
    """The lock file of a process on another machine, touched `age` seconds ago."""
    path.parent.mkdir(exist_ok=True)
    owner = {"host": "elsewhere", "place": "another boot 1", "pid": os.getpid(), "started": "1", "token": "t"}
    path.write_text(json.dumps(owner | changes))
    os.utime(path, (time.time() - age,) * 2)


def test_one_owner_at_a_time_and_nothing_left(path):
    with Lock(path, "it") as lock:
        lock.check()
        with pytest.raises(Held, match=rf"it is being worked on by process {os.getpid()} on .*: wait for it"):
            Lock(path, "it", wait=False).__enter__()
        assert [entry.name for entry in path.parent.iterdir()] == [".x.lock"]
    assert not path.parent.exists()


def test_another_process_has_it(path, other):
    with pytest.raises(Held, match=f"process {other.pid} on"):
        Lock(path, "it", wait=False).__enter__()


def test_a_dead_owner_is_succeeded_at_once(path, other):
    other.kill()
    other.wait()
    assert path.exists()
    with Lock(path, "it", wait=False) as lock:
        lock.check()


def test_a_stopped_owner_is_alive(path, other):
    other.send_signal(signal.SIGSTOP)
    os.utime(path, (0, 0))  # as after a long suspend: on the same machine the process counts, not the touch
    with pytest.raises(Held):
        Lock(path, "it", wait=False).__enter__()


def test_a_killed_owner_that_nobody_has_buried_is_dead(path, other):
    other.kill()
    deadline = time.time() + 30
    while locks._started(other.pid) is not None and time.time() < deadline:
        time.sleep(0.01)
    with Lock(path, "it", wait=False):  # a zombie until `wait`
        pass


def test_a_process_number_used_again_is_another_owner(path):
    foreign(path, place=locks._place(), pid=os.getpid(), started="1")
    with Lock(path, "it", wait=False):
        pass


@pytest.mark.parametrize("changes", [{}, {"token": 3}], ids=["elsewhere", "unreadable"])
def test_elsewhere_the_touch_counts(path, changes):
    foreign(path, age=locks.STALE - 60, **changes)
    with pytest.raises(Held):
        Lock(path, "it", wait=False).__enter__()
    foreign(path, age=locks.STALE + 60, **changes)
    with Lock(path, "it", wait=False):
        pass


def test_the_touch_goes_on(path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT", 0.01)
    with Lock(path, "it"):
        os.utime(path, (0, 0))
        deadline = time.time() + 30
        while path.stat().st_mtime == 0 and time.time() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_who_waits_says_so_once_and_gets_it(path, other):
    said = []

    def and_then_end(line):
        said.append(line)
        threading.Timer(0.1, other.kill).start()

    with Lock(path, "it", say=and_then_end) as lock:
        assert lock.waited and len(said) == 1 and f"process {other.pid}" in said[0]


def test_a_lock_that_was_taken_over_is_found_lost_and_left_alone(path):
    with Lock(path, "it") as lock:
        path.unlink()
        foreign(path)
        with pytest.raises(Lost, match=r"taken over by process .* on elsewhere"):
            lock.check()
    assert json.loads(path.read_text())["host"] == "elsewhere"
    path.unlink()
    with Lock(path, "it") as lock:
        path.unlink()
        with pytest.raises(Lost):
            lock.check()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_without_hard_links(path, monkeypatch, number):
    def none(*_):
        raise OSError(number, "no hard links here")

    monkeypatch.setattr(locks.os, "link", none)
    with Lock(path, "it") as lock, pytest.raises(Held):
        lock.check()
        Lock(path, "it", wait=False).__enter__()


def test_a_link_whose_answer_was_lost_counts(path, monkeypatch):
    link = os.link

    def made_and_denied(*names):
        link(*names)
        raise FileExistsError

    monkeypatch.setattr(locks.os, "link", made_and_denied)
    with Lock(path, "it", wait=False) as lock:
        lock.check()


def test_drafts_of_the_dead_are_swept(path):
    foreign(path, age=locks.STALE + 60)
    old, new = (path.with_name(f"{path.name}-{name}.tmp") for name in ("old", "new"))
    for draft in (old, new):
        draft.touch()
    os.utime(old, (0, 0))
    with Lock(path, "it"):
        assert not old.exists() and new.exists()


def test_a_takeover_that_died_half_way_is_taken_over(path):
    dead = {"place": locks._place(), "pid": os.getpid(), "started": "1"}
    foreign(path, **dead)
    foreign(path.with_name(f"{path.name}.takeover"), **dead, token="u")
    with Lock(path, "it", wait=False):
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_who_comes_late_to_a_takeover_removes_no_living_owner(path, monkeypatch):
    """Between finding the owner dead and replacing it, another process has done so already."""
    foreign(path, age=locks.STALE + 60)
    dead = locks._dead

    def then_another_takes_it(*arguments):
        found = dead(*arguments)
        foreign(path, token="newer")
        return found

    monkeypatch.setattr(locks, "_dead", then_another_takes_it)
    with pytest.raises(Held):
        Lock(path, "it", wait=False).__enter__()
    assert json.loads(path.read_text())["token"] == "newer"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def _count(path, counter, start, rounds):
    locks.POLL = 0.001
    start.wait()
    for _ in range(rounds):
        with Lock(path, "it", say=lambda line: None) as lock:
            number = int(counter.read_text())
            time.sleep(0.001)
            lock.check()
            counter.write_text(str(number + 1))


def test_many_processes_lose_no_count(path, tmp_path):
    """A dead owner at the start, so that all of them race to succeed it."""
    foreign(path, place=locks._place(), started="1")
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    start = context.Event()
    workers = [context.Process(target=_count, args=(path, counter, start, 15)) for _ in range(6)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert counter.read_text() == "90"
    assert not list(path.parent.iterdir())


def test_a_fork_of_the_owner_gives_nothing_back(path):
    with Lock(path, "it") as lock:
        child = os.fork()
        if not child:
            lock.__exit__()
            os._exit(0)
        os.waitpid(child, 0)
        lock.check()
