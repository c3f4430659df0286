"""Layers, blocks and rows of blocks against loops in NumPy, stock Keras, and one another."""

import keras
import numpy as np
import pytest
from keras import ops

from resnet_keras import build
from resnet_keras.models import layers, scan
from resnet_keras.models.blocks import BasicBlock, Bottleneck, identity
from resnet_keras.models.layers import Conv2D, MaxPooling2D, normalization
from resnet_keras.training.steps import compiled, gradients
from tests.faults.conftest import torture
from tests.models import reference
from tests.models.reference import array, gradient, randomize

RNG = np.random.default_rng(1)
X = RNG.normal(1.0, 2.0, (4, 5, 6, 3)).astype("float32")
WEIGHT = RNG.normal(size=X.shape).astype("float32")  # makes the loss's gradient uneven
MAPS = RNG.normal(size=(3, 8, 6, 8)).astype("float32")
IMAGES, LABELS = RNG.integers(0, 256, (4, 8, 8, 3), np.uint8), np.array([0, 1, 2, 3], np.int32)


@pytest.mark.parametrize(("size", "stride", "side"), [(1, 1, 8), (1, 2, 9), (3, 1, 9), (3, 2, 8), (3, 2, 9), (7, 2, 8)])
def test_convolution_pads_both_sides_alike(size, stride, side):
    conv = Conv2D(3, size, stride)
    conv.build((None, side, side, 2))
    x = np.random.default_rng(0).normal(size=(2, side, side, 2)).astype("float32")
    out = array(conv(x))
    np.testing.assert_allclose(out, reference.conv(x, array(conv.kernel), stride), rtol=1e-4, atol=1e-5)
    assert conv.compute_output_shape(x.shape) == out.shape
    assert not conv.use_bias


def test_on_small_maps_output_and_gradients_are_those_of_tensorflow(monkeypatch):
    shapes, results, taken = ((2, 6, 7, 64), (3, 3, 64, 5), (2, 6, 7, 5)), [], []
    x, kernel, outer = (RNG.normal(size=shape).astype("float32") for shape in shapes)
    faster, conv = layers.small_map_convolution, Conv2D(5, 3)
    monkeypatch.setattr(layers, "small_map_convolution", lambda *each: taken.append(1) or faster(*each))
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: [])
    for cpu in ("AVX2", "AMX"):
        monkeypatch.setattr(layers, "cpu_class", lambda cpu=cpu: cpu)
        to_x = gradient(lambda x: ops.sum(outer * conv.convolution_op(x, kernel)), x)
        to_kernel = gradient(lambda kernel: ops.sum(outer * conv.convolution_op(x, kernel)), kernel)
        results.append([array(conv.convolution_op(ops.convert_to_tensor(x), kernel)), to_x, to_kernel])
    assert len(taken) == 3 * (keras.config.backend() == "tensorflow")
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


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
    ours, stock = normalization(True, **options), keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **options)
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
        loss = lambda x, layer=layer: ops.sum(WEIGHT * layer(x, training=training))  # noqa: E731
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
    for training in (True, False):
        mine, theirs = (layer(ops.cast(X, "bfloat16"), training=training) for layer in (ours, stock))
        assert keras.backend.standardize_dtype(mine.dtype) == "bfloat16" and ours.moving_mean.dtype == "float32"
        np.testing.assert_allclose(array(ops.cast(mine, "float32")), array(ops.cast(theirs, "float32")), atol=5e-2)
        np.testing.assert_allclose(array(ours.moving_mean), array(stock.moving_mean), atol=1e-2)


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


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize(("kind", "channels_in", "filters", "stride", "stride_in", "strides"), [
    (BasicBlock, 4, 4, 1, "1x1", (1, 1)), (BasicBlock, 4, 8, 2, "1x1", (2, 1)),
    (Bottleneck, 8, 2, 1, "1x1", (1, 1, 1)), (Bottleneck, 4, 2, 2, "1x1", (2, 1, 1)),
    (Bottleneck, 4, 2, 1, "1x1", (1, 1, 1)),  # channels grow while the map does not: conv2_x of Table 1
    (Bottleneck, 4, 2, 2, "3x3", (1, 2, 1)),
], ids=["basic", "basic/2", "bottleneck", "bottleneck/2-v1", "bottleneck-wider", "bottleneck/2-v1.5"])  # fmt: skip
def test_block_against_numpy(kind, channels_in, filters, stride, stride_in, strides, shortcut, training):
    block = kind(filters, stride=stride, stride_in=stride_in, shortcut=shortcut, name="block")
    block.build((None, 8, 6, channels_in))
    randomize(block)
    x, weights = MAPS[..., :channels_in], reference.weights_of(block)
    expected = reference.block(x.astype("float64"), weights, strides, shortcut, block.channels, training)
    out = array(block(x, training=training))
    assert out.shape == expected.shape == (3, *block.compute_output_shape(x.shape)[1:])
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


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


@pytest.mark.parametrize(("shortcut", "dtype", "training"), [
    ("A", "float32", True), ("A", "float32", False), ("C", "mixed_bfloat16", True)
])  # fmt: skip
def test_equal_blocks_run_as_a_loop_do_what_they_do_one_by_one(shortcut, dtype, training, monkeypatch):
    """Logits, moving statistics and gradients of a compiled step."""
    loops, results = [], []
    for backend, loop in scan.LOOPS.items():
        monkeypatch.setitem(scan.LOOPS, backend, lambda *each, loop=loop: loops.append(1) or loop(*each))
    network = randomize(build("resnet14", classes=4, input_shape=(8, 8, 3), shortcut=shortcut, dtype=dtype))
    values = [[v.value for v in group] for group in (network.trainable_variables, network.non_trainable_variables)]
    for network.scan_from in (None, 2):
        assert not loops
        logits, moved = compiled(lambda *each: network.stateless_call(*each, IMAGES, training=training))(*values)
        _, slopes = gradients(network)(IMAGES, LABELS)
        results.append([array(ops.cast(each, "float32")) for each in (logits, *moved, *slopes)])
    assert loops
    tolerance = 2e-4 if dtype == "float32" else 0.2
    for plain, looped in zip(*results, strict=True):
        assert np.abs(looped - plain).max() <= tolerance * max(1e-6, np.abs(plain).max())


def test_frozen_blocks_and_blocks_of_other_kinds_stay_out_of_the_loop():
    network = build("resnet32", input_shape=(8, 8, 3))

    def rows():
        return [len(layer.blocks) for layer in scan.joined(network.chain(), 2) if isinstance(layer, scan.BlockRow)]

    assert rows() == [5, 4, 4]
    network.blocks[2].bns[0].trainable = False
    assert rows() == [2, 2, 4, 4]
    assert scan.joined(network.chain(), None) == scan.joined(network.chain(), 6) == network.chain()


@torture("traces 1,202 layers for minutes")
def test_1202_layers_build_and_take_a_step():
    loss, slopes = gradients(build("resnet1202", classes=4, input_shape=(8, 8, 3)))(IMAGES, LABELS)
    assert len(slopes) == 3 * 1201 + 2 and np.isfinite(loss) and all(np.isfinite(each).all() for each in slopes)
