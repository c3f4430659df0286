"""A run that is killed again and again, anywhere, ends in the history and weights of the run that never was."""

import itertools
import random
import signal
import time

import pytest

from tests.faults import work
from tests.faults.conftest import length
from tests.faults.results import assert_same, assert_tidy, only_run

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TRAIN = "tests.faults.work:train"
CALLS = work.ITERATIONS // 5 + 1  # compiled calls of an unbroken run


@pytest.fixture(scope="module")
def unbroken(tensorflow_forks, tmp_path_factory):
    """(its directory, seconds from start to end, things done to the file system)."""
    root = tmp_path_factory.mktemp("unbroken")
    began = time.monotonic()
    assert tensorflow_forks.call("tests.faults.work:counted", root, output=root / "said") == 0
    return only_run(root), time.monotonic() - began, int((root / "count").read_text())


def kills(seconds, calls, seed=0):
    """Moments to kill at, of three kinds in turn, without end: see `work.train`; "any" is at any time from outside.

    From the first part of a run, since one that has been killed before has less left to do.
    """
    draw = random.Random(seed)
    while True:
        yield "call", draw.randrange(calls // 2)
        yield "step", draw.randrange(CALLS // 2), draw.random() * 0.02
        yield "any", draw.random() * seconds * 0.7


def killed(forks, root, kind, *values):
    """Train until the kill; whether it came before the end."""
    number = forks.start(TRAIN, root, (kind, *values) if kind != "any" else (), output=root / "said")
    if kind == "any":
        time.sleep(values[0])
        forks.signal(number, signal.SIGKILL)
    code = forks.wait(number)
    assert code in (0, -signal.SIGKILL), (root / "said").read_text()
    return code != 0


def survives(forks, moments, wanted, expected, tmp_path):
    """Kill runs at these moments, up to eight times each, until so many kills have come before an end."""
    survived = 0
    for attempt in itertools.count():
        root = tmp_path / str(attempt)
        root.mkdir()
        for _ in range(8):
            if survived == wanted or not killed(forks, root, *next(moments)):
                break
            survived += 1
        assert forks.call(TRAIN, root, output=root / "said") == 0, (root / "said").read_text()
        assert_same(only_run(root), expected)
        assert_tidy(only_run(root))
        if survived >= wanted:
            break
    print(f"{survived} kills, {attempt + 1} runs, all to the same bits")


def test_killed_at_random_moments(tensorflow_forks, unbroken, tmp_path):
    """At random calls of the file system, inside compiled calls, and at any time at all; a chain of kills a run."""
    expected, seconds, calls = unbroken
    survives(tensorflow_forks, kills(seconds, calls), length(5, 50), expected, tmp_path)


def test_killed_on_jax(jax_forks, tmp_path):
    root = tmp_path / "unbroken"
    root.mkdir()
    assert jax_forks.call("tests.faults.work:counted", root, output=root / "said") == 0
    draw, calls = random.Random(1), int((root / "count").read_text())
    moments = (("call", draw.randrange(calls // 2)) for _ in itertools.count())
    survives(jax_forks, moments, length(1, 10), only_run(root), tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_says_so_by_its_exit_code(tensorflow_forks, unbroken, tmp_path, number):
    child = tensorflow_forks.start("tests.faults.work:stopped_at", tmp_path, 2, int(number), output=tmp_path / "said")
    assert tensorflow_forks.wait(child) == 128 + number
    folder = only_run(tmp_path)
    assert max(path.name for path in folder.glob("checkpoint-*")) == "checkpoint-00000010.safetensors"
    assert '"status": "interrupted"' in (folder / "summary.json").read_text()
    assert not list(folder.parent.glob(".*.lock"))
    assert tensorflow_forks.call(TRAIN, tmp_path, output=tmp_path / "said") == 0
    assert_same(folder, unbroken[0])


def test_a_suspended_machine_harms_nothing(tensorflow_forks, unbroken, tmp_path):
    """SIGSTOP and SIGCONT, as a laptop's lid: three times in one run."""
    child = tensorflow_forks.start(TRAIN, tmp_path, output=tmp_path / "said")
    for _ in range(3):
        time.sleep(unbroken[1] / 5)
        tensorflow_forks.signal(child, signal.SIGSTOP)
        time.sleep(0.3)
        tensorflow_forks.signal(child, signal.SIGCONT)
    assert tensorflow_forks.wait(child) == 0, (tmp_path / "said").read_text()
    assert_same(only_run(tmp_path), unbroken[0])
    assert_tidy(only_run(tmp_path))
