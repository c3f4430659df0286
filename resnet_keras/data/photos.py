"""ImageNet's pipeline (Sec. 3.4) for photographs of any size: read, decoded and cropped while the network trains.

For training: the shorter side uniform in 256..480, a random crop of 224 or its mirror image, AlexNet's colour noise.
For the error while training: the central 224 at shorter side 256. All is a function of (seed, iteration, place in the
batch) as in `augment`. The network subtracts the mean colour itself.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnet_keras.data import views
from resnet_keras.data.augment import order, words
from resnet_keras.data.images import decode, in_threads, workers

# Mean colour of ImageNet's training images, as the authors' released networks and VGG's subtract it.
MEAN = np.array([123.68, 116.779, 103.939], np.float32)
NOISE = 0.1  # deviation of the draws of AlexNet's colour noise
AHEAD = 2  # batches that are made while the network trains on another
AT_ONCE = 128  # most photographs of a batch that is tested
_CROPS = 2  # purpose of the random words, beside those of `augment`


class Photograph(NamedTuple):
    """One photograph, not decoded."""

    source: bytes | Path
    label: int
    where: str  # what messages call it

    def image(self, shorter: int | None = None):
        """The photograph as `images.decode` has it."""
        return decode(self.source, self.where, shorter)


@dataclass(frozen=True, eq=False)
class Photographs:
    """A split of photographs, none of them in memory, with the interface of `datasets.Split`."""

    source: Sequence[Photograph]  # a list, or `tfds.Records`
    numbers: range  # which of the source's photographs these are
    crop: int = views.CROP  # side of what a network is shown of each, in pixels
    cropped = True  # see `views.test_view`

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: slice) -> "Photographs":
        return Photographs(self.source, self.numbers[rows], self.crop)

    def read(self, place: int) -> Photograph:
        """One of them, not decoded."""
        return self.source[self.numbers[place]]

    def each(self, view: Callable) -> Iterator[tuple[Any, int]]:
        """`view` of every decoded photograph, and its label, in order."""

        def make(place: int) -> tuple[Any, int]:
            photograph = self.read(place)
            return view(photograph.image()), photograph.label

        return in_threads(make, range(len(self)))

    def batches(self, size: int, view: Callable | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Test views, or what `view` makes of each, and labels int32 `[b]` in order, at most `size` at a time."""
        ready = self.each(view or self.test_view)
        while batch := list(itertools.islice(ready, min(size, AT_ONCE))):
            images, labels = zip(*batch, strict=True)
            yield np.stack(images), np.array(labels, np.int32)

    def test_view(self, image) -> np.ndarray:
        """What a network is tested on of a decoded photograph."""
        return views.test_view(image, (self.crop, self.crop, 3), cropped=True)


class Draws(NamedTuple):
    """What happens to each photograph of one batch; arrays `[B]`."""

    index: np.ndarray  # int32, which photograph of the split
    side: np.ndarray  # int, its shorter side in pixels
    top: np.ndarray  # uint64, place of the crop's first row, in 2^-24 of the possible places
    left: np.ndarray  # the same of its first column
    flip: np.ndarray  # bool, whether the crop is mirrored
    noise: np.ndarray  # float [B, 3], draws of the colour noise


def draw_crops(seed: int, iteration: int, batch_size: int, examples: int, crop: int = views.CROP) -> Draws:
    """What an iteration sees of a split of `examples` photographs; shorter sides are in proportion to `crop`."""
    index = order(seed, iteration * batch_size, batch_size, examples)
    bits = words(seed, iteration, _CROPS, 4 * batch_size).reshape(batch_size, 4)
    least, most = (round(side * crop / views.CROP) for side in views.JITTER)
    side = least + _below(most - least + 1, bits[:, 0] >> 40).astype(int)
    top, left = bits[:, 1] >> 40, (bits[:, 1] >> 16) & 0xFFFFFF
    return Draws(index, side, top, left, (bits[:, 0] & 1).astype(bool), _normal(bits[:, 2:]) * NOISE)


def _below(most: int, bits24):
    """24 random bits, uint64, to 0..most-1."""
    return (bits24 * np.uint64(most)) >> np.uint64(24)


def _normal(bits: np.ndarray) -> np.ndarray:
    """Words `[B, 2]` to standard normal numbers `[B, 3]`, by Box and Muller's rule."""
    halves = np.stack([bits >> 32, bits & 0xFFFFFFFF], axis=-1)  # [B, 2, 2]
    uniform = (halves.astype(np.float64) + 0.5) / 2**32
    radius, angle = np.sqrt(-2 * np.log(uniform[..., 0])), 2 * np.pi * uniform[..., 1]
    four = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.round(four[:, :3], 4)  # the last bits of logarithms and cosines differ between machines


def training_crop(photograph: Photograph, side: int, top: int, left: int, flip: bool, crop: int) -> np.ndarray:
    """One crop as `Draws` has it, uint8 `[crop, crop, 3]`; raises what `images.decode` does."""
    image = photograph.image(shorter=side)
    width, height = views.resized(image.size, side)
    places = (int(_below(size - crop + 1, np.uint64(place))) for size, place in ((height, top), (width, left)))
    return views.cropped(image, side, *places, crop, flip)


class Batch(NamedTuple):
    """A batch, or several with a leading axis n, as the training takes them."""

    images: Any  # uint8 [B, crop, crop, 3]
    shift: Any  # float32 [B, 3], the colour noise: added to every pixel, on the device
    labels: Any  # int32 [B]


def add_noise(batch: Batch) -> tuple:
    """Images float32 `[B, crop, crop, 3]` with their colour noise, and labels, computed on the device."""
    from keras import ops

    return ops.cast(batch.images, "float32") + batch.shift[:, None, None, :], batch.labels


class PhotographFeed:
    """Batches made ahead on threads, without `augment` of test views without noise; see `augment.Feed`."""

    most_steps = 1  # iterations a call: a batch is large, and so is what a device does with it

    def __init__(self, split: Photographs, seed: int, batch_size: int, augment: bool):
        self.arrays, self.apply = (), add_noise
        self.split, self.seed, self.batch_size, self.augment = split, seed, batch_size, augment
        self.pool = ThreadPoolExecutor(workers())
        self.pending: dict[int, tuple[np.ndarray, list]] = {}

    def take(self, iteration: int, steps: int) -> Batch:
        """Batches from `iteration` on, with those after them begun; a UserError names an unreadable photograph."""
        for number in range(iteration, iteration + steps + AHEAD):
            if number not in self.pending:
                draws = draw_crops(self.seed, number, self.batch_size, len(self.split), self.split.crop)
                futures = [self.pool.submit(self._example, draws, place) for place in range(self.batch_size)]
                self.pending[number] = views.colour_shift(draws.noise) * np.float32(self.augment), futures
        batches = []
        for number in range(iteration, iteration + steps):
            shift, futures = self.pending.pop(number)
            images, labels = zip(*(future.result() for future in futures), strict=True)
            batches.append((np.stack(images), shift, np.array(labels, np.int32)))
        return Batch(*map(np.stack, zip(*batches, strict=True)))

    def close(self) -> None:
        """Stop making batches."""
        self.pool.shutdown(cancel_futures=True)

    def _example(self, draws: Draws, place: int) -> tuple[np.ndarray, int]:
        photograph = self.split.read(draws.index[place])
        if not self.augment:
            return self.split.test_view(photograph.image()), photograph.label
        crop = training_crop(photograph, *(int(field[place]) for field in draws[1:5]), self.split.crop)
        return crop, photograph.label
