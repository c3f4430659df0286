"""Data sets by name, in memory or streamed; decoded images are kept in `data/cache/<name>-<version>.npz`."""

import contextlib
import difflib
import functools
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resnet_keras import files
from resnet_keras.data import images, photos, shapes16, tfds
from resnet_keras.data.augment import Feed
from resnet_keras.data.views import CROP
from resnet_keras.errors import UserError, first_line

log = logging.getLogger(__name__)

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
        """Images, or what `view` makes of each, and labels in order, `size` at a time."""
        for start in range(0, len(self), size):
            images = self.images[start : start + size]
            yield np.stack([*map(view, images)]) if view else images, self.labels[start : start + size]


Contents = tuple  # class names, the images to train on and those to test on: splits of one kind


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
        total = np.add.reduce(self.train.images, axis=0, dtype=np.uint64)  # whole numbers: the same on every machine
        return (total / len(self.train)).astype(np.float32)

    def feed(self, seed: int, batch_size: int, augment: bool) -> Feed | photos.PhotographFeed:
        """What a training takes its batches from."""
        kind = photos.PhotographFeed if self.train.cropped else Feed
        return kind(self.train, seed, batch_size, augment)


def load(name: str | os.PathLike, data_dir: str | os.PathLike | None = None, validation=0, crop=CROP) -> Dataset:
    """The data set `name`, its images in a fixed order.

    `name` is `shapes16`; a TFDS name such as `cifar10`, or `name/config`; or the path of a folder
    `DIR/{train,test}/CLASS/*.jpg`, with a slash in it. Prepared TFDS sets lie in `data_dir`, and downloads go there
    (default: `data/tfds`). `validation` training images are set apart, the same ones on every machine and for every
    seed. Images of one size up to 128 pixels a side are decoded now; others are photographs, streamed while a network
    trains that is shown `crop` pixels a side of them. Raises a UserError where there is no such set, it cannot be read,
    or no training images are left.
    """
    identity, read = _source(os.fspath(name), data_dir)
    classes, train, test = _cached(identity, lambda: read(crop))
    count = len(train)
    if not 0 <= validation < count:
        raise UserError(f"validation is {validation}; {identity.title} allows 0 to {count - 1} of its {count} images")
    rest = count - validation  # the order is one fixed shuffle already
    return Dataset(identity, classes, train[:rest], test, train[rest:] if validation else None)


def identify(name: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> Identity:
    """Which images `name` stands for: a folder is read for it the first time. Raises a UserError for no such set."""
    return _source(os.fspath(name), data_dir)[0]


def _source(name: str, data_dir) -> tuple[Identity, Callable[[int], Contents]]:
    """Which set it is, and what reads it, with crops of a size."""
    path = os.path.expanduser(name)
    if name == BUILT_IN:
        splits = (Split(*shapes16.draw_images(split)) for split in shapes16.COUNTS)  # drawn when they are asked for
        return Identity(name, shapes16.VERSION, name, name), lambda crop: (shapes16.CLASSES, *splits)
    if not ("/" in name.replace(os.sep, "/") and (os.path.isdir(path) or os.path.isabs(path) or name.startswith("."))):
        return _from_tfds(name, data_dir)
    folder = Path(os.path.abspath(path))
    survey, title = images.survey(folder), images.text(folder.name)
    for note in survey.notes:
        _say(f"{title}: {note}")
    classes = tuple(sorted(set(map(images.class_of, survey.train))))
    numbers = {name: number for number, name in enumerate(classes)}

    def listed(paths: list[str]) -> list[photos.Photograph]:
        """In one fixed shuffle, by a hash of their paths."""
        shuffled = sorted(paths, key=lambda path: hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest())
        return [photos.Photograph(folder / p, numbers[images.class_of(p)], str(folder / p)) for p in shuffled]

    identity = Identity(_safe(title), survey.version, title, str(folder))
    return identity, lambda crop: (classes, *_splits(map(listed, (survey.train, survey.test)), survey.streamed, crop))


def _from_tfds(name: str, data_dir) -> tuple[Identity, Callable[[int], Contents]]:
    """A prepared set; else a cached one, which needs no TFDS; else one to download into the first folder."""
    folder = Path(data_dir).expanduser() if data_dir is not None else files.data_dir()
    if data_dir is not None and not folder.is_dir():
        raise UserError(f"there is no data folder {folder}; name an existing one, or make it first")
    elsewhere = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    roots = [*([folder] if data_dir is not None else []), folder / "tfds", elsewhere]
    if not tfds.NAME.fullmatch(name):
        raise UserError(_unknown(name))
    source, full_name = tfds.prepared_folder(name, roots), name
    cached = [path.stem.rpartition("-")[2] for path in (files.data_dir() / "cache").glob(f"{_safe(name)}-*.npz")]
    version = source.name if source else max(filter(tfds.VERSION.fullmatch, cached), key=tfds.order_of, default=None)

    def builder():
        if (unprepared := tfds.unprepared(name, roots[0])) is None:
            raise UserError(_unknown(name))
        return unprepared

    if version is None:
        source = builder()
        full_name, _, version = source.info.full_name.rpartition("/")

    def read(crop: int) -> Contents:
        opened = tfds.open_set(source or builder())
        return opened.classes, *_splits(map(opened.photographs, opened.splits), opened.streamed, crop)

    return Identity(_safe(full_name), version, TITLES.get(full_name, full_name), full_name), read


def _splits(parts: Iterable, streamed: bool, crop: int) -> Iterator:
    """Photographs to train and to test on as splits of one kind; images in memory are sorted by their SHA-256.

    So a set from TFDS and the same images in a folder are equal bit for bit, and the last 5,000 a fixed sample.
    """

    def decoded(item: photos.Photograph) -> tuple[bytes, int, np.ndarray]:
        array = np.array(item.image())
        return hashlib.sha256(array.data).digest(), item.label, array

    for part in parts:
        if streamed:
            yield photos.Photographs(part, range(len(part)), crop)
        else:
            rows = sorted(images.in_threads(decoded, part), key=lambda item: item[:2])
            _, labels, arrays = zip(*rows, strict=True)
            yield Split(np.stack(arrays), np.array(labels, np.int32))


def _unknown(name: str) -> str:
    near = ", ".join(difflib.get_close_matches(name[:60], [BUILT_IN, *TITLES], n=4))
    hint = f" (for the folder of that name, give ./{name})" if os.path.isdir(name) else near and f" (near it: {near})"
    allowed = f"{BUILT_IN}, a TFDS set of labelled images such as cifar10, or ./NAME for a folder of {images.LAYOUT}"
    return f"there is no data set {name[:60]!r}{hint}; allowed are {allowed}"


def _safe(name: str) -> str:
    """`name` with nothing in it that a file name could choke on."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._")[:100] or "images"


@functools.cache
def _say(line: str) -> None:
    """Log a line, once in a process."""
    log.warning(line)


def _cached(identity: Identity, make: Callable[[], Contents]) -> Contents:
    """A set from the cache, or made by one process while others wait; what is streamed is not kept."""
    path = files.data_dir() / "cache" / f"{identity.name}-{identity.version}.npz"
    if contents := _read(path):
        return contents
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # where nothing can be written, no lock is needed
            stack.enter_context(files.locked(path.with_name(f".{path.name}.lock"), identity.title, say=log.warning))
        if not (contents := _read(path)):
            contents = make()
            if isinstance(contents[1], Split):
                _write(path, *contents)
    return contents


def _read(path: Path) -> Contents | None:
    """What a file of the cache holds; None where there is none or its check sums say that it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            train, test = (Split(arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in ("train", "test"))
            return tuple(arrays["classes"].tolist()), train, test
    except Exception as error:  # NumPy and zipfile raise many kinds
        if path.is_file():
            _say(f"the cache {path} is damaged ({first_line(error)}); making it again")
        return None


def _write(path: Path, classes: tuple[str, ...], train: Split, test: Split) -> None:
    """Write a file of the cache; without room or permission for it, log that and go on."""
    arrays = {"train_images": train.images, "train_labels": train.labels}
    arrays |= {"test_images": test.images, "test_labels": test.labels, "classes": np.array(classes)}
    try:
        for part in path.parent.glob(f".{path.stem}-*{path.suffix}"):  # of killed processes: this one has the lock
            part.unlink()
        with files.replacing(path) as part:
            np.savez(part, **arrays)
    except OSError as error:
        _say(f"cannot cache {path.stem} in {path.parent} ({error}); going on without")
