"""The paper's three ways of testing an ImageNet network (Sec. 3.4): one view, 10 crops, whole photographs at scales.

Each averages the *softmax scores* of an image's views. Photographs come as a stream: a few batches are in memory,
however many there are. A CIFAR image has one view, itself (Sec. 4.2).
"""

import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import ops

from resnet_keras.data import views
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.models.catalogue import architecture

SINGLE = "1"  # the image itself, or the central crop of a photograph
BATCH = 500  # images a call


def _of_crops(network) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a photograph's crops, uint8 [views, h, w, 3], to its probabilities [classes]."""
    return lambda crops: softmax(network.predict_on_batch(crops)).mean(axis=0)


def _of_scales(network) -> Callable[[list[np.ndarray]], np.ndarray]:
    """The same from a photograph at several scales, uint8 [h, w, 3] each, which is shown mirrored too."""
    maps = ScoreMap(network)
    return lambda scaled: np.mean([_of_crops(maps)(np.stack([x, x[:, ::-1]])) for x in scaled], axis=0)


class ScoreMap(keras.Model):
    """A network in its fully convolutional form: [b, h, w, 3] of any size from the network's own up to [b, classes].

    The first fully-connected layer becomes a convolution over the map that it was made for (1x1 behind the global
    pooling of a ResNet, 7x7 in VGG) and the others 1x1 ones. The class scores are averaged over the positions, before
    the softmax, as in [41] of the paper.
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


# Way of testing -> (Pillow image -> its views, network -> (views -> probabilities)).
MODES = {"10": (views.ten_crop, _of_crops), "multiscale": (views.scales, _of_scales)}


def check(network_name: str, mode: str) -> None:
    """Refuse what the paper does not do.

    Raises UserError: There is no such mode, or it is not for a network of this kind.
    """
    if mode not in (SINGLE, *MODES):
        raise UserError(f"views={mode!r}: use one of {SINGLE}, {', '.join(MODES)}.")
    if mode != SINGLE and architecture(network_name).family == "cifar":
        raise UserError(
            f"{network_name} is tested on the single original image (Sec. 4.2), views=1; 10 and multiscale are for "
            "ImageNet networks."
        )


def evaluated(network, split, mode: str = SINGLE, view=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities float64 [b, classes] of a split, averaged over the views of each image, and labels [b].

    They come batch by batch, in the order of the split; photographs are read as they are needed.

    `mode` is `SINGLE`, which takes any network, or a key of `MODES`. `view` makes of an image what the network is shown
    of it, for the single view; default: the split's own. Raises UserError: The mode is not for this network or this
    split, or a photograph is broken; the message names it.
    """
    check(network.name, mode)
    if mode == SINGLE:
        for images, labels in _batches(_shown(split, view)) if view else split.batches(BATCH):
            yield softmax(network.predict_on_batch(images)), labels
        return
    if not split.cropped:
        raise UserError(f"views={mode} are views of photographs; images of one size are tested as they are, views=1.")
    prepare, scorer = MODES[mode]
    score = scorer(network)
    for shown, label in _shown(split, prepare):
        yield score(shown)[None], np.array([label])


def _shown(split, view: Callable) -> Iterator[tuple]:
    """`view` of each image of a split, and the image's label."""
    if split.cropped:
        return split.each(view)
    return ((view(image), label) for image, label in zip(split.images, split.labels, strict=True))


def _batches(pairs: Iterator[tuple]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while batch := list(itertools.islice(pairs, BATCH)):
        yield tuple(map(np.array, zip(*batch, strict=True)))
