"""Lesions: the error of a trained network with one block left out or two swapped, and nothing retrained.

After Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", 2016.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops

from resnet_keras.evaluation.accuracy import top_error
from resnet_keras.models.blocks import Block

BATCH = 250


def lesions(network, images: np.ndarray, labels: np.ndarray) -> list[dict]:
    """Test error, in percent, of the whole network and after each lesion.

    Args:
        network: A trained plain or residual network.
        images: uint8 [n, h, w, c].
        labels: int32 [n].

    Returns:
        Rows of lesion ("none", "delete" or "swap"), block (its number from 1; the first of the two of a swap),
        place (its name), grows (whether it changes the map's size) and error.
    """
    whole = {"lesion": "none", "block": 0, "place": "", "grows": False}
    cases = [(whole, network.chain()), *lesioned(network)]
    return [{**case, "error": top_error(logits(chain, images), labels)} for case, chain in cases]


def lesioned(network) -> Iterator[tuple[dict, list]]:
    """(what `lesions` says of it, the network's chain with it) of every lesion: deletions first, then swaps."""
    chain = network.chain()
    places = [index for index, layer in enumerate(chain) if isinstance(layer, Block)]
    cases = [
        {"block": number, "place": chain[place].name, "grows": not chain[place].keeps_shape}
        for number, place in enumerate(places, start=1)
    ]
    for case, place in zip(cases, places, strict=True):
        yield {"lesion": "delete", **case}, without(chain, place)
    for case, next_case, place in zip(cases, cases[1:], places, strict=False):
        if not case["grows"] and not next_case["grows"]:
            yield {"lesion": "swap", **case}, swapped(chain, place)


def without(chain: list, place: int) -> list:
    """The chain with a block's convolutions left out: its shortcut alone, or nothing where it keeps the shape.

    A plain block that changes the shape is replaced by option A's shortcut: every second pixel, and zeros for
    the new channels.
    """
    return [*chain[:place], ShortcutAlone(chain[place]), *chain[place + 1 :]]


def swapped(chain: list, place: int) -> list:
    """The chain with the block at `place` and the next one in each other's place."""
    return [*chain[:place], chain[place + 1], chain[place], *chain[place + 2 :]]


class ShortcutAlone:
    """What is left of a block without its convolutions."""

    def __init__(self, block: Block):
        """`block` itself is not changed."""
        self.block = block

    def __call__(self, x, training=None):
        """relu(shortcut(x))."""
        return ops.relu(self.block.carried(x, training))


def logits(chain: list, images: np.ndarray) -> np.ndarray:
    """Logits [n, classes] of a chain of layers, in inference mode."""
    found = []
    for start in range(0, len(images), BATCH):
        x = images[start : start + BATCH]
        for layer in chain:
            x = layer(x, training=False)
        found.append(ops.convert_to_numpy(x))
    return np.concatenate(found)
