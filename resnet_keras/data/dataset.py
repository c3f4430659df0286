"""What a loaded set of pictures is: its identity, its class names and its splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from resnet_keras.data.augment import HeldFeed


@dataclass(frozen=True)
class Identity:
    """Which pictures these are.

    Attributes:
        name: safe in file names, `cifar10_jpeg`.
        version: changes when the pictures do.
        title: for people, `CIFAR-10 (JPEG)`.
    """

    name: str
    version: str
    title: str


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures held in memory: `images` uint8 `[N, H, W, 3]` and `labels` int32 `[N]`."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """Number of pictures, N."""
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Split:
        """A run of these pictures, without a copy."""
        return Split(self.images[rows], self.labels[rows])

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images and labels in order, `size` at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.images[part], self.labels[part]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named set held in memory, with its splits; `validation` is None unless it was asked for."""

    identity: Identity
    classes: tuple[str, ...]
    train: Split
    test: Split
    validation: Split | None = None

    def mean(self) -> np.ndarray:
        """Per-pixel mean of the training images used (Sec. 4.2), float32 `[H, W, 3]`.

        The sum is taken in whole numbers, so it is the same on every machine.
        """
        total = np.add.reduce(self.train.images, axis=0, dtype=np.uint64)
        return (total / len(self.train)).astype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture."""
        return self.train.images.shape[1:]

    def feed(self, seed: int, batch_size: int, augment: bool) -> HeldFeed:
        """What a training takes its batches from."""
        return HeldFeed(self.train, seed, batch_size, augment)
