"""Our BatchNormalization does what stock Keras does with the paper's constants."""

import keras
import numpy as np
import pytest

import resnet_keras
from resnet_keras.models.normalization import EPSILON, MOMENTUM, BatchNormalization, normalize_in_groups
from tests.models.reference import array, randomize

X = np.random.default_rng(0).normal(1.0, 2.0, (4, 5, 6, 3)).astype("float32")
WEIGHT = np.random.default_rng(1).normal(size=X.shape).astype("float32")  # makes the loss's gradient uneven


def pair(**options):
    ours = BatchNormalization(**options)
    stock = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **options)
    for layer in (ours, stock):
        layer.build(X.shape)
        randomize(layer)
    return ours, stock


def gradients(layer, training):
    """Output, and the gradients of sum(WEIGHT * output) with respect to the input, gamma and beta."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(WEIGHT * tf.cast(layer(x, training=training), "float32"))
        return tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
    import jax

    def loss(x, trainable):
        fixed = [v.value for v in layer.non_trainable_variables]
        return (WEIGHT * layer.stateless_call(trainable, fixed, x, training=training)[0]).sum()

    to_x, to_weights = jax.grad(loss, argnums=(0, 1))(X, [v.value for v in layer.trainable_variables])
    return [to_x, *to_weights]


def test_the_papers_constants():
    assert (MOMENTUM, EPSILON) == (0.9, 1e-5)
    layer = BatchNormalization()
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_forward_and_moving_statistics_equal_stock_keras(training):
    ours, stock = pair()
    np.testing.assert_allclose(array(ours(X, training=training)), array(stock(X, training=training)), atol=1e-5)
    for mine, theirs in zip(ours.weights, stock.weights, strict=True):
        np.testing.assert_allclose(array(mine), array(theirs), atol=1e-5)


def test_training_moves_the_statistics():
    ours, _ = pair()
    before = array(ours.moving_mean), array(ours.moving_variance)
    ours(X, training=True)
    for old, now, batch in zip(
        before, (ours.moving_mean, ours.moving_variance), (X.mean((0, 1, 2)), X.var((0, 1, 2))), strict=True
    ):
        np.testing.assert_allclose(array(now), 0.9 * old + 0.1 * batch, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_stock_keras(training):
    ours, stock = pair()
    for mine, theirs in zip(gradients(ours, training), gradients(stock, training), strict=True):
        np.testing.assert_allclose(array(mine), array(theirs), atol=1e-5, rtol=1e-5)


def test_frozen_layer_uses_and_keeps_its_statistics():
    ours, stock = pair()
    ours.trainable = stock.trainable = False
    before = array(ours.moving_mean)
    np.testing.assert_allclose(array(ours(X, training=True)), array(stock(X, training=True)), atol=1e-5)
    np.testing.assert_array_equal(array(ours.moving_mean), before)


def test_low_precision_keeps_float32_statistics():
    ours, stock = pair(dtype="mixed_bfloat16")
    x = keras.ops.cast(X, "bfloat16")
    out = ours(x, training=True)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    stock(x, training=True)
    assert ours.moving_mean.dtype == "float32"
    np.testing.assert_allclose(array(ours.moving_mean), array(stock.moving_mean), atol=1e-2)
    expected = array(keras.ops.cast(stock(x), "float32"))
    np.testing.assert_allclose(array(keras.ops.cast(ours(x), "float32")), expected, atol=5e-2)


def test_works_on_matrices():
    ours = BatchNormalization()
    x = X.reshape(-1, 3)
    np.testing.assert_allclose(array(ours(x, training=True)).mean(0), 0, atol=1e-5)


def test_groups_are_normalized_as_batches_of_their_own():
    """Against stock Keras on each half: outputs, and moving statistics that take the mean of the halves'."""
    ours, stock = pair()
    ours.group = 2
    start = [array(weight) for weight in stock.weights]
    outputs, ends = [], []
    for half in (X[:2], X[2:]):
        for weight, value in zip(stock.weights, start, strict=True):
            weight.assign(value)
        outputs.append(array(stock(half, training=True)))
        ends.append([array(weight) for weight in stock.weights])
    np.testing.assert_allclose(array(ours(X, training=True)), np.concatenate(outputs), atol=1e-5)
    for mine, *halves in zip(ours.weights, *ends, strict=True):
        np.testing.assert_allclose(array(mine), np.mean(halves, axis=0), atol=1e-5)
    np.testing.assert_allclose(array(ours(X)), array(stock_like(ours)(X)), atol=1e-5)


def stock_like(layer):
    """Stock Keras with the same weights: groups play no part in inference."""
    stock = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    stock.build(X.shape)
    for weight, other in zip(stock.weights, layer.weights, strict=True):
        weight.assign(other)
    return stock


def test_a_network_is_set_to_groups_and_saved_without():
    network = resnet_keras.build("resnet8", classes=4, input_shape=(8, 8, 3))
    normalize_in_groups(network, 4)
    layers = [layer for _, layer, _ in network.parts() if isinstance(layer, BatchNormalization)]
    assert len(layers) == 7 and {layer.group for layer in layers} == {4}
    assert BatchNormalization().group == 0 and "group" not in layers[0].get_config()
