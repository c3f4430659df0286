"""ImageNet's pipeline (Sec. 3.4) for photographs of any size: read, decoded and cropped while the network trains.

In training the shorter side is uniform in 256..480, and a random crop of 224 or its mirror image gets AlexNet's colour
noise: all a function of (seed, iteration, place in the batch), as in `augment`.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from resnet_keras.data import views
from resnet_keras.data.augment import order, words
from resnet_keras.data.images import Photograph, decode, in_threads

# Mean colour of ImageNet's training images, as the authors' released networks and VGG's subtract it.
MEAN = np.array([123.68, 116.779, 103.939], np.float32)
NOISE = 0.1  # deviation of the draws of AlexNet's colour noise
AHEAD = 2  # batches that are made while the network trains on another
AT_ONCE = 128  # most photographs of a batch that is tested
_CROPS = 2  # purpose of the random words, beside those of `augment`


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

    def seen(self, place: int, view: Callable | None = None) -> tuple[Any, np.int32]:
        """What `view`, by default the test view, makes of one of them, decoded, and its label."""
        photograph = self.read(place)
        view = view or (lambda image: views.test_view(image, (self.crop, self.crop, 3), cropped=True))
        return view(decode(photograph.source, photograph.where)), np.int32(photograph.label)

    def each(self, view: Callable | None = None) -> Iterator[tuple[Any, np.int32]]:
        """The same of all of them, in order."""
        return in_threads(lambda place: self.seen(place, view), range(len(self)))

    def batches(self, size: int, view: Callable | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same in arrays, labels int32 `[b]`, at most `size` at a time."""
        ready = self.each(view)
        while batch := list(itertools.islice(ready, min(size, AT_ONCE))):
            yield tuple(map(np.stack, zip(*batch, strict=True)))


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
    side = least + ((bits[:, 0] >> 40) * np.uint64(most - least + 1) >> np.uint64(24)).astype(int)
    top, left = bits[:, 1] >> 40, (bits[:, 1] >> 16) & 0xFFFFFF
    return Draws(index, side, top, left, (bits[:, 0] & 1).astype(bool), _normal(bits[:, 2:]) * NOISE)


def _normal(bits: np.ndarray) -> np.ndarray:
    """Words `[B, 2]` to standard normal numbers `[B, 3]`, by Box and Muller's rule."""
    halves = np.stack([bits >> 32, bits & 0xFFFFFFFF], axis=-1)  # [B, 2, 2]
    uniform = (halves.astype(np.float64) + 0.5) / 2**32
    radius, angle = np.sqrt(-2 * np.log(uniform[..., 0])), 2 * np.pi * uniform[..., 1]
    four = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.round(four[:, :3], 4)  # the last bits of logarithms and cosines differ between machines


def training_crop(photograph: Photograph, side: int, top: int, left: int, flip: bool, crop: int) -> np.ndarray:
    """One crop as `Draws` has it, uint8 `[crop, crop, 3]`; raises what `images.decode` does."""
    image = decode(photograph.source, photograph.where, side)
    width, height = views.resized(image.size, side)
    top, left = top * (height - crop + 1) >> 24, left * (width - crop + 1) >> 24
    return views.crop_of(image, side, top, left, crop, flip)


class Batch(NamedTuple):
    """A batch, or several with a leading axis n, as the training takes them."""

    images: Any  # uint8 [B, crop, crop, 3]
    labels: Any  # int32 [B]
    shift: Any  # float32 [B, 3], the colour noise: added to every pixel, on the device


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
        self.iteration, self.examples = 0, self._examples(0)

    def take(self, iteration: int, steps: int) -> Batch:
        """Batches from `iteration` on, with those after them begun; a UserError names an unreadable photograph."""
        if iteration != self.iteration:  # of a run that goes on
            self.close()
            self.examples = self._examples(iteration)
        self.iteration = iteration + steps
        fields = zip(*itertools.islice(self.examples, steps * self.batch_size), strict=True)
        return Batch(*(np.stack(field).reshape(steps, self.batch_size, *np.shape(field[0])) for field in fields))

    def close(self) -> None:
        """Stop making batches."""
        self.examples.close()

    def _examples(self, iteration: int) -> Iterator[tuple]:
        sizes = self.batch_size, len(self.split), self.split.crop
        draws = (draw_crops(self.seed, number, *sizes) for number in itertools.count(iteration))
        places = (place for batch in draws for place in zip(*batch, strict=True))
        return in_threads(self._example, places, AHEAD * self.batch_size)

    def _example(self, place: tuple) -> tuple[np.ndarray, np.int32, np.ndarray]:
        index, side, top, left, flip, noise = place
        if not self.augment:
            return *self.split.seen(index), np.zeros(3, np.float32)
        photograph = self.split.read(index)
        crop = training_crop(photograph, int(side), int(top), int(left), flip, self.split.crop)
        return crop, np.int32(photograph.label), views.colour_shift(noise)
