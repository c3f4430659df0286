"""The learning rate over the paper's iterations, and the warm-up's end."""

import numpy as np
import pytest

from resnet_keras.training.recipe import Recipe
from resnet_keras.training.schedule import learning_rate, warmup_end


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
