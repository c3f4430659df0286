"""A deadline stops a run between two calls, early enough for another call and the checkpoint."""

import numpy as np
import pytest

from resnet_keras.training import deadline
from resnet_keras.training.deadline import SAVING, Deadline


@pytest.fixture
def clock(monkeypatch):
    """A clock to be set by hand."""
    now = [100.0]
    monkeypatch.setattr(deadline.time, "monotonic", lambda: now[0])
    return now


def test_it_leaves_room_for_another_call_as_long_as_the_longest_and_for_saving(clock):
    end = Deadline(60)
    clock[0] += 10
    assert end.left == 50
    assert not end.comes_before_another(took=20, compiled=False)
    clock[0] = 160 - 20 - SAVING
    assert not end.comes_before_another(took=1, compiled=False)
    clock[0] += 0.1
    assert end.comes_before_another(took=1, compiled=False)


def test_a_call_that_compiled_counts_until_there_is_another(clock):
    end = Deadline(100)
    clock[0] += 40
    assert not end.comes_before_another(took=40, compiled=True)
    clock[0] += 20  # 40 s are left
    assert not end.comes_before_another(took=20, compiled=False)
    end = Deadline(60)
    clock[0] += 40
    assert end.comes_before_another(took=40, compiled=True), "nobody knows what the next one takes"


def test_without_an_end_there_is_always_time(clock):
    end = Deadline(np.inf)
    clock[0] += 1e12
    assert not end.comes_before_another(took=1e9, compiled=False)
