"""The recipe holds the paper's values, refuses nonsense, and scales."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_keras.errors import UserError
from resnet_keras.training.recipe import PRESETS, Recipe, preset, scale_of


def test_defaults_are_the_papers():
    recipe = Recipe()
    assert (recipe.iterations, recipe.drops, recipe.batch_size) == (64_000, (32_000, 48_000), 128)
    assert (recipe.learning_rate, recipe.drop_factor) == (0.1, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.decay_on) == (0.9, 1e-4, "kernels")
    assert (recipe.warmup_rate, recipe.warmup_error) == (0.01, 80.0)


def test_shorter_scales_drop_in_proportion():
    short, medium = preset("short"), preset("medium")
    assert (short.iterations, short.drops) == (2000, (1000, 1500))
    assert (medium.iterations, medium.drops) == (6400, (3200, 4800))
    with pytest.raises(UserError, match="smoke, short, medium, paper"):
        preset("long")


def test_warm_up_is_for_depth_110_and_more():
    recipe = Recipe()
    assert [recipe.warms_up(depth) for depth in (20, 56, 110, 1202)] == [False, False, True, True]
    assert Recipe(warmup="always").warms_up(20) and not Recipe(warmup="never").warms_up(1202)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iterations", 0), ("iterations", 1.5), ("iterations", True), ("batch_size", -1), ("learning_rate", 0),
        ("learning_rate", float("nan")), ("drop_factor", 2), ("momentum", 1.0), ("weight_decay", -1e-4),
        ("warmup", "yes"), ("warmup_error", 101), ("decay_on", "biases"), ("precision", "float16"),
        ("drops", (5, 3)), ("drops", (0,)), ("drops", (1.5,)), ("validation", -1), ("log_interval", 0),
        ("test_interval", 750), ("augment", "no"), ("steps_per_call", -1), ("iterations", "many"),
        ("bn_batch", 48), ("bn_batch", -1), ("crop", 8), ("crop", 64.0),
        ("drops", "5"), ("augment", 1), ("learning_rate", "0.1"), ("warmup", None),
    ],
)  # fmt: skip
def test_refuses_by_name_and_value(field, value):
    with pytest.raises(UserError, match=f"{field}=.*{str(value)[:4] if field != 'drops' else ''}") as refusal:
        Recipe(**{field: value})
    assert "\n" not in str(refusal.value)


def test_the_names_of_scales_survive_another_precision():
    for name, recipe in PRESETS.items():
        assert scale_of(recipe) == name
        assert scale_of(dataclasses.replace(recipe, precision="bfloat16", log_interval=10, test_interval=10)) == name
    assert scale_of(Recipe(iterations=63_999)) == "custom"


def test_how_often_a_run_is_tested_decides_nothing():
    often = Recipe(log_interval=7, test_interval=14, checkpoint_interval=3, steps_per_call=5)
    assert often.deciding() == Recipe().deciding() == {}
    assert Recipe(weight_decay=0.0, bn_batch=64).deciding() == {"weight_decay": 0.0, "bn_batch": 64}


@settings(deadline=None)
@given(st.integers(1, 10**6))
def test_shortened_keeps_the_order_of_the_drops(iterations):
    recipe = Recipe().shortened(iterations)
    assert recipe.iterations == iterations
    assert all(1 <= drop <= max(1, iterations) for drop in recipe.drops)
    assert list(recipe.drops) == sorted(recipe.drops)


def test_imagenet_is_the_recipe_of_section_3_4():
    recipe = preset("imagenet")
    assert (recipe.iterations, recipe.batch_size, recipe.bn_batch) == (600_000, 256, 32)
    assert (recipe.learning_rate, recipe.momentum, recipe.weight_decay, recipe.crop) == (0.1, 0.9, 1e-4, 224)
    assert len(recipe.drops) == 3 and not recipe.warms_up(152)
    assert scale_of(dataclasses.replace(recipe, precision="bfloat16")) == "imagenet"
