"""Convolution and pooling padded as the authors pad; BN as stock Keras does with the paper's constants."""

import keras
import numpy as np
import pytest

from resnet_keras.models.layers import BatchNormalization, Conv2D, MaxPooling2D
from tests.models import reference
from tests.models.reference import array, gradient, randomize

X = np.random.default_rng(0).normal(1.0, 2.0, (4, 5, 6, 3)).astype("float32")
WEIGHT = np.random.default_rng(1).normal(size=X.shape).astype("float32")  # makes the loss's gradient uneven


@pytest.mark.parametrize(("size", "stride", "side"), [(1, 1, 8), (1, 2, 9), (3, 1, 9), (3, 2, 8), (3, 2, 9), (7, 2, 8)])
def test_convolution_pads_both_sides_alike(size, stride, side):
    conv = Conv2D(3, size, stride)
    conv.build((None, side, side, 2))
    x = np.random.default_rng(0).normal(size=(2, side, side, 2)).astype("float32")
    out = array(conv(x))
    np.testing.assert_allclose(out, reference.conv(x, array(conv.kernel), stride), rtol=1e-4, atol=1e-5)
    assert conv.compute_output_shape(x.shape) == out.shape
    assert not conv.use_bias


@pytest.mark.parametrize("side", [16, 17])
@pytest.mark.parametrize("padding", ["end", "both"])
def test_pool_padding(padding, side):
    """ "end" rounds up and lets the last window hang over the edge, as Caffe does; "both" sees one pixel around."""
    layer = MaxPooling2D(padding)
    x = np.random.default_rng(0).uniform(0, 1, (2, side, side, 3)).astype("float32")
    start = 0 if padding == "end" else -1
    count = -(-(side - 3) // 2) + 1 if padding == "end" else (side - 1) // 2 + 1
    expected = np.zeros((2, count, count, 3), "float32")
    for row in range(count):
        for column in range(count):
            top, left = start + 2 * row, start + 2 * column
            expected[:, row, column] = x[:, max(0, top) : top + 3, max(0, left) : left + 3].max((1, 2))
    np.testing.assert_array_equal(array(layer(x)), expected)
    assert layer.compute_output_shape(x.shape) == expected.shape


def pair(**options):
    """Our BN and stock Keras' with the paper's constants, with the same weights."""
    ours, stock = BatchNormalization(**options), keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **options)
    for layer in (ours, stock):
        layer.build(X.shape)
        randomize(layer)
    return ours, stock


@pytest.mark.parametrize(("training", "frozen"), [(True, False), (False, False), (True, True)])
def test_bn_is_stock_keras_with_the_papers_constants(training, frozen):
    """Gradients, outputs and the statistics that training moves, unless the layer is frozen."""
    ours, stock = pair()
    ours.trainable = stock.trainable = not frozen
    before = [array(weight) for weight in (ours.gamma, ours.beta, ours.moving_mean, ours.moving_variance)]
    to_x = []
    for layer in (ours, stock):
        loss = lambda x, layer=layer: keras.ops.sum(WEIGHT * layer(x, training=training))  # noqa: E731
        to_x.append(gradient(loss, X))
        layer.set_weights(before)
    np.testing.assert_allclose(*to_x, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(array(ours(X, training=training)), array(stock(X, training=training)), atol=1e-5)
    for mine, theirs in zip(ours.weights, stock.weights, strict=True):
        np.testing.assert_allclose(array(mine), array(theirs), atol=1e-5)
    after = 0.9 * before[2] + 0.1 * X.mean((0, 1, 2)) if training and not frozen else before[2]
    np.testing.assert_allclose(array(ours.moving_mean), after, rtol=1e-5)


def test_low_precision_keeps_float32_statistics():
    ours, stock = pair(dtype="mixed_bfloat16")
    x = keras.ops.cast(X, "bfloat16")
    outputs = [layer(x, training=True) for layer in (ours, stock)]
    assert keras.backend.standardize_dtype(outputs[0].dtype) == "bfloat16" and ours.moving_mean.dtype == "float32"
    np.testing.assert_allclose(array(ours.moving_mean), array(stock.moving_mean), atol=1e-2)
    mine, theirs = (array(keras.ops.cast(layer(x), "float32")) for layer in (ours, stock))
    np.testing.assert_allclose(mine, theirs, atol=5e-2)


def test_groups_are_normalized_as_batches_of_their_own():
    """Against stock Keras on each half: outputs, and moving statistics that take the mean of the halves'."""
    ours, stock = pair()
    ours.group = 2
    start = [array(weight) for weight in stock.weights]
    outputs, ends = [], []
    for half in (X[:2], X[2:]):
        stock.set_weights(start)
        outputs.append(array(stock(half, training=True)))
        ends.append([array(weight) for weight in stock.weights])
    np.testing.assert_allclose(array(ours(X, training=True)), np.concatenate(outputs), atol=1e-5)
    for mine, *halves in zip(ours.weights, *ends, strict=True):
        np.testing.assert_allclose(array(mine), np.mean(halves, axis=0), atol=1e-5)
    stock.set_weights([array(weight) for weight in ours.weights])
    np.testing.assert_allclose(array(ours(X)), array(stock(X)), atol=1e-5)  # groups play no part in inference
