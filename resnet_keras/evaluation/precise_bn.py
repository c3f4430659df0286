"""Precise BN: statistics of batch normalization as plain averages over training batches, in place of moving ones.

The authors did so after training. A moving average knows the last ten batches or so, of weights that still changed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from keras import ops

from resnet_keras.errors import UserError
from resnet_keras.models.normalization import BatchNormalization


def recompute(network, batches: Iterable[np.ndarray]) -> int:
    """Replace the network's moving statistics, in memory alone, by plain averages over these batches.

    Each batch goes through the network as in training, every layer normalised with the batch's own statistics. A
    layer's mean and (biased) variance are then the averages of its batches' means and variances, each batch counting
    the same.

    Args:
        network: A network with BN.
        batches: Training pictures, uint8 [b, h, w, c] each, of one size.

    Returns:
        How many batches there were.

    Raises:
        UserError: The network has no BN, or there are no batches.
    """
    layers = [layer for _, layer, _ in network.parts() if isinstance(layer, BatchNormalization)]
    if not layers:
        raise UserError(f"{network.name} has no batch normalization: there are no statistics to recompute.")
    variables = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    sums, count = [np.zeros(tuple(variable.shape)) for variable in variables], 0
    for found in _statistics(network, layers, variables, batches):
        sums = [total + statistic for total, statistic in zip(sums, found, strict=True)]
        count += 1
    if not count:
        raise UserError("precise BN over 0 batches: give 1 or more.")
    for variable, total in zip(variables, sums, strict=True):
        variable.assign((total / count).astype("float32"))
    return count


def _statistics(network, layers, variables, batches):
    """The batch statistics behind `variables`, for each batch.

    With a momentum of 0 the moving average *is* the last batch's statistic; a stateless call hands it out and leaves
    the network as it is.
    """
    from resnet_keras.training.steps import compiled

    kept = [layer.momentum for layer in layers]
    places = {id(variable): place for place, variable in enumerate(network.non_trainable_variables)}
    wanted = [places[id(variable)] for variable in variables]

    def step(weights, others, pictures):
        _, new = network.stateless_call(weights, others, pictures, training=True)
        return [new[place] for place in wanted]

    step = compiled(step)
    groups = (network.trainable_variables, network.non_trainable_variables)
    values = [[ops.convert_to_tensor(variable) for variable in group] for group in groups]
    try:
        for layer in layers:
            layer.momentum = 0.0
        for pictures in batches:
            found = step(*values, ops.convert_to_tensor(pictures))
            yield [np.asarray(ops.convert_to_numpy(statistic), np.float64) for statistic in found]
    finally:
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum
