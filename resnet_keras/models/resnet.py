"""Plain and residual networks for CIFAR (Sec. 4.2) and ImageNet (Table 1)."""

from __future__ import annotations

import keras

from resnet_keras.models.blocks import BLOCKS, Block
from resnet_keras.models.layers import Conv2D, MaxPooling2D
from resnet_keras.models.network import Network
from resnet_keras.models.normalization import normalization

# Filters, kernel size and stride of conv1; whether the next stage begins with a 3x3 max pool of stride 2.
STEMS = {"cifar": (16, 3, 1, False), "imagenet": (64, 7, 2, True)}


@keras.saving.register_keras_serializable("resnet_keras")
class ResNet(Network):
    """A plain or residual network; see `Network`."""

    def __init__(self, *, shortcut, stride_in="1x1", pool_padding="end", batch_norm=True, **shared):
        """See `resnet_keras.build`."""
        own = {"shortcut": shortcut, "stride_in": stride_in, "pool_padding": pool_padding, "batch_norm": batch_norm}
        super().__init__(**own, **shared)

    @property
    def blocks(self) -> list:
        """Every block, in order."""
        return [layer for layer in self.chain() if isinstance(layer, Block)]

    def make_stages(self, net, policy):
        """conv1, then a stage for each size of the map."""
        given = self.arguments
        filters, size, stride, pools = STEMS[net.family]
        stem = [
            Conv2D(filters, size, stride, name="conv1", dtype=policy),
            normalization(given["batch_norm"], name="bn1", dtype=policy),
            keras.layers.ReLU(name="relu1", dtype=policy),
        ]
        pool = [MaxPooling2D(given["pool_padding"], name="pool1", dtype=policy)] if pools else []
        stages = {net.stages[0]: stem}
        for index, stage in enumerate(net.stages[1:]):
            stages[stage] = [] if index else pool
            for name, width, step in block_plan(net, index):
                options = {option: given[option] for option in ("shortcut", "stride_in", "batch_norm")}
                stages[stage].append(BLOCKS[net.block](width, step, **options, name=name, dtype=policy))
        return stages

    def make_classifier(self, classes, seed):
        """Global average pooling and one fully-connected layer.

        Float32 in every precision: they cost nothing, and the loss needs exact logits.
        """
        fc = keras.layers.Dense(classes, name="fc", dtype="float32")
        return [*self.make_pooling("avg"), fc]


def block_plan(net, index: int) -> list[tuple[str, int, int]]:
    """(name, filters, stride) of each block in the `index`-th stage of an `Architecture`.

    The first block of every stage but the first halves the map (Sec. 3.3).
    """
    number, width = net.first_stage + index, net.filters[index]
    return [
        (f"stage{number}_block{place}", width, 2 if index > 0 and place == 1 else 1)
        for place in range(1, net.blocks[index] + 1)
    ]
