"""Errors against counts by hand."""

import numpy as np
import pytest

from resnet_keras.evaluation.accuracy import confusion, cross_entropy, softmax, tally, top_error

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


def test_probabilities_of_logits_that_would_overflow():
    found = softmax(np.array([[1000.0, 999.0, 0.0]], np.float32))
    np.testing.assert_allclose(found, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0.0]])


def test_a_tally_counts_what_the_whole_would_give():
    draw = np.random.default_rng(0)
    scores, labels = draw.normal(size=(103, 9)).astype(np.float32), draw.integers(0, 9, 103)
    seen = []
    parts = ((softmax(scores[start : start + 10]), labels[start : start + 10]) for start in range(0, 103, 10))
    counted = tally(parts, lambda so_far: seen.append(so_far.pictures))
    assert seen[0] == 10 and seen[-1] == counted.pictures == 103
    assert counted.error(1) == pytest.approx(top_error(scores, labels))
    assert counted.error(5) == pytest.approx(top_error(scores, labels, 5))
    assert counted.cross_entropy == pytest.approx(cross_entropy(scores, labels))
    assert "top-5 error" in counted.text()


def test_no_top_5_among_five_classes():
    counted = tally([(np.full((1, 5), 0.2), [3])])
    assert counted.error(5) is None and "top-5" not in counted.text()


def test_a_class_of_probability_0_costs_much_but_not_everything():
    assert 100 < tally([(np.array([[1.0, 0.0]]), [1])]).cross_entropy < 1000


def test_confusions_by_hand():
    assert confusion(SCORES, np.array([0, 2, 2, 2])).tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 1]]
