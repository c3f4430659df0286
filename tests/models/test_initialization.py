"""Initial weights: He's distribution, a function of seed and place, the same on every backend (see test_jax)."""

import numpy as np
import pytest

from resnet_keras import build
from resnet_keras.models.layers import he_normal
from tests.models.reference import array


@pytest.mark.parametrize("shape", [(3, 3, 64, 64), (1, 1, 256, 128), (2048, 50)])
def test_variance_is_two_over_fan_in(shape):
    draws = he_normal(shape, 0, "conv1/kernel")
    assert draws.dtype == "float32"
    fan_in = np.prod(shape[:-1])
    assert abs(draws.mean()) < 5 * np.sqrt(2 / fan_in / draws.size)
    np.testing.assert_allclose(draws.var(), 2 / fan_in, rtol=0.05)
    assert abs(draws).max() > 3 * draws.std()  # a plain Gaussian, not the truncated one of Keras' he_normal


def test_weights_depend_on_seed_and_place_alone():
    first, again, *others = (
        he_normal((3, 3, 4, 4), seed, place)
        for seed, place in ((0, "a/kernel"), (0, "a/kernel"), (1, "a/kernel"), (0, "b/kernel"))
    )
    np.testing.assert_array_equal(first, again)
    assert not any(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize(("shortcut", "kinds"), [("A", 7), ("B", 9)])
def test_what_a_network_starts_with(shortcut, kinds):
    """Kernels are drawn; gamma and variances start at 1, the last gamma of a block too, and the rest at 0."""
    kernels = 0
    for variable in build("resnet8", shortcut=shortcut, seed=5).weights:
        place, kind = variable.path.split("/", 1)[1], variable.path.rsplit("/", 1)[-1]
        if kind == "kernel":
            np.testing.assert_array_equal(array(variable), he_normal(tuple(variable.shape), 5, place))
            kernels += 1
        else:
            assert (array(variable) == (1 if kind in ("gamma", "moving_variance") else 0)).all(), place
    assert kernels == kinds + 1  # convolutions and the classifier


def test_twins_have_the_same_places():
    plain, residual, bare = build("plain8"), build("resnet8"), build("resnet8", batch_norm=False)
    places = [[v.path.split("/", 1)[1] for v in network.trainable_variables] for network in (plain, residual, bare)]
    assert places[0] == places[1]
    assert places[2] == [place for place in places[0] if place.endswith(("kernel", "bias"))]
