"""The layers and CIFAR networks of the paper in NumPy, written from its text with loops: slow, and independent."""

import re

import keras
import numpy as np

NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def array(x):
    """A tensor or variable of any backend as NumPy."""
    return keras.ops.convert_to_numpy(x)


def gradient(function, x):
    """Gradient of a scalar function of one array, on the current backend, as NumPy."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return array(tape.gradient(value, x))
    import jax

    return array(jax.grad(function)(x))


def conv(x, kernel, stride=1):
    """Convolve [b, h, w, c] with [k, k, c, f], (k - 1) / 2 zeros on each side of the map."""
    size = kernel.shape[0]
    border = (size - 1) // 2
    x = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    height = (x.shape[1] - size) // stride + 1
    width = (x.shape[2] - size) // stride + 1
    out = np.zeros((len(x), height, width, kernel.shape[3]))
    for row in range(height):
        for column in range(width):
            window = x[:, row * stride : row * stride + size, column * stride : column * stride + size]
            out[:, row, column] = np.einsum("bijc,ijcf->bf", window, kernel)
    return out


def batch_norm(x, gamma, beta, moving_mean, moving_variance, training=False, epsilon=1e-5):
    """Normalise with the batch's own statistics in training, with the moving ones otherwise."""
    mean = x.mean((0, 1, 2)) if training else moving_mean
    variance = x.var((0, 1, 2)) if training else moving_variance
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def relu(x):
    return np.maximum(x, 0)


def subsample(x, stride, channels):
    """Option A: every `stride`-th pixel, new channels zero."""
    out = np.zeros((*x[:, ::stride, ::stride].shape[:3], channels))
    out[..., : x.shape[3]] = x[:, ::stride, ::stride]
    return out


def block(x, weights, strides, shortcut, channels, training=False):
    """One block of Fig. 5. `weights`: path below the block -> array; `strides`: one per convolution."""

    def norm(y, name):
        return batch_norm(y, *(weights[f"{name}/{kind}"] for kind in NORM), training)

    y = x
    for number, stride in enumerate(strides, start=1):
        y = norm(conv(y, weights[f"conv{number}/kernel"], stride), f"bn{number}")
        if number < len(strides):
            y = relu(y)
    stride = int(np.prod(strides))
    grows = stride > 1 or x.shape[3] != channels
    if shortcut == "C" or (shortcut == "B" and grows):
        y = y + norm(conv(x, weights["shortcut_conv/kernel"], stride), "shortcut_bn")
    elif shortcut != "none":
        y = y + subsample(x, stride, channels)
    return relu(y)


def forward(name, weights, images, training=False):
    """Of a CIFAR network of basic blocks, option A or none, from the values of its variables by their paths.

    Logits, and place of each convolution -> (its output, the same after BN), in the order of the data.
    """
    seen = {}

    def layer(x, place, stride=1):
        before = after = conv(x, weights[f"{place}/kernel"], stride)
        bn = place.replace("conv", "bn")
        if f"{bn}/gamma" in weights:
            after = batch_norm(before, *(weights[f"{bn}/{kind}"] for kind in NORM), training)
        seen[place] = before, after
        return after

    x = relu(layer(images - weights["mean/mean"], "conv1"))
    blocks = (int(re.sub(r"\D", "", name)) - 2) // 6
    for stage, number in ((stage, number) for stage in (1, 2, 3) for number in range(1, blocks + 1)):
        place, stride = f"stage{stage}_block{number}", 2 if stage > 1 and number == 1 else 1
        y = layer(relu(layer(x, f"{place}/conv1", stride)), f"{place}/conv2")
        x = relu(y + subsample(x, stride, y.shape[-1]) if name.startswith("resnet") else y)
    return x.mean((1, 2)) @ weights["fc/kernel"] + weights["fc/bias"], seen


def cross_entropy(logits, labels):
    logits = logits - logits.max(1, keepdims=True)
    return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels])


def weights_of(layer):
    """Path below a layer -> its value, float64."""
    return {v.path.split(f"{layer.name}/", 1)[1]: array(v).astype("float64") for v in layer.weights}


def randomize(layer, seed=0):
    """Give every variable of a built layer values that no test could pass with by chance: no zeros, no ones."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        kind = variable.path.rsplit("/", 1)[-1]
        values = rng.normal(size=variable.shape)
        if kind == "kernel":
            values = values * np.sqrt(2 / np.prod(variable.shape[:-1]))
        elif kind in ("gamma", "moving_variance"):
            values = rng.uniform(0.5, 1.5, variable.shape)
        elif kind in ("beta", "moving_mean", "bias"):
            values = 0.3 * values
        elif kind == "mean":
            values = rng.uniform(90, 140, variable.shape)
        else:
            continue
        variable.assign(values.astype("float32"))
    return layer
