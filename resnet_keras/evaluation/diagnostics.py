"""What happens inside a network: the responses of its layers (Fig. 7) and the norms of its gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops

from resnet_keras.models.blocks import Block
from resnet_keras.models.layers import Conv2D
from resnet_keras.training.steps import gradients

BATCH = 250


def responses(network, images: np.ndarray) -> list[dict]:
    """Standard deviation of every 3x3 layer's response: after BN, before the ReLU or the addition (Fig. 7).

    In inference mode, over all images, positions and channels of a layer. The paper leaves open which images it
    took, and whether it pooled the channels.

    Args:
        network: A plain or residual network, with BN or without.
        images: uint8 [n, h, w, c].

    Returns:
        A row a layer, in the order of the data: layer (from 1), place (such as ``stage2_block1/conv2``), std.
    """
    moments: dict[str, np.ndarray] = {}
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        for place, response in layer_responses(network, batch):
            response = ops.cast(response, "float32")
            mean, variance = float(ops.mean(response)), float(ops.var(response))
            moments[place] = moments.get(place, 0.0) + len(batch) * np.array([mean, variance + mean**2])
    rows = []
    for number, (place, sums) in enumerate(moments.items(), start=1):
        mean, square = sums / len(images)
        rows.append({"layer": number, "place": place, "std": float(np.sqrt(square - mean**2))})
    return rows


def layer_responses(network, x) -> Iterator[tuple[str, object]]:
    """(place, response [b, h, w, c]) of every 3x3 layer of a plain or residual network, for raw pixels x."""
    layers = network.chain()
    for index, layer in enumerate(layers):
        if isinstance(layer, Block):
            yield from _inside(layer, x)
        elif _is_3x3(layer):
            yield layer.name, layers[index + 1](layer(x), training=False)  # its BN
        x = layer(x, training=False)


def _inside(block: Block, x):
    for conv, bn in zip(block.convs, block.bns, strict=True):
        x = bn(conv(x), training=False)
        if _is_3x3(conv):
            yield f"{block.name}/{conv.name}", x
        x = ops.relu(x)


def _is_3x3(layer) -> bool:
    return isinstance(layer, Conv2D) and layer.kernel_size == (3, 3)


class GradientNorms:
    """Norms of the gradients that a training step would see, for one network at any time of its training.

    For each kernel the L2 norm of the gradient of the cross-entropy (without weight decay), as a mean over a few
    batches that stay the same.

    Args:
        network: A built network.
        images: uint8 [n, h, w, c], without augmentation.
        labels: int32 [n].
        batches: How many equal batches the images make.
    """

    def __init__(self, network, images, labels, batches: int):
        """See the class."""
        self.network = network
        self.batches = list(zip(np.split(images, batches), np.split(labels, batches), strict=True))
        self.gradients = gradients(network)

    def rows(self) -> list[dict]:
        """The norms now.

        Returns:
            A row a kernel, in the order of the data: layer (from 1), place (such as ``stage2_block1/conv2``),
            gradient_norm, weight_norm, and cross_entropy, which is the same in all rows.
        """
        found = [self.gradients(*batch) for batch in self.batches]
        entropy = float(np.mean([loss for loss, _ in found]))
        rows = []
        for index, variable in enumerate(self.network.trainable_variables):
            if not variable.path.endswith("/kernel"):
                continue
            rows.append(
                {
                    "layer": len(rows) + 1,
                    "place": variable.path.split("/", 1)[1].removesuffix("/kernel"),
                    "gradient_norm": float(np.mean([norm(parts[index]) for _, parts in found])),
                    "weight_norm": norm(ops.convert_to_numpy(variable)),
                    "cross_entropy": entropy,
                }
            )
        return rows


def norm(values: np.ndarray) -> float:
    """L2 norm of all elements."""
    return float(np.linalg.norm(np.asarray(values, np.float64)))
