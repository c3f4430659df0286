"""Each kind of block and shortcut against a forward pass written with loops in NumPy."""

import numpy as np
import pytest
from keras import ops

from resnet_keras.models.blocks import BasicBlock, Bottleneck, identity
from tests.models import reference
from tests.models.reference import array, gradient

X = np.random.default_rng(1).normal(size=(3, 8, 6, 8)).astype("float32")


def block_of(cls, channels_in, **options):
    block = cls(**options, name="block")
    block.build((None, 8, 6, channels_in))
    return reference.randomize(block)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize(
    ("cls", "channels_in", "filters", "stride", "stride_in", "strides"),
    [
        (BasicBlock, 4, 4, 1, "1x1", (1, 1)),
        (BasicBlock, 4, 8, 2, "1x1", (2, 1)),
        (Bottleneck, 8, 2, 1, "1x1", (1, 1, 1)),
        (Bottleneck, 4, 2, 1, "1x1", (1, 1, 1)),  # channels grow while the map does not: conv2_x of Table 1
        (Bottleneck, 4, 2, 2, "1x1", (2, 1, 1)),
        (Bottleneck, 4, 2, 2, "3x3", (1, 2, 1)),
    ],
    ids=["basic", "basic/2", "bottleneck", "bottleneck-wider", "bottleneck/2-v1", "bottleneck/2-v1.5"],
)
def test_block_against_numpy(cls, channels_in, filters, stride, stride_in, strides, shortcut, training):
    block = block_of(cls, channels_in, filters=filters, stride=stride, stride_in=stride_in, shortcut=shortcut)
    x, weights = X[..., :channels_in], reference.weights_of(block)
    expected = reference.block(x.astype("float64"), weights, strides, shortcut, block.channels, training)
    out = array(block(x, training=training))
    assert out.shape == expected.shape == (3, *block.compute_output_shape(x.shape)[1:])
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shortcut", ["A", "C"])
def test_watching_shows_every_layer_inside_and_changes_nothing(shortcut):
    block, seen = block_of(BasicBlock, 8, filters=8, shortcut=shortcut), []
    watched = block(X, watch=lambda *step: seen.append(step))
    np.testing.assert_array_equal(array(watched), array(block(X)))
    assert [layer for layer, *_ in seen] == block.parts()
    for layer, before, after in seen:
        np.testing.assert_array_equal(array(layer(before)), array(after))
    np.testing.assert_array_equal(array(seen[3][2]), array(block.residual(X)))


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
