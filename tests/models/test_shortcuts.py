"""Option A's shortcut stays in register with the strided branch, and projections stand where the options say."""

import numpy as np
import pytest
from keras import ops

from resnet_keras.models.layers import Conv2D
from resnet_keras.models.shortcuts import OPTIONS, identity, projects
from tests.models.reference import array, gradient


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("option", OPTIONS)
def test_who_projects(option, grows):
    expected = {"A": (False, False), "B": (False, True), "C": (True, True), "none": (False, False)}
    assert projects(option, grows) is expected[option][grows]


def test_identity_takes_every_second_pixel_and_appends_zeros():
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")
    expected = np.zeros((2, 3, 3, 5), "float32")
    for row in range(3):
        for column in range(3):
            expected[:, row, column, :3] = x[:, 2 * row, 2 * column]
    np.testing.assert_array_equal(array(identity(x, 2, 5)), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_identity_passes_gradients_back_to_the_pixels_taken(dtype):
    upstream = np.random.default_rng(0).integers(-9, 10, (2, 3, 3, 5)).astype("float32")  # exact in both precisions
    expected = np.zeros((2, 6, 5, 3), "float32")
    for row in range(3):
        for column in range(3):
            expected[:, 2 * row, 2 * column] = upstream[:, row, column, :3]

    def carried(x):
        return ops.sum(ops.cast(identity(ops.cast(x, dtype), 2, 5), "float32") * upstream)

    np.testing.assert_array_equal(gradient(carried, np.ones((2, 6, 5, 3), "float32")), expected)


def test_identity_leaves_equal_shapes_alone():
    x = np.ones((1, 4, 4, 3), "float32")
    assert identity(x, 1, 3) is x


@pytest.mark.parametrize("size", [3, 7])
def test_an_impulse_stays_in_register_with_the_strided_convolution(size):
    """A kernel that passes its centre pixel on must return option A's subsample: Keras' "same" is one pixel off."""
    conv = Conv2D(1, size, 2)
    conv.build((None, 16, 16, 1))
    centre = np.zeros((size, size, 1, 1), "float32")
    centre[size // 2, size // 2] = 1
    conv.kernel.assign(centre)
    for row, column in [(0, 0), (6, 4), (14, 14)]:
        impulse = np.zeros((1, 16, 16, 1), "float32")
        impulse[0, row, column] = 1
        out = array(conv(impulse))
        np.testing.assert_array_equal(out, array(identity(impulse, 2, 1)))
        assert out[0, row // 2, column // 2, 0] == 1
