"""Errors against counts by hand."""

import numpy as np
import pytest

from resnet_keras.evaluation.accuracy import cross_entropy, top_error

SCORES = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [0.0, 1.0, 5.0], [2.0, 1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("labels", "k", "error"),
    [([0, 1, 2, 0], 1, 0.0), ([1, 2, 1, 1], 1, 100.0), ([1, 2, 1, 1], 2, 0.0), ([2, 0, 0, 0], 2, 75.0)],
)
def test_top_error_is_a_percentage(labels, k, error):
    assert top_error(SCORES, np.array(labels), k) == error


def test_cross_entropy_is_stable_and_right():
    labels = np.array([0, 1, 2, 0])
    rows = zip(SCORES.astype(float), labels, strict=True)
    exact = -np.mean([np.log(np.exp(row[y]) / np.exp(row).sum()) for row, y in rows])
    assert cross_entropy(SCORES, labels) == pytest.approx(exact)
    assert cross_entropy(SCORES * 1000, labels) == pytest.approx(0.0, abs=1e-9)
