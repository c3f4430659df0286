"""A run that is killed again and again, anywhere, ends in the history and weights of the run that never was."""

import itertools
import random
import signal
import time

import pytest

from tests.faults import work
from tests.faults.conftest import TORTURE, length
from tests.faults.results import assert_same, assert_tidy, only_run

pytestmark = [pytest.mark.faults, pytest.mark.slow]

CALLS = work.ITERATIONS // 5 + 1  # compiled calls of an unbroken run


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
        yield work.kill_in_step, draw.randrange(CALLS // 2), draw.random() * 0.02
        yield draw.random() * seconds * 0.7


def killed(forks, root, moment, **options):
    """Train until the kill; whether it came before the end."""
    child = forks.start(
        work.train, root, *(() if isinstance(moment, float) else moment), output=root / "said", **options
    )
    if isinstance(moment, float):
        time.sleep(moment)
        forks.send(child, signal.SIGKILL)
    code = forks.wait(child)
    assert code in (0, -signal.SIGKILL), (root / "said").read_text()
    return code != 0


def survives(forks, moments, wanted, expected, tmp_path, **options):
    """Kill runs at these moments, up to eight times each, until so many kills have come before an end."""
    survived = 0
    for attempt in itertools.count():
        root = tmp_path / str(attempt)
        root.mkdir()
        for _ in range(8):
            if survived == wanted or not killed(forks, root, next(moments), **options):
                break
            survived += 1
        assert forks.call(work.train, root, output=root / "said", **options) == 0, (root / "said").read_text()
        assert_same(only_run(root), expected)
        assert_tidy(only_run(root))
        if survived == wanted:
            return


def test_killed_at_random_moments(forks, unbroken, tmp_path):
    expected, seconds, calls = unbroken
    survives(forks, kills(seconds, calls), length(5, 50), expected, tmp_path)


@pytest.mark.skipif(not TORTURE, reason="a minute of compiling; `make torture` runs it")
def test_killed_on_jax(forks, unbroken, tmp_path):
    pytest.importorskip("jax", reason="the extra `jax` is not installed")
    root, draw = tmp_path / "unbroken", random.Random(1)
    root.mkdir()
    assert forks.call(work.train, root, output=root / "said", backend="jax") == 0, (root / "said").read_text()
    moments = ((work.kill_at_call, draw.randrange(unbroken[2] // 2)) for _ in itertools.count())
    survives(forks, moments, length(1, 10), only_run(root), tmp_path, backend="jax")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_says_so_by_its_exit_code(forks, unbroken, tmp_path, number):
    said = tmp_path / "said"
    assert forks.call(work.train, tmp_path, work.signalled, 2, int(number), output=said) == 128 + number
    folder = only_run(tmp_path)
    assert max(path.name for path in folder.glob("checkpoint-*")) == "checkpoint-00000010.safetensors"
    assert '"status": "interrupted"' in (folder / "summary.json").read_text()
    assert not list(folder.parent.glob(".*.lock"))
    assert forks.call(work.train, tmp_path, output=said) == 0
    assert_same(folder, unbroken[0])
