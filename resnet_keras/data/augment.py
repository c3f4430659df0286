"""Pad, crop, flip (Sec. 4.2): a pure function of (seed, iteration, image), each image on its own.

`draw_plan` decides on the host which images make up each batch and how each is cropped and flipped; `apply` does that
on the device, inside the training step. A resumed run, and every backend, sees the same images.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

# The purpose of random words is the topmost word of Philox's counter: order and crops never share one.
_ORDER, _CROP = 0, 1


class Plan(NamedTuple):
    """What happens to each place of each of n batches; of one batch, without the first axis."""

    index: Any  # int32 [n, B], which image of the split
    top: Any  # int32 [n, B] in 0..2 * pad, first row of the crop in the padded image
    left: Any  # the same of its first column
    flip: Any  # bool [n, B], whether the crop is mirrored left to right


class Feed:
    """Batches of a split in memory: its `arrays` stay on the device, where `apply(*arrays, plan)` makes a batch."""

    most_steps = None  # no limit to the iterations that are planned at once

    def __init__(self, split, seed: int, batch_size: int, augment: bool):
        self.arrays, self.apply, self.seed = (split.images, split.labels), apply, seed
        self.settings = batch_size, len(split), augment, padding(*split.images.shape[1:3])

    def take(self, iteration: int, steps: int) -> Plan:
        """Plan of the iterations `iteration .. iteration + steps - 1`."""
        return draw_plan(self.seed, iteration, steps, *self.settings)

    def close(self) -> None:
        """No file or thread is open."""


def padding(height: int, width: int) -> int:
    """Zeros on each side of images of this size, in pixels: an eighth of the side, as CIFAR's 4 of 32 (Sec. 4.2)."""
    return min(height, width) // 8


def draw_plan(seed: int, first: int, count: int, batch_size: int, examples: int, augment=True, pad=4) -> Plan:
    """Plan of `count` batches from iteration `first` on, of a split of `examples` images; `pad`: see `padding`.

    Place j of iteration i is position `i * batch_size + j` of an endless row of shuffled epochs: nothing is dropped
    between two. Without `augment` each crop is the image itself, never flipped.
    """
    shape = (count, batch_size)
    index = order(seed, first * batch_size, count * batch_size, examples).reshape(shape)
    if not augment:
        return Plan(index, np.full(shape, pad, np.int32), np.full(shape, pad, np.int32), np.zeros(shape, bool))
    bits = np.array([words(seed, first + row, _CROP, batch_size) for row in range(count)], np.uint64).reshape(shape)
    top, left = ((part * np.uint64(2 * pad + 1)) >> np.uint64(24) for part in (bits >> 40, (bits >> 16) & 0xFFFFFF))
    return Plan(index, top.astype(np.int32), left.astype(np.int32), (bits & 1).astype(bool))


def apply(images, labels, plan: Plan) -> tuple:
    """Augmented images uint8 `[B, H, W, C]` and labels `[B]` of one batch's plan, computed on the device.

    The split's images are uint8 `[N, H, W, C]`, where N*H*W may exceed 2^31, and its labels `[N]`. Padding is black: 0
    *before* any mean is subtracted. (The paper leaves this order open.)
    """
    from keras import ops

    height, width, channels = images.shape[1:]
    pad = padding(height, width)
    index, top, left = (ops.cast(field, "int32") for field in plan[:3])
    pixels = ops.pad(ops.take(images, index, axis=0), [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    rows = top[:, None] + np.arange(height, dtype="int32")  # [B, H], of the padded image
    columns = np.arange(width, dtype="int32")[None, :]
    columns = left[:, None] + ops.where(ops.cast(plan.flip, "bool")[:, None], width - 1 - columns, columns)  # [B, W]
    number = ops.arange(ops.shape(index)[0], dtype="int32")[:, None]
    place = (number * (height + 2 * pad) + rows)[:, :, None] * (width + 2 * pad) + columns[:, None, :]
    return ops.take(ops.reshape(pixels, (-1, channels)), place, axis=0), ops.take(labels, index, axis=0)


def order(seed: int, start: int, count: int, examples: int) -> np.ndarray:
    """Places `start .. start + count - 1` of the endless row of shuffled epochs: int32 `[count]`, numbers of images."""
    first, offset = divmod(start, examples)
    epochs = [_permutation(seed, epoch, examples) for epoch in range(first, (start + count) // examples + 1)]
    return np.concatenate(epochs)[offset : offset + count]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The shuffled epoch, by sorting raw words: NumPy keeps their stream fixed, but not `shuffle`."""
    return np.argsort(words(seed, epoch, _ORDER, examples), kind="stable").astype(np.int32)


def words(seed: int, number: int, purpose: int, count: int) -> np.ndarray:
    """`count` random words of 64 bits, the same everywhere: each (seed, number, purpose) has its own."""
    key = np.array([seed, number], np.uint64)
    counter = np.array([0, 0, 0, purpose], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)
