"""Data sets by name, in memory or streamed; decoded images are kept in `data/cache/<name>-<version>.npz`."""

import contextlib
import difflib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from resnet_keras import files
from resnet_keras.data import images, photos, shapes16, tfds
from resnet_keras.data.augment import Feed
from resnet_keras.data.views import CROP
from resnet_keras.errors import UserError, first_line

BUILT_IN = "shapes16"
TITLES = {
    "cifar10": "CIFAR-10", "cifar10_jpeg": "CIFAR-10 (JPEG)", "cifar100": "CIFAR-100", "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST", "svhn_cropped": "SVHN", "imagenet2012": "ImageNet 2012",
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """Which images these are."""

    name: str  # safe in file names, `cifar10_jpeg`
    version: str  # of a TFDS set its own; of a folder a digest of what its images hold
    title: str  # for people, `CIFAR-10 (JPEG)`
    source: str = field(default="", compare=False)  # finds the set again: its name, or a folder's absolute path


@dataclass(frozen=True, eq=False)
class Split:
    """Images kept in memory; `photos.Photographs` has the same methods. A slice of it copies nothing."""

    images: np.ndarray  # uint8 [N, H, W, 3]
    labels: np.ndarray  # int32 [N]
    cropped = False  # a network is shown the images as they are; see `views.test_view`

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> "Split":
        return Split(self.images[rows], self.labels[rows])

    def batches(self, size: int, view: Callable | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images, or what `view` makes of each as a Pillow image, and labels in order, `size` at a time."""
        for start in range(0, len(self), size):
            part = self[start : start + size]
            shown = np.stack([view(Image.fromarray(image)) for image in part.images]) if view else part.images
            yield shown, part.labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named set with its splits, all in memory or all streamed; `validation` is None unless it was asked for."""

    identity: Identity
    classes: tuple[str, ...]
    train: Split | photos.Photographs
    test: Split | photos.Photographs
    validation: Split | photos.Photographs | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what a network is shown."""
        return (self.train.crop, self.train.crop, 3) if self.train.cropped else self.train.images.shape[1:]

    def mean(self) -> np.ndarray:
        """What a network subtracts, float32: the training images' mean `[H, W, 3]` (Sec. 4.2) or ImageNet's `[3]`."""
        if self.train.cropped:
            return photos.MEAN
        return self.train.images.mean(axis=0, dtype=np.float64).astype(np.float32)  # exact sums: the same everywhere

    def feed(self, seed: int, batch_size: int, augment: bool) -> Feed | photos.PhotographFeed:
        """What a training takes its batches from."""
        return (photos.PhotographFeed if self.train.cropped else Feed)(self.train, seed, batch_size, augment)


def load(name: str | os.PathLike, data_dir: str | os.PathLike | None = None, validation=0, crop=CROP) -> Dataset:
    """The data set `name`, its images in a fixed order.

    `name` is `shapes16`; a TFDS name such as `cifar10`, or `name/config`; or the path of a folder
    `DIR/{train,test}/CLASS/*.jpg`, with a slash in it. TFDS sets lie in `data_dir`, and downloads go there (default:
    `data/tfds`). `validation` training images are set apart, the same ones on every machine and for every seed. Images
    of one size up to 128 pixels a side are decoded now; others are photographs, streamed while a network trains that is
    shown `crop` pixels a side. Raises a UserError where there is no such set, it cannot be read, or nothing is left.
    """
    identity, read = _source(os.fspath(name), data_dir)
    classes, train, test = _cached(identity, lambda: read(crop))
    rest = len(train) - validation  # the order is one fixed shuffle already
    if not 0 < rest <= len(train):
        allowed = f"{identity.title} allows 0 to {len(train) - 1} of its {len(train)} images"
        raise UserError(f"validation is {validation}; {allowed}")
    return Dataset(identity, classes, train[:rest], test, train[rest:] if validation else None)


def identify(name: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> Identity:
    """Which images `name` stands for: a folder is read for it the first time. Raises a UserError for no such set."""
    return _source(os.fspath(name), data_dir)[0]


def _source(name: str, data_dir) -> tuple[Identity, Callable[[int], tuple]]:
    """Which set it is, and what reads it, with crops of a size: class names, images to train on and to test on."""
    path = os.path.expanduser(name)
    if name == BUILT_IN:
        splits = (Split(*shapes16.draw_images(split)) for split in shapes16.COUNTS)  # drawn when they are asked for
        return Identity(name, shapes16.VERSION, name, name), lambda crop: (shapes16.CLASSES, *splits)
    if not ("/" in name.replace(os.sep, "/") and (os.path.isdir(path) or os.path.isabs(path) or name.startswith("."))):
        return _from_tfds(name, data_dir)
    folder = Path(os.path.abspath(path))
    title, (version, *contents) = images.text(folder.name), images.survey(folder)
    return Identity(_safe(title), version, title, str(folder)), lambda crop: _splits(*contents, crop)


def _from_tfds(name: str, data_dir) -> tuple[Identity, Callable[[int], tuple]]:
    """A prepared set; else a cached one, which needs no TFDS; else one to download into the first folder."""
    folder = Path(data_dir or files.data_dir() / "tfds").expanduser()
    if data_dir and not folder.is_dir():
        raise UserError(f"there is no data folder {folder}; name an existing one, or make it first")
    if not tfds.NAME.fullmatch(name):
        _refuse(name)
    elsewhere = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    source, full_name = tfds.prepared_folder(name, [folder, folder / "tfds", elsewhere]), name
    cached = (path.stem.rpartition("-")[2] for path in (files.data_dir() / "cache").glob(f"{_safe(name)}-*.npz"))
    if not (version := source.name if source else tfds.newest(cached)):
        full_name, _, version = (tfds.unprepared(name, folder) or _refuse(name)).info.full_name.rpartition("/")

    def read(crop: int) -> tuple:
        prepared = source or tfds.download(tfds.unprepared(name, folder) or _refuse(name))
        return _splits(*tfds.open_set(prepared), crop)

    return Identity(_safe(full_name), version, TITLES.get(full_name, full_name), full_name), read


def _splits(classes: tuple[str, ...], parts: Iterable, streamed: bool, crop: int) -> tuple:
    """Classes, and photographs as splits; in memory sorted by SHA-256: the same bits from TFDS and from a folder."""
    if streamed:
        return classes, *(photos.Photographs(part, range(len(part)), crop) for part in parts)

    def decoded(item: images.Photograph) -> tuple[bytes, int, np.ndarray]:
        array = np.array(images.decode(item.source, item.where))
        return hashlib.sha256(array.data).digest(), item.label, array

    sorted_parts = (sorted(images.in_threads(decoded, part), key=lambda row: row[:2]) for part in parts)
    columns = (zip(*rows, strict=True) for rows in sorted_parts)
    return classes, *(Split(np.stack(arrays), np.array(labels, np.int32)) for _, labels, arrays in columns)


def _refuse(name: str) -> NoReturn:
    near = ", ".join(difflib.get_close_matches(name[:60], [BUILT_IN, *TITLES], n=4))
    hint = f" (for the folder of that name, give ./{name})" if os.path.isdir(name) else near and f" (near it: {near})"
    allowed = f"{BUILT_IN}, a TFDS set of labelled images such as cifar10, or ./NAME for a folder of {images.LAYOUT}"
    raise UserError(f"there is no data set {name[:60]!r}{hint}; allowed are {allowed}")


def _safe(name: str) -> str:
    """`name` with nothing in it that a file name could choke on."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._")[:100] or "images"


def _cached(identity: Identity, make: Callable[[], tuple]) -> tuple:
    """A set from the cache, or made by one process while others wait, and kept there unless it is streamed."""
    path = files.data_dir() / "cache" / f"{identity.name}-{identity.version}.npz"
    lock = files.locked(path.with_name(f".{path.name}.lock"), identity.title, say=images.say)
    with contextlib.ExitStack() as stack:
        if not path.is_file():
            with contextlib.suppress(OSError):  # where nothing can be written, no lock is needed
                stack.enter_context(lock)
        if contents := _read(path):
            return contents
        classes, train, test = make()
        if isinstance(train, Split):
            arrays = {"train_images": train.images, "train_labels": train.labels, "classes": np.array(classes)}
            arrays |= {"test_images": test.images, "test_labels": test.labels}
            try:
                for part in path.parent.glob(f".{path.stem}-*{path.suffix}"):  # of killed processes
                    part.unlink()
                with files.replacing(path) as part:
                    np.savez(part, **arrays)
            except OSError as error:
                images.say(f"cannot cache {path.stem} in {path.parent} ({error}); going on without")
        return classes, train, test


def _read(path: Path) -> tuple | None:
    """What a file of the cache holds; None where there is none or its check sums say that it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            train, test = (Split(arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in ("train", "test"))
            return tuple(arrays["classes"].tolist()), train, test
    except Exception as error:  # NumPy and zipfile raise many kinds
        if path.is_file():
            images.say(f"the cache {path} is damaged ({first_line(error)}); making it again")
