"""Errors against counts by hand."""

import numpy as np
import pytest

from resnet_keras.evaluation.accuracy import Tally, softmax, top_error

SCORES = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [0.0, 1.0, 5.0], [2.0, 1.0, 0.0]], np.float32)


def test_top_error_is_a_percentage_and_softmax_does_not_overflow():
    for labels, k, error in (([0, 1, 2, 0], 1, 0), ([1, 2, 1, 1], 1, 100), ([1, 2, 1, 1], 2, 0), ([2, 0, 0, 0], 2, 75)):
        assert top_error(SCORES, np.array(labels), k) == error
    exact = [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0.0]
    np.testing.assert_allclose(softmax(np.array([[1000.0, 999.0, 0.0]], np.float32)), [exact])


def test_a_tally_of_batches_is_that_of_all_at_once():
    draw = np.random.default_rng(0)
    scores, labels = draw.normal(size=(103, 9)).astype(np.float32), draw.integers(0, 9, 103)
    tally = Tally()
    for start in range(0, 103, 10):
        tally.add(softmax(scores[start : start + 10]), labels[start : start + 10])
    assert tally.images == 103 and tally.error(1) == pytest.approx(top_error(scores, labels))
    assert tally.error(5) == pytest.approx(top_error(scores, labels, 5))
    right = np.exp(scores.astype(float))[np.arange(103), labels] / np.exp(scores.astype(float)).sum(1)
    assert tally.entropy == pytest.approx(-np.log(right).sum())
    assert str(tally).startswith("top-1 error ") and ", top-5 error " in str(tally)

    five = Tally()  # a class of probability 0 costs much, but not everything
    five.add(np.array([[1.0, 0.0, 0.0, 0.0, 0.0]]), np.array([1]))
    assert five.error(5) is None and str(five).startswith("error ") and 100 < five.entropy < 1000
