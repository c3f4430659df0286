"""The recipe holds the paper's values, refuses nonsense, and scales; the rate and the warm-up follow it."""

import dataclasses
import re

import numpy as np
import pytest

from resnet_keras.errors import UserError
from resnet_keras.training.recipe import PRESETS, Recipe, preset, scale_of
from resnet_keras.training.schedule import learning_rate, warmup_end


def test_the_papers_values_are_the_defaults_and_shorter_scales_are_in_proportion():
    recipe, short, medium = Recipe(), preset("short"), preset("medium")
    assert (recipe.iterations, recipe.drops, recipe.batch_size) == (64_000, (32_000, 48_000), 128)
    assert (recipe.learning_rate, recipe.drop_factor) == (0.1, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.decay_on) == (0.9, 1e-4, "kernels")
    assert (recipe.warmup_rate, recipe.warmup_error) == (0.01, 80.0)
    assert (short.iterations, short.drops) == (2000, (1000, 1500))
    assert (medium.iterations, medium.drops) == (6400, (3200, 4800))
    recipe = preset("imagenet")  # Sec. 3.4
    assert (recipe.iterations, recipe.batch_size, recipe.bn_batch) == (600_000, 256, 32)
    assert (recipe.learning_rate, recipe.momentum, recipe.weight_decay, recipe.crop) == (0.1, 0.9, 1e-4, 224)
    assert len(recipe.drops) == 3 and not recipe.warms_up(152)


def test_refuses_by_name_and_value():
    for field, value in (
        ("iterations", 0), ("iterations", 1.5), ("iterations", True), ("learning_rate", float("nan")), ("warmup", None),
        ("drops", (5, 3)), ("drops", (0,)), ("drops", "5"), ("test_interval", 750), ("bn_batch", 48), ("augment", 1),
    ):  # fmt: skip
        with pytest.raises(UserError, match=rf"^{field}={re.escape(repr(value))}: give"):
            Recipe(**{field: value})


def test_the_names_of_scales_survive_what_decides_no_result():
    often = {"log_interval": 10, "test_interval": 20, "checkpoint_interval": 3, "steps_per_call": 5}
    for name, recipe in PRESETS.items():
        assert scale_of(dataclasses.replace(recipe, precision="bfloat16", **often)) == scale_of(recipe) == name
    assert scale_of(Recipe(iterations=63_999)) == "custom" and Recipe(**often).deciding() == {}
    assert Recipe(weight_decay=0.0, bn_batch=64).deciding() == {"weight_decay": 0.0, "bn_batch": 64}


def test_the_papers_rates():
    expected = {0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}
    assert {at: learning_rate(Recipe(), at) for at in expected} == pytest.approx(expected)
    assert learning_rate(Recipe(), 0, warming_up=True) == 0.01
    assert learning_rate(Recipe(), 50_000, warming_up=True) == pytest.approx(0.001), "warming up never raises a rate"


def test_from_110_layers_on_the_warm_up_lasts_to_the_first_window_with_an_error_below_80():
    recipe, errors = Recipe(), np.full(350, 80.0)
    assert [recipe.warms_up(depth) for depth in (20, 56, 110, 1202)] == [False, False, True, True]
    assert Recipe(warmup="always").warms_up(20) and not Recipe(warmup="never").warms_up(1202)
    assert warmup_end(recipe, 110, errors) is None and warmup_end(recipe, 56, errors) == 0
    errors[200:300] = 79.9
    assert [warmup_end(recipe, 110, errors[:n]) for n in (299, 300, 350)] == [None, 300, 300]
