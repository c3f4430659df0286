"""Inside a network: responses of its layers (Fig. 7), norms of its gradients, and lesions of its blocks.

Images are uint8 [n, h, w, c], without augmentation, labels int32 [n]; no network is changed.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from keras import ops

from resnet_keras.evaluation.accuracy import top_error
from resnet_keras.models.blocks import Block
from resnet_keras.models.layers import Conv2D
from resnet_keras.training.steps import gradients

BATCH = 250  # images a call


def responses(network, images: np.ndarray) -> list[dict]:
    """Standard deviation of every 3x3 layer's response: after BN, before the ReLU or the addition (Fig. 7).

    In inference mode, over all images, positions and channels of a layer. The paper leaves open which images it
    took, and whether it pooled the channels.

    Returns:
        A row a layer, in the order of the data: layer (from 1), place (such as ``stage2_block1/conv2``), std.
    """
    moments: dict[str, np.ndarray] = {}
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        for (place, layer, *_), (*_, response) in itertools.pairwise(network.walk(batch)):
            if isinstance(layer, Conv2D) and layer.kernel_size == (3, 3):  # then this is the response of its BN
                response = ops.cast(response, "float32")
                mean, variance = float(ops.mean(response)), float(ops.var(response))
                moments[place] = moments.get(place, 0.0) + len(batch) * np.array([mean, variance + mean**2])
    rows = []
    for number, (place, sums) in enumerate(moments.items(), start=1):
        mean, square = sums / len(images)
        rows.append({"layer": number, "place": place, "std": float(np.sqrt(square - mean**2))})
    return rows


def gradient_norms(network, images: np.ndarray, labels: np.ndarray, batches: int) -> Callable[[], list[dict]]:
    """A function that measures the gradients that a training step would see, at any time of the network's training.

    For each kernel the L2 norm of the gradient of the cross-entropy (without weight decay), BN as in training, as a
    mean over `batches` equal parts of the images, which stay the same.

    Returns:
        The function. It returns a row a kernel, in the order of the data: layer (from 1), place (such as
        ``stage2_block1/conv2``), gradient_norm, weight_norm, and cross_entropy, which is the same in all rows.
    """
    loss_and_gradients = gradients(network)
    parts = list(zip(np.split(images, batches), np.split(labels, batches), strict=True))

    def measure() -> list[dict]:
        results = [loss_and_gradients(*part) for part in parts]
        entropy = float(np.mean([loss for loss, _ in results]))
        rows = []
        for index, variable in enumerate(network.trainable_variables):
            _, _, path = variable.path.partition("/")
            if path.endswith("/kernel"):
                row = {"layer": len(rows) + 1, "place": path.removesuffix("/kernel")}
                row["gradient_norm"] = float(np.mean([l2_norm(each[index]) for _, each in results]))
                rows.append({**row, "weight_norm": l2_norm(variable), "cross_entropy": entropy})
        return rows

    return measure


def l2_norm(values) -> float:
    """L2 norm of all elements of an array or variable."""
    return float(np.linalg.norm(np.asarray(ops.convert_to_numpy(values), np.float64)))


def lesions(network, images: np.ndarray, labels: np.ndarray) -> list[dict]:
    """Test error of the intact network and with one block left out or two neighbours swapped, nothing retrained.

    After Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", 2016.

    Returns:
        Rows of lesion ("none", "delete" or "swap"), block (its number from 1; the first of the two of a swap),
        place (its name), grows (whether it changes the map's size) and error in percent.
    """
    return [{**case, "error": top_error(logits(network, chain, images), labels)} for case, chain in lesioned(network)]


def lesioned(network) -> Iterator[tuple[dict, list]]:
    """(what `lesions` says of it, the layers) of the intact network, then of each with a deletion, then a swap."""
    chain = network.chain()
    yield {"lesion": "none", "block": 0, "place": "", "grows": False}, chain
    places = [index for index, layer in enumerate(chain) if isinstance(layer, Block)]
    cases = [
        {"block": number, "place": chain[place].name, "grows": not chain[place].keeps_shape}
        for number, place in enumerate(places, start=1)
    ]
    for case, place in zip(cases, places, strict=True):
        yield {"lesion": "delete", **case}, without(chain, place)
    for case, following, place in zip(cases, cases[1:], places, strict=False):
        if not case["grows"] and not following["grows"]:
            yield {"lesion": "swap", **case}, swapped(chain, place)


def without(chain: list, place: int) -> list:
    """The layers without a block's convolutions: its shortcut alone, or nothing where it keeps the shape.

    A plain block that changes the shape is replaced by option A's shortcut: every second pixel, and zeros for
    the new channels.
    """
    block = chain[place]

    def shortcut(x, training=False):
        return ops.relu(block.carried(x, training))

    shortcut.name = block.name
    return [*chain[:place], shortcut, *chain[place + 1 :]]


def swapped(chain: list, place: int) -> list:
    """The layers with the block at `place` and the next one in each other's place."""
    return [*chain[:place], chain[place + 1], chain[place], *chain[place + 2 :]]


def logits(network, layers: list, images: np.ndarray) -> np.ndarray:
    """Logits [n, classes] of a network with these layers for its own, in inference mode."""
    parts = []
    for start in range(0, len(images), BATCH):
        for *_, output in network.walk(images[start : start + BATCH], layers=layers):
            last = output
        parts.append(ops.convert_to_numpy(last))
    return np.concatenate(parts)
