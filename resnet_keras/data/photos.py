"""ImageNet's pipeline (Sec. 3.4) for photographs of any size: read, decoded and cropped while the network trains.

For training: the shorter side uniform in 256..480, a random crop of 224 or its mirror image, AlexNet's colour noise.
For the error while training: the central 224 at shorter side 256. All is a function of (seed, iteration, place in the
batch) as in `augment`, so that there is no generator state to save. Pillow decodes on several threads; no backend is
needed. The network subtracts the mean colour itself.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnet_keras.data import views
from resnet_keras.data.augment import order, words
from resnet_keras.data.images import class_of, decode, workers

# Mean colour of ImageNet's training images, as the authors' released networks and VGG's subtract it.
MEAN = np.array([123.68, 116.779, 103.939], np.float32)
NOISE = 0.1  # deviation of the draws of AlexNet's colour noise
AHEAD = 2  # batches that are made while the network trains on another
AT_ONCE = 128  # most photographs of a batch that is tested
_CROPS = 2  # purpose of the random words, beside those of `augment`


class Photograph(NamedTuple):
    """One photograph, not decoded: its bytes or its file, its class's number, and what messages call it."""

    source: bytes | Path
    label: int
    where: str


class Files:
    """Photographs of a folder in one fixed shuffle, by a hash of their paths; `tfds.Records` is alike."""

    def __init__(self, folder: Path, paths: list[str], classes: tuple[str, ...]):
        """`paths` are relative to the folder; `classes` gives the numbers."""
        shuffled = sorted(paths, key=lambda path: hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest())
        self.paths = [folder / path for path in shuffled]
        numbers = {name: number for number, name in enumerate(classes)}
        self.labels = [numbers[class_of(path)] for path in shuffled]

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.paths)

    def __getitem__(self, number: int) -> Photograph:
        """The photograph of this number."""
        return Photograph(self.paths[number], self.labels[number], str(self.paths[number]))


@dataclass(frozen=True, eq=False)
class Photographs:
    """A split of photographs, none of them in memory, with the interface of `datasets.Split`."""

    source: Any  # `Files` or `tfds.Records`
    numbers: range  # which of the source's photographs these are
    crop: int = views.CROP  # side of what a network is shown of each, in pixels
    cropped = True  # see `views.test_view`

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.numbers)

    def __getitem__(self, rows: slice) -> Photographs:
        """A range of these photographs."""
        return Photographs(self.source, self.numbers[rows], self.crop)

    def read(self, place: int) -> Photograph:
        """One of them, not decoded."""
        return self.source[self.numbers[place]]

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
        """Test views uint8 `[b, crop, crop, 3]` and labels int32 `[b]` in order, at most `size` at a time."""
        size, batch = min(size, AT_ONCE), []
        for number, item in enumerate(self.each(self.central), 1):
            batch.append(item)
            if len(batch) == size or number == len(self):
                images, labels = zip(*batch, strict=True)
                yield np.stack(images), np.array(labels, np.int32)
                batch = []

    def central(self, photograph: Photograph) -> tuple[np.ndarray, int]:
        """Test view and class of one."""
        image = decode(photograph.source, photograph.where)
        return views.test_view(image, (self.crop, self.crop, 3), cropped=True), photograph.label


class Draws(NamedTuple):
    """What happens to each photograph of one batch."""

    index: np.ndarray  # int32 [B], which photograph of the split
    side: np.ndarray  # int [B], its shorter side in pixels
    top: np.ndarray  # uint64 [B], place of the crop's first row, in 2^-24 of the possible places
    left: np.ndarray  # the same of its first column
    flip: np.ndarray  # bool [B], whether the crop is mirrored
    noise: np.ndarray  # float [B, 3], draws of the colour noise


def draw_crops(seed: int, iteration: int, batch_size: int, examples: int, crop: int = views.CROP) -> Draws:
    """What an iteration, counted from 0, sees of a split of `examples` photographs: the same on every machine.

    The range of shorter sides is in proportion to `crop`.
    """
    index = order(seed, iteration * batch_size, batch_size, examples)
    bits = words(seed, iteration, _CROPS, 4 * batch_size).reshape(batch_size, 4)
    least, most = (round(side * crop / views.CROP) for side in views.JITTER)
    side = least + _below(most - least + 1, bits[:, 0] >> 40).astype(int)
    top, left = bits[:, 1] >> 40, (bits[:, 1] >> 16) & 0xFFFFFF
    return Draws(index, side, top, left, (bits[:, 0] & 1).astype(bool), _normal(bits[:, 2:]) * NOISE)


def _below(most, bits24):
    """24 random bits to 0..most-1."""
    return (bits24 * np.asarray(most, np.uint64)) >> np.uint64(24)


def _normal(bits: np.ndarray) -> np.ndarray:
    """Words `[B, 2]` to standard normal numbers `[B, 3]`, by Box and Muller's rule.

    Rounded to ten-thousandths, since the last bits of logarithms and cosines differ between machines.
    """
    halves = np.stack([bits >> 32, bits & 0xFFFFFFFF], axis=-1)  # [B, 2, 2]
    uniform = (halves.astype(np.float64) + 0.5) / 2**32
    radius, angle = np.sqrt(-2 * np.log(uniform[..., 0])), 2 * np.pi * uniform[..., 1]
    four = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.round(four[:, :3], 4)


def training_crop(photograph: Photograph, side: int, top: int, left: int, flip: bool, crop: int) -> np.ndarray:
    """One crop as `Draws` has it, uint8 `[crop, crop, 3]`.

    Raises:
        UserError: the photograph cannot be read; the message names it.
    """
    image = decode(photograph.source, photograph.where, shorter=side)
    width, height = views.resized(image.size, side)
    places = (int(_below(size - crop + 1, np.uint64(place))) for size, place in ((height, top), (width, left)))
    return views.cropped(image, side, *places, crop, flip)


class Batch(NamedTuple):
    """The images of a batch, or of several with a leading axis n, as the training takes them."""

    images: Any  # uint8 [B, crop, crop, 3]
    shift: Any  # float32 [B, 3], the colour noise: added to every pixel, on the device
    labels: Any  # int32 [B]


def add_noise(batch: Batch) -> tuple:
    """Images float32 `[B, crop, crop, 3]` with their colour noise, and labels, computed on the device."""
    from keras import ops

    return ops.cast(batch.images, "float32") + batch.shift[:, None, None, :], batch.labels


class PhotographFeed:
    """Batches of photographs, made ahead on threads; see `augment.Feed`. No array stays on the device."""

    most_steps = 1  # iterations a call: a batch is large, and so is what a device does with it

    def __init__(self, split: Photographs, seed: int, batch_size: int, augment: bool):
        """Without `augment` a batch is the test views, without noise; the others are those of `draw_crops`."""
        self.arrays, self.apply = (), add_noise
        self.split, self.seed, self.batch_size, self.augment = split, seed, batch_size, augment
        self.pool = ThreadPoolExecutor(workers())
        self.pending: dict[int, tuple[Batch, list]] = {}

    def take(self, iteration: int, steps: int) -> Batch:
        """Images of the iterations `iteration .. iteration + steps - 1`; begins with those after them.

        Raises:
            UserError: a photograph cannot be read; the message names it.
        """
        for number in range(iteration, iteration + steps + AHEAD):
            if number not in self.pending:
                self.pending[number] = self._begin(number)
        batches = []
        for number in range(iteration, iteration + steps):
            batch, futures = self.pending.pop(number)
            for future in futures:
                future.result()
            batches.append(batch)
        self.pending = {number: begun for number, begun in self.pending.items() if number >= iteration}
        return Batch(*(np.stack(part) for part in zip(*batches, strict=True)))

    def close(self) -> None:
        """Stop making batches."""
        self.pool.shutdown(cancel_futures=True)

    def _begin(self, iteration: int) -> tuple[Batch, list]:
        """A batch that is being filled, and the futures to wait for."""
        count, crop = self.batch_size, self.split.crop
        draws = draw_crops(self.seed, iteration, count, len(self.split), crop)
        shift = views.colour_shift(draws.noise) if self.augment else np.zeros((count, 3), np.float32)
        batch = Batch(np.empty((count, crop, crop, 3), np.uint8), shift, np.empty(count, np.int32))
        return batch, [self.pool.submit(self._fill, batch, place, draws) for place in range(count)]

    def _fill(self, batch: Batch, place: int, draws: Draws) -> None:
        photograph = self.split.read(draws.index[place])
        if self.augment:
            fields = (field[place] for field in draws[1:5])
            batch.images[place] = training_crop(photograph, *map(int, fields), self.split.crop)
        else:
            batch.images[place], _ = self.split.central(photograph)
        batch.labels[place] = photograph.label
