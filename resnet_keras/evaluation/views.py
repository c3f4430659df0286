"""The paper's three ways of testing an ImageNet network (Sec. 3.4): one view, 10 crops, whole photographs at scales.

Each averages the *softmax scores* of an image's views; a CIFAR image has one view, itself (Sec. 4.2).
"""

from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from resnet_keras.data import views
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.models.catalogue import architecture

SINGLE = "1"  # the image itself, or the central crop of a photograph
BATCH = 500  # images a call
# Way of testing -> the views of a Pillow image, uint8 [views, h, w, 3], together where they are of one size.
MODES = {
    "10": lambda image: [views.ten_crop(image)],
    "multiscale": lambda image: [np.stack([scaled, scaled[:, ::-1]]) for scaled in views.scales(image)],
}


class ScoreMap(keras.Model):
    """A network in its fully convolutional form: [b, h, w, 3] of any size from the network's own up to [b, classes].

    The first fully-connected layer becomes a convolution over the map that it was made for (1x1 behind the global
    pooling of a ResNet, 7x7 in VGG) and the others 1x1 ones, with the network's own weights. The class scores are
    averaged over the positions, before the softmax, as in [41] of the paper.
    """

    def __init__(self, network):
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
            if isinstance(layer, keras.layers.MaxPooling2D):
                x = layer(x)  # VGG's last; the other layers here (pooling, flattening, dropout) have no part in a map
            elif isinstance(layer, keras.layers.Dense):
                inputs, units = layer.kernel.shape
                side = round((inputs / x.shape[-1]) ** 0.5)  # of the map that it has weights for
                kernel = ops.reshape(ops.convert_to_tensor(layer.kernel), (side, side, x.shape[-1], units))
                x, kernel = ops.cast(x, layer.compute_dtype), ops.cast(kernel, layer.compute_dtype)
                x = ops.conv(x, kernel, padding="valid", data_format="channels_last") + ops.cast(layer.bias, x.dtype)
                x = layer.activation(x)
        return ops.cast(x, "float32")


def check(network_name: str, mode: str) -> None:
    """Refuse what the paper does not do: raises a UserError for no such mode, or one that is not for this network."""
    if mode not in (SINGLE, *MODES):
        raise UserError(f"views={mode!r}: use one of {SINGLE}, {', '.join(MODES)}.")
    if mode != SINGLE and architecture(network_name).family == "cifar":
        raise UserError(f"{network_name} is tested on the original image (Sec. 4.2), views=1; {mode} is for ImageNet.")


def evaluated(network, split, mode: str = SINGLE, view=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities float64 [b, classes] of a split, averaged over the views of each image, and labels [b], in batches.

    `mode` is `SINGLE`, or a key of `MODES`. `view` makes the single view of an image; default: the split's own. Raises
    a UserError where the mode is not for this network or split, or a photograph is broken.
    """
    check(network.name, mode)
    if mode == SINGLE:
        for images, labels in split.batches(BATCH, view):
            yield softmax(network.predict_on_batch(images)), labels
        return
    if not split.cropped:
        raise UserError(f"views={mode} are views of photographs; images of one size are tested as they are, views=1.")
    network = ScoreMap(network) if mode == "multiscale" else network
    for groups, label in split.each(MODES[mode]):
        yield averaged(network, groups)[None], np.array([label])


def averaged(network, groups: list[np.ndarray]) -> np.ndarray:
    """Probabilities [classes] of a photograph from its views, uint8 [views, h, w, 3], in groups of as many each."""
    return np.mean([softmax(network.predict_on_batch(group)).mean(axis=0) for group in groups], axis=0)
