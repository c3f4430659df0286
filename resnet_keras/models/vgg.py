"""VGG-16 and VGG-19, the paper's reference networks (Fig. 3, left; [41] of the paper, configurations D and E)."""

from __future__ import annotations

import keras

from resnet_keras.models.layers import Conv2D
from resnet_keras.models.network import Network
from resnet_keras.models.normalization import BatchNormalization

FC_WIDTH = 4096
DROPOUT = 0.5  # on the two wide fully-connected layers, as in [41]


@keras.saving.register_keras_serializable("resnet_keras")
class VGG(Network):
    """Stages of 3x3 convolutions with a bias and ReLU each, 2x2 max pooling after every stage; see `Network`.

    With `batch_norm`, BN stands between convolution and ReLU, and takes over the bias.
    """

    def __init__(self, *, batch_norm=False, **shared):
        """See `resnet_keras.build`."""
        super().__init__(batch_norm=batch_norm, **shared)

    def make_stages(self, net, policy):
        """Each stage but the first begins with the pooling that follows the one before: features are unpooled maps."""
        stages = {}
        for number, (count, width) in enumerate(zip(net.blocks, net.filters, strict=True), start=1):
            layers = [pooling(number - 1, policy)] if number > 1 else []
            for place in range(1, count + 1):
                layers += self._convolution(f"{number}_{place}", width, policy)
            stages[net.stages[number - 1]] = layers
        return stages

    def _convolution(self, place: str, width: int, policy) -> list:
        normalized = self.arguments["batch_norm"]
        bn = [BatchNormalization(name=f"bn{place}", dtype=policy)] if normalized else []
        return [
            Conv2D(width, 3, use_bias=not normalized, name=f"conv{place}", dtype=policy),
            *bn,
            keras.layers.ReLU(name=f"relu{place}", dtype=policy),
        ]

    def make_top(self, net):
        """The last pooling stands before the classifier, and ends a network without one."""
        if self.arguments["features"]:
            return []
        return [pooling(len(net.blocks), self.dtype_policy), *super().make_top(net)]

    def make_classifier(self, classes, seed):
        """fc6 and fc7 with dropout, then the logits, float32 in every precision."""
        layers = [keras.layers.Flatten(name="flatten", data_format="channels_last", dtype=self.dtype_policy)]
        for number in (6, 7):
            layers += [
                keras.layers.Dense(FC_WIDTH, activation="relu", name=f"fc{number}", dtype=self.dtype_policy),
                keras.layers.Dropout(DROPOUT, seed=seed, name=f"dropout{number}", dtype=self.dtype_policy),
            ]
        return [*layers, keras.layers.Dense(classes, name="fc8", dtype="float32")]


def pooling(number: int, policy):
    """2x2 max pooling of stride 2, after stage `number`."""
    return keras.layers.MaxPooling2D(2, 2, name=f"pool{number}", data_format="channels_last", dtype=policy)
