"""The paper's three ways of testing an ImageNet network (Sec. 3.4): one view, 10 crops, whole photographs at scales.

Each averages the *softmax scores* of an image's views. Photographs come as a stream: a few batches are in memory,
however many there are. A CIFAR image has one view, itself (Sec. 4.2).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from resnet_keras.data import views
from resnet_keras.data.images import decode
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.models.catalogue import architecture

SINGLE = "1"  # the image itself, or the central crop of a photograph
BATCH = 500  # images a call


class Mode(NamedTuple):
    """A way of testing on several views of a photograph.

    Attributes:
        prepare: a Pillow image -> its views, uint8.
        scorer: a network -> a function of the prepared images of a batch, to probabilities [b, classes].
        batch: photographs a call.
    """

    prepare: Callable[[Any], Any]
    scorer: Callable[[Any], Callable[[list], np.ndarray]]
    batch: int


def _crops(network) -> Callable[[list], np.ndarray]:
    """Scores of photographs, each as crops of one size, [views, h, w, 3]."""

    def scores(prepared: list) -> np.ndarray:
        each = softmax(network.predict_on_batch(np.concatenate(prepared)))
        return each.reshape(len(prepared), -1, each.shape[-1]).mean(axis=1)

    return scores


def _scales(network) -> Callable[[list], np.ndarray]:
    """Scores of whole photographs, each a list of uint8 [h, w, 3], by the fully convolutional form of the network."""
    maps = ScoreMap(network)

    def scores(photograph: list[np.ndarray]) -> np.ndarray:
        pairs = [np.stack([scaled, scaled[:, ::-1]]) for scaled in photograph]
        return np.mean([softmax(maps.predict_on_batch(pair)).mean(axis=0) for pair in pairs], axis=0)

    return lambda prepared: np.stack([scores(photograph) for photograph in prepared])


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
        # Photographs come in all sizes. TensorFlow compiles for unknown sizes; JAX would compile for each one anew.
        self.compile(run_eagerly=keras.config.backend() != "tensorflow", jit_compile=False)

    def call(self, images):
        """Logits, averaged over the positions."""
        return ops.mean(self.positions(images), axis=(1, 2))

    def positions(self, images):
        """Logits at every position, float32 [b, h', w', classes]."""
        for _, layer, before, _ in self.network.walk(images):
            if layer is self.network.top[0]:
                x = before
                break
        for layer in self.network.top:
            if isinstance(layer, keras.layers.Dense):
                x = self._convolved(layer, x)
            elif isinstance(layer, keras.layers.MaxPooling2D):
                x = layer(x)  # VGG's last; the other layers here (pooling, flattening, dropout) have no part in a map
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


def check(network_name: str, mode: str) -> None:
    """Refuse what the paper does not do.

    Raises:
        UserError: There is no such mode, or it is not for a network of this kind.
    """
    if mode not in (SINGLE, *MODES):
        raise UserError(f"views={mode!r}: use one of {SINGLE}, {', '.join(MODES)}.")
    if mode != SINGLE and architecture(network_name).family == "cifar":
        raise UserError(
            f"{network_name} is tested on the single original image (Sec. 4.2), views=1; 10 and multiscale are for "
            "ImageNet networks."
        )


def evaluated(network, split, mode: str = SINGLE, view=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities of a split, averaged over the views of each image.

    Args:
        network: Any network for the single view, one of ImageNet or VGG for the others.
        split: Of a data set, in memory or of photographs; those are read as they are needed.
        mode: `SINGLE` or a key of `MODES`.
        view: What the network is shown of an image, for the single view; default: the split's own.

    Yields:
        Probabilities float64 [b, classes] and labels [b], batch by batch, in the order of the split.

    Raises:
        UserError: The mode is not for this network or this split, or a photograph is broken; the message names it.
    """
    check(network.name, mode)
    if mode == SINGLE:
        for images, labels in _viewed(split, view) if view else split.batches(BATCH):
            yield softmax(network.predict_on_batch(images)), labels
        return
    if not hasattr(split, "each"):
        raise UserError(f"views={mode} are views of photographs; images of one size are tested as they are, views=1.")
    prepare, scorer, size = MODES[mode]
    score = scorer(network)
    ready = split.each(lambda photo: (prepare(decode(photo.source, photo.where)), photo.label))
    while batch := list(itertools.islice(ready, size)):
        yield score([views for views, _ in batch]), np.array([label for _, label in batch])


def _viewed(split, view: Callable) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A split in batches, `view` of each of its images."""
    if hasattr(split, "each"):
        ready = split.each(lambda photo: (view(decode(photo.source, photo.where)), photo.label))
    else:
        ready = ((view(image), label) for image, label in zip(split.images, split.labels, strict=True))
    while batch := list(itertools.islice(ready, BATCH)):
        yield tuple(map(np.array, zip(*batch, strict=True)))
