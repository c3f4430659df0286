"""Runs that are killed, stopped, let down by the disk, or two at once end in the same bits as one that never was."""

import itertools
import random
import shutil
import signal
import time

import pytest

from tests.faults import work
from tests.faults.conftest import length
from tests.faults.results import assert_same

pytestmark = pytest.mark.faults


def only_run(root):
    """The directory of the one run of a results folder."""
    (config,) = root.glob("runs/*/config.json")
    return config.parent


def assert_same_and_tidy(run, other):
    assert_same(run, other)
    files = ["config.json", "environment.json", "history.csv", "network.keras", "summary.json"]
    assert sorted(path.name for path in run.iterdir()) == files
    assert [path.name for path in run.parent.iterdir()] == [run.name]


@pytest.fixture(scope="module")
def unbroken(forks, tmp_path_factory):
    """(its directory, seconds from start to end, things done to the file system)."""
    root = tmp_path_factory.mktemp("unbroken")
    began = time.monotonic()
    assert forks.call(work.train, root, work.counting, output=root / "said") == 0, (root / "said").read_text()
    return only_run(root), time.monotonic() - began, int((root / "count").read_text())


def kills(seconds, calls):
    """Moments to kill at, without end: at calls of the file system, inside compiled calls, and at any time at all.

    From the first part of a run, since one that has been killed before has less left to do.
    """
    draw = random.Random(0)
    while True:
        yield work.kill_at_call, draw.randrange(calls // 2)
        yield work.kill_in_step, draw.randrange(work.ITERATIONS // 10), draw.random() * 0.02
        yield draw.random() * seconds * 0.7


def killed(forks, root, moment):
    """Train until the kill; whether it came before the end."""
    at_any_time = isinstance(moment, float)
    child = forks.start(work.train, root, *(() if at_any_time else moment), output=root / "said")
    if at_any_time:
        time.sleep(moment)
        child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL), (root / "said").read_text()
    return child.exitcode != 0


def test_killed_at_random_moments(forks, unbroken, tmp_path):
    """Each run up to eight times, until so many kills have come before an end."""
    expected, seconds, calls = unbroken
    moments, left = kills(seconds, calls), length(5, 50)
    for attempt in itertools.count():
        root = tmp_path / str(attempt)
        root.mkdir()
        for _ in range(8):
            if not left or not killed(forks, root, next(moments)):
                break
            left -= 1
        assert forks.call(work.train, root, output=root / "said") == 0, (root / "said").read_text()
        assert_same_and_tidy(only_run(root), expected)
        if not left:
            return


@pytest.mark.parametrize("number", length([signal.SIGINT], [signal.SIGTERM, signal.SIGINT]))
def test_asked_to_stop_it_saves_and_says_so_by_its_exit_code(forks, unbroken, tmp_path, number):
    said = tmp_path / "said"
    assert forks.call(work.train, tmp_path, work.signalled, 2, int(number), output=said) == 128 + number
    folder = only_run(tmp_path)
    assert max(path.name for path in folder.glob("checkpoint-*")) == "checkpoint-00000010.safetensors"
    assert '"status": "interrupted"' in (folder / "summary.json").read_text()
    assert not list(folder.parent.glob(".*.lock"))
    assert forks.call(work.train, tmp_path, output=said) == 0
    assert_same_and_tidy(folder, unbroken[0])


def test_a_full_or_lost_disk_in_mid_run_ends_it_and_room_lets_it_go_on(forks, unbroken, tmp_path):
    """A limit on the size of files stands for the full disk: the kernel breaks off the write in its middle."""
    full, lost, said = (tmp_path / name for name in ("full", "lost", "said"))
    assert forks.call(work.train, full, work.without_room, 20_000, output=said) == work.LET_THROUGH
    assert not list(only_run(full).glob("checkpoint-*")) and not list(only_run(full).glob(".*"))
    assert not (only_run(full) / "network.keras").exists()

    assert forks.call(work.train, lost, work.on_a_disk_that_goes, output=said) == work.LET_THROUGH
    assert "No such file or directory" in said.read_text() and not lost.exists()
    shutil.move(tmp_path / "gone", lost)  # it comes back

    for again in (full, lost):
        assert forks.call(work.train, again, output=said) == 0, said.read_text()
        assert_same_and_tidy(only_run(again), unbroken[0])


def two_at_once(forks, function, folder):
    """Call a function in two processes at once, on one folder; what they print."""
    said = [folder / "said-0", folder / "said-1"]
    children = [forks.start(function, folder / "root", output=path) for path in said]
    for child in children:
        child.join()
    text = "".join(path.read_text() for path in said)
    assert [child.exitcode for child in children] == [0, 0], text
    return text


def test_two_on_one_run_train_it_once(forks, unbroken, tmp_path):
    text = two_at_once(forks, work.train, tmp_path)
    assert text.count("finished already") == text.count("waiting for it") == text.count("finished: training") == 1
    assert_same_and_tidy(only_run(tmp_path / "root"), unbroken[0])


def test_two_on_one_cache_make_it_once(forks, tmp_path):
    assert two_at_once(forks, work.cache, tmp_path).count("drawn: train") == 1
    assert [path.name for path in (tmp_path / "root" / "cache").glob("[!.]*")] == ["shapes16-1.npz"]
