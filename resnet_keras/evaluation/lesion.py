"""Lesions: the error of a trained network with one block left out, or two neighbours swapped, and nothing retrained.

After Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks" (2016).
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
        Rows of lesion ("none", "delete" or "swap"), block (its number from 1; the first of the two of a swap), place
        (its name), grows (whether it changes the map's size) and error.
    """
    rows = [row("none", None, top_error(logits(network.chain(), images), labels))]
    for kind, block, chain in lesioned(network):
        rows.append(row(kind, block, top_error(logits(chain, images), labels), network.blocks))
    return rows


def row(kind: str, block: Block | None, error: float, blocks=()) -> dict:
    """One row of `lesions`."""
    if block is None:
        return {"lesion": kind, "block": 0, "place": "", "grows": False, "error": error}
    number = [one is block for one in blocks].index(True) + 1
    return {"lesion": kind, "block": number, "place": block.name, "grows": not block.keeps_shape, "error": error}


def lesioned(network) -> Iterator[tuple[str, Block, list]]:
    """(lesion, block, the network's chain with it) of every lesion: deletions first, then swaps."""
    chain = network.chain()
    places = [index for index, layer in enumerate(chain) if isinstance(layer, Block)]
    for place in places:
        yield "delete", chain[place], without(chain, place)
    for place in places[:-1]:
        if chain[place].keeps_shape and chain[place + 1].keeps_shape:
            yield "swap", chain[place], swapped(chain, place)


def without(chain: list, place: int) -> list:
    """The chain with a block's convolutions left out: its shortcut alone, or nothing where it keeps the shape.

    A plain block that changes the shape is replaced by option A's shortcut: every second pixel, and zeros for the new
    channels.
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
