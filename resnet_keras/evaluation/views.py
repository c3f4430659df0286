"""The paper's three ways of testing an ImageNet network (Sec. 3.4): one view, 10 crops, and whole pictures at scales.

Each averages the *softmax scores* of a picture's views. Photographs come and go as a stream: what is held is a few
batches, however many there are. A CIFAR picture has one view, itself (Sec. 4.2).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from resnet_keras.data import views
from resnet_keras.data.photographs import opened
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import BATCH, softmax
from resnet_keras.models.catalogue import architecture


class Mode(NamedTuple):
    """A way of testing on several views of a photograph.

    Attributes:
        prepare: a Pillow picture -> its views, uint8.
        scorer: a network -> a function of the prepared pictures of a batch, to probabilities [b, classes].
        batch: pictures a call.
    """

    prepare: Callable[[Any], Any]
    scorer: Callable[[Any], Callable[[list], np.ndarray]]
    batch: int


def _crops(network) -> Callable[[list], np.ndarray]:
    """Scores of pictures that are given as crops of one size, [views, h, w, 3] each."""

    def scores(prepared: list) -> np.ndarray:
        found = softmax(network.predict_on_batch(np.concatenate(prepared)))
        return found.reshape(len(prepared), -1, found.shape[-1]).mean(axis=1)

    return scores


def _scales(network) -> Callable[[list], np.ndarray]:
    """Scores of whole pictures, each a list of uint8 [h, w, 3], by the fully convolutional form of the network."""
    maps = ScoreMap(network)

    def of(picture: list[np.ndarray]) -> np.ndarray:
        pairs = [np.stack([scaled, scaled[:, ::-1]]) for scaled in picture]
        return np.mean([softmax(maps.predict_on_batch(pair)).mean(axis=0) for pair in pairs], axis=0)

    return lambda prepared: np.stack([of(picture) for picture in prepared])


class ScoreMap(keras.Model):
    """A network in its fully convolutional form: the classifier at every position of the last map, then averaged.

    The first fully-connected layer becomes a convolution over the map that it was made for (1x1 behind the global
    pooling of a ResNet, 7x7 in VGG) and the others 1x1 ones. The class scores are averaged over the positions, before
    the softmax, as in [41] of the paper. [b, h, w, 3], any size from the network's own up, to float32 [b, classes].
    """

    def __init__(self, network):
        """`network`: of ImageNet or VGG, with its top. Nothing is copied: the weights are the network's."""
        super().__init__(autocast=False)
        self.network, self.built = network, True
        # Pictures come in all sizes. TensorFlow compiles for sizes unknown; JAX would compile for each one anew.
        self.compile(run_eagerly=keras.config.backend() != "tensorflow", jit_compile=False)

    def call(self, pictures):
        """Logits, averaged over the positions."""
        return ops.mean(self.positions(pictures), axis=(1, 2))

    def positions(self, pictures):
        """Logits at every position, float32 [b, h', w', classes]."""
        x = self.network.mean(pictures)
        for layers in self.network.stages.values():
            for layer in layers:
                x = layer(x, training=False)
        for layer in self.network.top:
            if isinstance(layer, keras.layers.Dense):
                x = self._convolved(layer, x)
            elif isinstance(layer, keras.layers.MaxPooling2D):
                x = layer(x)  # VGG's last; what else stands here (pooling, flattening, dropout) has no part in a map
        return ops.cast(x, "float32")

    def _convolved(self, dense, x):
        """A fully-connected layer as a convolution without padding over as many positions as it has weights for."""
        kernel = ops.convert_to_tensor(dense.kernel)
        side = round((kernel.shape[0] / x.shape[-1]) ** 0.5)
        kernel = ops.reshape(kernel, (side, side, x.shape[-1], kernel.shape[-1]))
        x, kernel = ops.cast(x, dense.compute_dtype), ops.cast(kernel, dense.compute_dtype)
        x = ops.conv(x, kernel, padding="valid", data_format="channels_last") + ops.cast(dense.bias, x.dtype)
        return dense.activation(x)


MODES = {"10": Mode(views.ten_crop, _crops, 8), "multiscale": Mode(views.scales, _scales, 1)}
SINGLE = "1"  # the picture itself, or the central crop of a photograph


def check(network_name: str, mode: str) -> None:
    """Refuse what the paper does not do.

    Raises:
        UserError: There is no such mode, or it is not for a network of this kind.
    """
    if mode not in (SINGLE, *MODES):
        raise UserError(f"views={mode!r}: use one of {SINGLE}, {', '.join(MODES)}.")
    if mode != SINGLE and architecture(network_name).family == "cifar":
        raise UserError(
            f"{network_name} is tested on the single original picture (Sec. 4.2), views=1; 10 and multiscale are for "
            "ImageNet networks."
        )


def evaluated(network, split, mode: str = SINGLE) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities of a split, averaged over the views of each picture.

    Args:
        network: Any network for the single view, one of ImageNet or VGG for the others.
        split: Of a data set, in memory or of photographs; those are read as they are needed.
        mode: `SINGLE` or a key of `MODES`.

    Yields:
        Probabilities float64 [b, classes] and labels [b], batch by batch, in the order of the split.

    Raises:
        UserError: The mode is not for this network or this split, or a photograph is broken; the message names it.
    """
    check(network.name, mode)
    if mode == SINGLE:
        for images, labels in split.batches(BATCH):
            yield softmax(network.predict_on_batch(images)), labels
        return
    if not hasattr(split, "each"):
        raise UserError(f"views={mode} are views of photographs; pictures of one size are tested as they are, views=1.")
    chosen = MODES[mode]
    score = chosen.scorer(network)
    ready = split.each(lambda found: (chosen.prepare(opened(found.source, found.where)), found.label))
    while batch := list(itertools.islice(ready, chosen.batch)):
        yield score([shown for shown, _ in batch]), np.array([label for _, label in batch])
