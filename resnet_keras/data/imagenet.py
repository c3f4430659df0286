"""ImageNet's pipeline (Sec. 3.4) for photographs of any size: read, decoded and cropped while the network trains.

For training: the shorter side uniform in 256..480, a random crop of 224 or its mirror image, AlexNet's colour noise.
For the error while training: the central 224 at shorter side 256. What is drawn is a function of (seed, iteration,
place in the batch) as in `augment`, so that there is no generator state to save. Pillow decodes on several threads; no
backend is needed. The network subtracts the mean colour itself.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from resnet_keras.data import views
from resnet_keras.data.augment import order, words
from resnet_keras.data.dataset import Identity
from resnet_keras.data.encoded import Photograph
from resnet_keras.data.photographs import opened

# Mean colour of ImageNet's training pictures, as the authors' released networks and VGG's subtract it.
MEAN = np.array([123.68, 116.779, 103.939], np.float32)
NOISE = 0.1  # deviation of the draws of AlexNet's colour noise
AHEAD = 2  # batches that are made while the network trains on another
AT_ONCE = 128  # most photographs of a batch that is tested
_DRAWS = 2  # purpose of the random words, beside those of `augment`


class Batch(NamedTuple):
    """Pictures of each place of each batch, as the training takes them.

    Attributes:
        pictures: uint8 `[n, B, crop, crop, 3]`.
        shift: float32 `[n, B, 3]`, the colour noise: added to every pixel, on the device.
        labels: int32 `[n, B]`.
    """

    pictures: Any
    shift: Any
    labels: Any


class Draws(NamedTuple):
    """What happens to each photograph of one batch.

    Attributes:
        index: int32 `[B]`, which photograph of the split.
        side: int `[B]`, its shorter side in pixels.
        top: uint64 `[B]`, place of the crop's first row, in 2^-24 of the places there are.
        left: the same of its first column.
        flip: bool `[B]`, whether the crop is mirrored.
        noise: float `[B, 3]`, draws of the colour noise.
    """

    index: np.ndarray
    side: np.ndarray
    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray
    noise: np.ndarray


def draw(seed: int, iteration: int, batch_size: int, examples: int, crop: int = views.CROP) -> Draws:
    """What an iteration sees: a pure function of the arguments, the same on every machine.

    Args:
        seed: the run's.
        iteration: iterations done before, from 0.
        batch_size: B.
        examples: photographs in the split.
        crop: side of the crop; the shorter sides are in proportion to it.
    """
    index = order(seed, iteration * batch_size, batch_size, examples)
    drawn = words(seed, iteration, _DRAWS, 4 * batch_size).reshape(batch_size, 4)
    least, most = (round(side * crop / views.CROP) for side in views.JITTER)
    side = least + _below(most - least + 1, drawn[:, 0] >> 40).astype(int)
    top, left = drawn[:, 1] >> 40, (drawn[:, 1] >> 16) & 0xFFFFFF
    return Draws(index, side, top, left, (drawn[:, 0] & 1).astype(bool), _normal(drawn[:, 2:]) * NOISE)


def _below(most, bits24):
    """24 random bits to 0..most-1."""
    return (bits24 * np.asarray(most, np.uint64)) >> np.uint64(24)


def _normal(drawn: np.ndarray) -> np.ndarray:
    """Words `[B, 2]` to standard normal numbers `[B, 3]`, by Box and Muller's rule.

    Rounded to ten-thousandths, since the last bits of logarithms and cosines differ between machines.
    """
    halves = np.stack([drawn >> 32, drawn & 0xFFFFFFFF], axis=-1)  # [B, 2, 2]
    uniform = (halves.astype(np.float64) + 0.5) / 2**32
    radius, angle = np.sqrt(-2 * np.log(uniform[..., 0])), 2 * np.pi * uniform[..., 1]
    four = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.round(four[:, :3], 4)


def training_crop(photograph: Photograph, side: int, top: int, left: int, flip: bool, crop: int) -> np.ndarray:
    """One crop as `Draws` has it, uint8 `[crop, crop, 3]`.

    Raises:
        UserError: the photograph cannot be read; the message names it.
    """
    picture = opened(photograph.source, photograph.where, shorter=side)
    width, height = views.resized(picture.size, side)
    places = (int(_below(size - crop + 1, np.uint64(place))) for size, place in ((height, top), (width, left)))
    return views.cropped(picture, side, *places, crop, flip)


def apply(plan: Batch) -> tuple:
    """Pictures float32 `[B, crop, crop, 3]` and labels of one batch, computed on the device: adds the colour noise."""
    from keras import ops

    return ops.cast(plan.pictures, "float32") + plan.shift[:, None, None, :], plan.labels


@dataclass(frozen=True, eq=False)
class Photographs:
    """A split of photographs: none of them is in memory.

    Attributes:
        source: has `read(number)`; see `encoded`.
        numbers: which of the source's photographs these are.
        crop: side of what a network sees of each.
    """

    source: Any
    numbers: range
    crop: int = views.CROP

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.numbers)

    def __getitem__(self, rows: slice) -> Photographs:
        """A run of these photographs."""
        return Photographs(self.source, self.numbers[rows], self.crop)

    def read(self, place: int) -> Photograph:
        """One of them, not decoded."""
        return self.source.read(self.numbers[place])

    def each(self, view: Callable[[Photograph], Any]) -> Iterator:
        """`view` of every photograph in order, computed on several threads, a few ahead of what is asked for."""
        ahead, pending = 4 * workers(), deque()
        with ThreadPoolExecutor(workers()) as pool:
            for place in range(len(self)):
                pending.append(pool.submit(lambda place: view(self.read(place)), place))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Central crops uint8 `[b, crop, crop, 3]` and labels int32 `[b]` in order, at most `size` at a time."""
        size, waiting = min(size, AT_ONCE), []
        for found in self.each(self.central):
            waiting.append(found)
            if len(waiting) == size:
                yield _stacked(waiting)
                waiting = []
        if waiting:
            yield _stacked(waiting)

    def central(self, photograph: Photograph) -> tuple[np.ndarray, int]:
        """Central crop and class of one."""
        picture = opened(photograph.source, photograph.where)
        return views.test_view(picture, (self.crop, self.crop, 3), cropped=True), photograph.label


def _stacked(found: list) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([picture for picture, _ in found]), np.array([label for _, label in found], np.int32)


class StreamFeed:
    """What a training takes its batches from; see `augment.HeldFeed`. The device holds nothing: a plan is pictures."""

    most_steps = 1  # iterations a call: a batch is large, and so is what a device does with it

    def __init__(self, split: Photographs, seed: int, batch_size: int, augment: bool):
        """The others are those of `draw`; without `augment` a batch is the central crops, without noise."""
        self.held, self.apply = (), apply
        self.split, self.seed, self.batch_size, self.augment = split, seed, batch_size, augment
        self.pool = ThreadPoolExecutor(workers())
        self.pending: dict[int, tuple[Batch, list]] = {}

    def take(self, iteration: int, steps: int) -> Batch:
        """Pictures of the iterations `iteration .. iteration + steps - 1`; begins with those after them.

        Raises:
            UserError: a photograph cannot be read; the message names it.
        """
        wanted = range(iteration, iteration + steps)
        for number in range(iteration, iteration + steps + AHEAD):
            if number not in self.pending:
                self.pending[number] = self._begun(number)
        self.pending = {number: begun for number, begun in self.pending.items() if number >= iteration}
        return Batch(*(np.stack(field) for field in zip(*map(self._finished, wanted), strict=True)))

    def close(self) -> None:
        """Stop making batches."""
        self.pool.shutdown(cancel_futures=True)

    def _begun(self, iteration: int) -> tuple[Batch, list]:
        """A batch that is being filled, and what to wait for."""
        count, crop = self.batch_size, self.split.crop
        drawn = draw(self.seed, iteration, count, len(self.split), crop)
        shift = views.colour_shift(drawn.noise) if self.augment else np.zeros((count, 3), np.float32)
        batch = Batch(np.empty((count, crop, crop, 3), np.uint8), shift, np.empty(count, np.int32))
        return batch, [self.pool.submit(self._fill, batch, place, drawn) for place in range(count)]

    def _fill(self, batch: Batch, place: int, drawn: Draws) -> None:
        photograph = self.split.read(drawn.index[place])
        if self.augment:
            what = (field[place] for field in drawn[1:5])
            batch.pictures[place] = training_crop(photograph, *map(int, what), self.split.crop)
        else:
            batch.pictures[place], _ = self.split.central(photograph)
        batch.labels[place] = photograph.label

    def _finished(self, iteration: int) -> Batch:
        batch, futures = self.pending.pop(iteration)
        for future in futures:
            future.result()
        return batch


@dataclass(frozen=True, eq=False)
class PhotographSet:
    """A named set of photographs, with the same interface as a `Dataset` in memory."""

    identity: Identity
    classes: tuple[str, ...]
    train: Photographs
    test: Photographs
    validation: Photographs | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what a network sees."""
        return (self.train.crop, self.train.crop, 3)

    def mean(self) -> np.ndarray:
        """Mean colour that a network subtracts, float32 `[3]`: ImageNet's, for every set of photographs."""
        return MEAN

    def feed(self, seed: int, batch_size: int, augment: bool) -> StreamFeed:
        """What a training takes its batches from."""
        return StreamFeed(self.train, seed, batch_size, augment)


def workers() -> int:
    """Threads that decode: one for each core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
