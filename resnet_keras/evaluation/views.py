"""The paper's three ways of testing an ImageNet network (Sec. 3.4): one view, 10 crops, whole photographs at scales.

Each averages the *softmax scores* of an image's views; a CIFAR image has one view, itself (Sec. 4.2). Before it, the
authors made BN precise: plain averages over training batches in place of moving ones.
"""

import contextlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np
from keras import ops

from resnet_keras.data import views
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.models.layers import BatchNormalization

SINGLE = "1"  # the image itself, or the central crop of a photograph
IMAGES_A_CALL = 500
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
        x = next(before for _, layer, before, _ in self.network.walk(images) if layer is self.network.top[0])
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


def evaluated(network, split, mode: str = SINGLE, view=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities float64 [b, classes] of a split, averaged over the views of each image, and labels [b], in batches.

    `mode` is `SINGLE`, or a key of `MODES`. `view` makes the single view of an image; default: the split's own. Raises
    a UserError where the mode is not for this split, or a photograph is broken.
    """
    if mode == SINGLE:
        for images, labels in split.batches(IMAGES_A_CALL, view):
            yield softmax(network.predict_on_batch(images)), labels
        return
    if not split.cropped:
        raise UserError(f"views={mode} are views of photographs; images of one size are tested as they are, views=1.")
    network = ScoreMap(network) if mode == "multiscale" else network
    for groups, label in split.each(MODES[mode]):
        scores = [softmax(network.predict_on_batch(group)).mean(axis=0) for group in groups]  # of as many views each
        yield np.mean(scores, axis=0)[None], np.array([label])


def recompute_statistics(network, batches: Iterable[np.ndarray]) -> None:
    """Replace the network's moving means and (biased) variances, in memory alone, by averages of those of batches.

    Of training images uint8 [b, h, w, c], each normalised with its own as in training. A UserError without BN.
    """
    layers = [layer for _, layer in network.parts() if isinstance(layer, BatchNormalization)]
    if not layers:
        raise UserError(f"{network.name} has no batch normalization: there are no statistics to recompute.")
    momenta = [layer.momentum for layer in layers]
    for number, images in enumerate(batches):
        for layer in layers:
            layer.momentum = number / (number + 1)  # the moving average is then the plain one of the batches so far
        network(images, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def training_batches(dataset, config: dict, count: int) -> Iterator:
    """Batches of training images [b, h, w, c], as many as BN saw together, drawn by the recipe in a run's `config`."""
    recipe = config.get("recipe", {"batch_size": 32, "augment": True})  # else the paper's 32 images of a device
    size = recipe.get("bn_batch") or recipe["batch_size"]
    with contextlib.closing(dataset.feed(config.get("seed", 0), size, recipe["augment"])) as feed:
        arrays = [ops.convert_to_tensor(array) for array in feed.arrays]
        for iteration in range(count):
            plan = feed.take(iteration, 1)
            yield feed.apply(*arrays, plan._make(field[0] for field in plan))[0]
