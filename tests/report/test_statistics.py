"""Means, spreads and differences, against SciPy and by hand."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from resnet_keras.report.statistics import difference, estimate

errors = st.floats(0, 100, allow_nan=False)


def test_by_hand():
    """1, 2, 3, 4, 5: mean 3, variance 10/4, and t(4) = 2.776 from any table."""
    found = estimate([1, 2, 3, 4, 5])
    assert (found.mean, found.n) == (3, 5)
    assert found.std == pytest.approx(2.5**0.5)
    assert found.low == pytest.approx(3 - 2.776 * (2.5 / 5) ** 0.5, abs=1e-3)
    assert found.high == pytest.approx(3 + 2.776 * (2.5 / 5) ** 0.5, abs=1e-3)


def test_one_value_has_no_spread_and_two_no_interval():
    assert estimate([7.0]) == type(estimate([7.0]))(7.0, None, 1)
    two = estimate([6.0, 8.0])
    assert two.std == pytest.approx(2**0.5)
    assert (two.low, two.high, two.range) == (None, None, (7.0, 7.0))


@given(st.lists(errors, min_size=3, max_size=12))
def test_interval_is_scipys(values):
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    if found.std > 1e-6:
        expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-6)


@given(st.lists(st.tuples(errors, errors), min_size=3, max_size=12))
def test_shared_seeds_are_paired(pairs):
    left, right = ({seed: pair[side] for seed, pair in enumerate(pairs)} for side in (0, 1))
    found = difference({**left, 100: 50.0}, {**right, 200: 0.0})  # seeds of one side alone do not count
    assert found.paired and found.n == len(pairs)
    expected = scipy.stats.ttest_rel(list(left.values()), list(right.values()))
    if found.std > 1e-6:
        assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-6)


@given(st.lists(errors, min_size=3, max_size=9), st.lists(errors, min_size=3, max_size=9))
def test_without_shared_seeds_it_is_welchs(a, b):
    found = difference(dict(enumerate(a)), dict(enumerate(b, start=100)))
    assert not found.paired and found.n == min(len(a), len(b))
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    if np.std(a) > 1e-6 or np.std(b) > 1e-6:
        expected = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-6)


def test_the_interval_covers_what_it_says():
    """95 % of the intervals of five values hold the mean they were drawn around; a percentile bootstrap holds 83 %."""
    draw = np.random.default_rng(0).normal(7.0, 0.2, (4000, 5))
    found = [estimate(row) for row in draw]
    assert np.mean([e.low < 7.0 < e.high for e in found]) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_no_number_no_estimate(values):
    with pytest.raises(ValueError, match="finite"):
        estimate(values)
