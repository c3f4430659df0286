"""Precise BN: statistics of batch normalization as plain averages over training batches, in place of moving ones.

The authors did so after training. A moving average knows the last ten batches or so, of weights that still changed.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from keras import ops

from resnet_keras.errors import UserError
from resnet_keras.models.layers import BatchNormalization
from resnet_keras.training.steps import compiled

# Batches for weights that come without a recipe: the paper's 32 images of a device.
ELSEWHERE = {"batch_size": 32, "augment": True}


def recompute(network, batches: Iterable[np.ndarray]) -> None:
    """Replace the network's moving statistics, in memory alone, by plain averages over these batches.

    Each batch goes through the network as in training, every layer normalised with the batch's own statistics. A
    layer's mean and (biased) variance are then the averages of its batches' means and variances.

    Args:
        network: A network with BN.
        batches: Training images, uint8 [b, h, w, c] each, of one size.

    Raises:
        UserError: The network has no BN, or there are no batches.
    """
    layers = [layer for _, layer in network.parts() if isinstance(layer, BatchNormalization)]
    if not layers:
        raise UserError(f"{network.name} has no batch normalization: there are no statistics to recompute.")
    variables = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    places = {id(variable): place for place, variable in enumerate(network.non_trainable_variables)}

    @compiled
    def statistics(weights, others, images):
        _, new = network.stateless_call(weights, others, images, training=True)
        return [new[places[id(variable)]] for variable in variables]

    groups = (network.trainable_variables, network.non_trainable_variables)
    values = [[ops.convert_to_tensor(variable) for variable in group] for group in groups]
    sums, count, momenta = [np.zeros(variable.shape) for variable in variables], 0, [each.momentum for each in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0  # the moving average then *is* the last batch's statistic
        for images in batches:
            new = statistics(*values, ops.convert_to_tensor(images))
            sums, count = (
                [total + np.asarray(each, np.float64) for total, each in zip(sums, new, strict=True)],
                count + 1,
            )
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    if not count:
        raise UserError("precise BN over 0 batches: give 1 or more.")
    for variable, total in zip(variables, sums, strict=True):
        variable.assign((total / count).astype("float32"))


def training_batches(dataset, config: dict) -> Iterator:
    """Endless batches of training images [b, h, w, c], drawn and augmented as a run's recipe says.

    Args:
        dataset: A data set, in memory or of photographs.
        config: The run's configuration; empty for weights from elsewhere. A batch is what BN saw together.
    """
    recipe = config.get("recipe", ELSEWHERE)
    size = recipe.get("bn_batch") or recipe["batch_size"]
    with contextlib.closing(dataset.feed(config.get("seed", 0), size, recipe["augment"])) as feed:
        arrays = [ops.convert_to_tensor(array) for array in feed.arrays]
        for iteration in itertools.count():
            plan = feed.take(iteration, 1)
            yield feed.apply(*arrays, plan._make(field[0] for field in plan))[0]
