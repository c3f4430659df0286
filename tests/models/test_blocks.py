"""Each kind of block against a forward pass written with loops in NumPy."""

import numpy as np
import pytest

from resnet_keras.models.blocks import BasicBlock, Bottleneck
from resnet_keras.models.layers import Conv2D
from tests.models import reference
from tests.models.reference import array


def made(cls, channels_in, **options):
    block = cls(**options, name="block")
    block.build((None, 8, 6, channels_in))
    reference.randomize(block)
    weights = {v.path.split("block/", 1)[1]: array(v).astype("float64") for v in block.weights}
    return block, weights


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
    block, weights = made(cls, channels_in, filters=filters, stride=stride, stride_in=stride_in, shortcut=shortcut)
    x = np.random.default_rng(1).normal(size=(3, 8, 6, channels_in)).astype("float32")
    expected = reference.block(x.astype("float64"), weights, strides, shortcut, block.channels, training)
    out = array(block(x, training=training))
    assert out.shape == expected.shape == (3, *block.compute_output_shape(x.shape)[1:])
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", [BasicBlock, Bottleneck])
def test_residual_minus_its_shortcut_is_plain(cls):
    """F(x) of a residual block is the plain block with the same weights, before the last ReLU."""
    plain, _ = made(cls, 8, filters=2, shortcut="none")
    residual, _ = made(cls, 8, filters=2, shortcut="A")
    x = np.random.default_rng(1).normal(size=(2, 8, 6, 8)).astype("float32")
    np.testing.assert_array_equal(np.maximum(array(residual.residual(x)), 0), array(plain(x)))


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize("side", [8, 9])
def test_convolution_pads_both_sides_alike(size, stride, side):
    conv = Conv2D(3, size, stride)
    conv.build((None, side, side, 2))
    x = np.random.default_rng(0).normal(size=(2, side, side, 2)).astype("float32")
    out = array(conv(x))
    np.testing.assert_allclose(out, reference.conv(x, array(conv.kernel), stride), rtol=1e-4, atol=1e-5)
    assert conv.compute_output_shape(x.shape) == out.shape
    assert not conv.use_bias
