"""Intervals and differences against SciPy, and against what they promise."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from resnet_keras.report.statistics import difference, estimate, seeds_needed

errors = st.lists(st.floats(0, 100).map(lambda value: round(value, 4)), min_size=3, max_size=9)


@given(errors, errors)
def test_an_interval_is_students_and_a_difference_welchs(a, b):
    gap, close = difference(a, b), {"rel": 1e-6, "abs": 1e-6}
    assert gap.mean == pytest.approx(np.mean(a) - np.mean(b)) and gap.n == min(len(a), len(b))
    if np.std(a) > 1e-6:
        expected = scipy.stats.ttest_1samp(a, 0).confidence_interval(0.9)
        assert estimate(a).interval(0.9) == pytest.approx(tuple(expected), **close)
    if np.std(a) > 1e-6 or np.std(b) > 1e-6:
        expected = scipy.stats.ttest_ind(a, b, equal_var=False)
        assert gap.interval() == pytest.approx(tuple(expected.confidence_interval(0.95)), **close)
        above = scipy.stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
        assert gap.probability_above == pytest.approx(1 - above, abs=1e-6)


def test_below_three_seeds_there_is_no_interval():
    ends = *estimate([1.0, 2.0]).interval(), *difference([1.0, 2.0, 3.0], [4.0]).interval()
    assert all(map(math.isnan, ends))


@pytest.mark.parametrize(("a", "b", "expected"), [
    ([26.3, 27.3, 28.3], [26.0, 27.0, 28.0], False),  # three tenths apart, but seeds differ by one
    ([26.3, 26.4, 26.5], [26.0, 26.1, 26.2], True),
    ([28.3, 28.4, 28.5], [26.0, 26.1, 26.2], False),
])  # fmt: skip
def test_equivalence_is_two_one_sided_tests(a, b, expected):
    low = scipy.stats.ttest_ind(np.add(a, 1.0), b, equal_var=False, alternative="greater").pvalue
    high = scipy.stats.ttest_ind(np.subtract(a, 1.0), b, equal_var=False, alternative="less").pvalue
    assert (max(map(abs, difference(a, b).interval(0.9))) < 1.0) == bool(max(low, high) < 0.05) == expected


def test_as_many_seeds_as_are_needed_give_the_power():
    n = seeds_needed(0.5, 1.2)
    draw = np.random.default_rng(0).normal(0, 0.5, (4000, 2, n))
    draw[:, 0] += 1.2
    tests = scipy.stats.ttest_ind(draw[:, 0], draw[:, 1], axis=1)
    assert np.mean(tests.pvalue < 0.05) == pytest.approx(0.82, abs=0.04)
    assert seeds_needed(1.4, 1.0, equivalence=True) == pytest.approx(34, abs=2)
    assert seeds_needed(1.0, 1e-9) == 10_000
