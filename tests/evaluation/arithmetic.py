"""A CIFAR network of basic blocks, option A or none, in NumPy, from the values of its variables alone."""

import re

import numpy as np

from resnet_keras import build
from tests.models.reference import NORM, array, batch_norm, conv, randomize, relu, subsample

SHAPE = (8, 8, 3)


def trained_like(name, seed=0, **options):
    """A small network every variable of which is away from its start."""
    network = build(name, classes=4, input_shape=SHAPE, seed=seed, **options)
    randomize(network, seed)
    return network


def pictures(count, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, *SHAPE)).astype(np.uint8), draw.integers(0, 4, count).astype(np.int32)


def forward(name, weights, images, training=False):
    """Logits, and place of each convolution -> (its output, the same after BN), in the order of the data."""
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


def unchanged(network, before):
    return all(np.array_equal(old, array(new)) for old, new in zip(before, network.variables, strict=True))
