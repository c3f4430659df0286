"""The paper's three ways of testing an ImageNet network (Sec. 3.4): one view, 10 crops, and whole pictures at scales.

Each averages the *softmax scores* of a picture's views. Pictures come and go as a stream: what is held is a few
batches, however many there are.
"""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from resnet_keras.data import photographs, views
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.models.catalogue import architecture


class Mode(NamedTuple):
    """A way of testing.

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


MODES = {
    "1": Mode(lambda picture: views.centre_crop(picture)[None], _crops, 64),
    "10": Mode(views.ten_crop, _crops, 8),
    "multiscale": Mode(views.scales, _scales, 1),
}


def check(network_name: str, mode: str) -> None:
    """Refuse what the paper does not do.

    Raises:
        UserError: There is no such mode, or it is not for a network of this kind.
    """
    if mode not in MODES:
        raise UserError(f"views={mode!r}: use one of {', '.join(MODES)}.")
    if mode != "1" and architecture(network_name).family == "cifar":
        raise UserError(
            f"{network_name} is tested on the single original picture (Sec. 4.2), views=1; 10 and multiscale are for "
            "ImageNet networks."
        )


def evaluated(network, pictures: Iterable[tuple[Any, int]], mode: str = "1") -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities of a stream of photographs, averaged over the views of each.

    Args:
        network: An ImageNet network or VGG.
        pictures: (photograph, label) pairs: an encoded picture or the path of one, as `photographs.opened` takes it.
            Read as they are needed.
        mode: A key of `MODES`.

    Yields:
        Probabilities float64 [b, classes] and labels [b], batch by batch, in the order of the stream.

    Raises:
        UserError: The mode is not for this network, or a picture is broken; the message names it.
    """
    check(network.name, mode)
    chosen = MODES[mode]
    score = chosen.scorer(network)

    def prepared(pair):
        return chosen.prepare(photographs.opened(pair[0])), pair[1]

    ready = ahead(prepared, pictures, 2 * chosen.batch + 2)
    while batch := list(itertools.islice(ready, chosen.batch)):
        yield score([shown for shown, _ in batch]), np.array([label for _, label in batch])


def ahead(function: Callable, items: Iterable, most: int) -> Iterator:
    """`map(function, items)` in threads, in order, with at most `most` results waiting."""
    items = iter(items)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = collections.deque(pool.submit(function, item) for item in itertools.islice(items, most))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
