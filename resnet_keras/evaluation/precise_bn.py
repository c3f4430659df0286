"""Precise BN, as the authors did after training: plain averages over training batches in place of moving ones."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from keras import ops

from resnet_keras.errors import UserError
from resnet_keras.models.layers import BatchNormalization
from resnet_keras.training.steps import compiled


def recompute(network, batches: Iterable[np.ndarray]) -> None:
    """Replace the network's moving means and (biased) variances, in memory alone, by averages of those of batches.

    Of training images uint8 [b, h, w, c], each normalised with its own as in training. A UserError without BN.
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
    momenta, seen = [layer.momentum for layer in layers], []
    try:
        for layer in layers:
            layer.momentum = 0.0  # the moving average then *is* the last batch's statistic
        for images in batches:
            seen.append([np.asarray(each, np.float64) for each in statistics(*values, ops.convert_to_tensor(images))])
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for variable, batch_values in zip(variables, zip(*seen, strict=True), strict=True):
        variable.assign(np.mean(batch_values, axis=0).astype("float32"))


def training_batches(dataset, config: dict) -> Iterator:
    """Endless batches of training images [b, h, w, c], as many as BN saw together, drawn by the recipe in `config`."""
    recipe = config.get("recipe", {"batch_size": 32, "augment": True})  # else the paper's 32 images of a device
    size = recipe.get("bn_batch") or recipe["batch_size"]
    with contextlib.closing(dataset.feed(config.get("seed", 0), size, recipe["augment"])) as feed:
        arrays = [ops.convert_to_tensor(array) for array in feed.arrays]
        for iteration in itertools.count():
            plan = feed.take(iteration, 1)
            yield feed.apply(*arrays, plan._make(field[0] for field in plan))[0]
