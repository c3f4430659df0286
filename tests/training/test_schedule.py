"""The learning rate over the paper's iterations, and the warm-up's end."""

import numpy as np
import pytest

from resnet_keras.training.recipe import Recipe
from resnet_keras.training.schedule import learning_rate, plateaus, warmup_end


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)],
)
def test_the_papers_rates(iteration, rate):
    assert learning_rate(Recipe(), iteration) == pytest.approx(rate)


def test_warming_up_never_raises_a_rate():
    assert learning_rate(Recipe(), 0, warming_up=True) == 0.01
    assert learning_rate(Recipe(), 50_000, warming_up=True) == pytest.approx(0.001)


def test_the_warm_up_ends_at_the_first_whole_window_below_80():
    recipe = Recipe()
    errors = np.full(350, 90.0)
    assert warmup_end(recipe, 110, errors) is None
    errors[200:300] = 79.9
    assert warmup_end(recipe, 110, errors[:299]) is None
    assert warmup_end(recipe, 110, errors[:300]) == 300
    assert warmup_end(recipe, 110, errors) == 300


def test_exactly_80_is_not_below():
    assert warmup_end(Recipe(), 110, np.full(100, 80.0)) is None


def test_shallow_networks_do_not_warm_up():
    assert warmup_end(Recipe(), 56, np.full(500, 95.0)) == 0


LOOKS = [60, 50, 51, 50, 49, 49.5, 49, 49.2, 30, 31, 32, 33, 29]


def plateau(patience):
    recipe = Recipe(plateau=patience, validation=1000)
    return plateaus(recipe, [(1000 * (place + 1), error) for place, error in enumerate(LOOKS)])


def test_the_rate_drops_after_so_many_looks_without_a_new_best():
    # New bests are at 1, 2, 5, 9 and 13 thousand: an equal error is none.
    assert plateau(2) == (4000, 7000, 11_000)
    assert plateau(3) == (8000, 12_000)
    assert plateau(4) == ()


def test_more_looks_never_change_earlier_drops():
    recipe, looks = Recipe(plateau=2, validation=1000), [(i + 1, error) for i, error in enumerate(LOOKS)]
    every = plateaus(recipe, looks)
    for count in range(len(looks)):
        assert plateaus(recipe, looks[:count]) == tuple(drop for drop in every if drop <= count)


def test_without_a_plateau_the_drops_are_the_recipes():
    assert plateaus(Recipe(), [(1000, 50.0)]) == (32_000, 48_000)
    assert learning_rate(Recipe(), 40_000, drops=(10, 20, 30)) == pytest.approx(1e-4)
