"""A name to its splits: a TFDS set, a folder or tar archive of pictures, or the built-in `shapes32`."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from resnet_keras import paths
from resnet_keras.data import cache, encoded, pictures, prepared, shapes32
from resnet_keras.data.cache import Arrays
from resnet_keras.data.dataset import Dataset, Identity
from resnet_keras.data.imagenet import Photographs, PhotographSet
from resnet_keras.data.views import CROP
from resnet_keras.errors import UserError

BUILT_IN = "shapes32"
ARCHIVES = (".tar", ".tar.gz", ".tar.xz")
TITLES = {
    "cifar10": "CIFAR-10",
    "cifar10_jpeg": "CIFAR-10 (JPEG)",
    "cifar100": "CIFAR-100",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn_cropped": "SVHN",
    "imagenet2012": "ImageNet 2012",
}
# Archives known to hold the pictures of a TFDS set, by their SHA-256.
TWINS = {
    "c562d90f16f2364941ee596663171764f871c78be386d92d6cfb3cfac2be07d2": ("cifar10_jpeg", "1.0.0"),
}


class Source(NamedTuple):
    """A set that was found: what it is, how to decode it, and what must not change while it is cached."""

    identity: Identity
    read: Callable[[], Arrays | Streams]
    stamp: str = ""
    streamed: bool = False  # photographs, which are never held in memory nor cached


class Streams(NamedTuple):
    """An opened set of photographs: class names, and what to read the two splits from; see `encoded`."""

    classes: tuple[str, ...]
    train: encoded.Files | encoded.Records
    test: encoded.Files | encoded.Records


def load(
    name: str, data_dir: str | os.PathLike | None = None, validation: int = 0, crop: int = CROP
) -> Dataset | PhotographSet:
    """The pictures named `name`, decoded, from the cache where it has them; photographs are streamed instead.

    A set is one of photographs where its pictures vary in size or have more than 128 pixels on a side.

    Args:
        name: `shapes32`; a TFDS name such as `cifar10`, or `name/config`; the path of a folder
            `DIR/{train,test}/<class>/*.{png,jpg}`, with a slash in it; or a `.tar`, `.tar.gz` or `.tar.xz` of
            one.
        data_dir: where prepared TFDS sets lie and downloads go; `data/tfds` unless given. The cache of
            decoded arrays stays under `data/`.
        validation: how many training images to set apart. They are the same on every machine and for every
            seed, and no longer part of `train`.
        crop: side of what a network sees of a photograph, in pixels; pictures held in memory are taken whole.

    Returns:
        A `Dataset` with images uint8 `[N, H, W, 3]` and labels int32 `[N]`, in a fixed order; or a `PhotographSet`.

    Raises:
        UserError: there is no such set, it cannot be read, or `validation` leaves no training images.
    """
    source = _find(name, data_dir)
    if source.streamed:
        classes, *splits = source.read()
        train, test = (Photographs(split, range(len(split)), crop) for split in splits)
        return PhotographSet(source.identity, classes, *_apart(source.identity, train, validation, test))
    arrays = cache.load(source.identity, source.stamp)
    if arrays is None:
        arrays = _make(source)
    splits = _apart(source.identity, arrays.train, validation, arrays.test)
    return Dataset(source.identity, arrays.classes, *splits)


def _make(source: Source) -> Arrays:
    """Decode a set and cache it, or wait for another process that does."""
    with cache.being_made(source.identity) as waited:
        arrays = cache.load(source.identity, source.stamp) if waited else None
        if arrays is None:
            arrays = source.read()
            cache.save(source.identity, arrays, source.stamp)
    return arrays


def identify(name: str, data_dir: str | os.PathLike | None = None) -> Identity:
    """Which pictures `name` stands for, without decoding them.

    `version` is the dataset's for TFDS, the drawing's for shapes32, and a short hash for a folder (over its
    files' paths and sizes) or an archive (over its bytes).

    Raises:
        UserError: there is no such set.
    """
    return _find(name, data_dir).identity


def _apart(identity: Identity, train, validation: int, test) -> tuple:
    """Training, test and validation split: the last training images, for their order is one fixed shuffle already."""
    count = len(train)
    if not 0 <= validation < count:
        raise UserError(f"validation is {validation}; {identity.title} allows 0 to {count - 1} of its {count} images")
    if not validation:
        return train, test, None
    return train[: count - validation], test, train[count - validation :]


def _find(name: str, data_dir: str | os.PathLike | None) -> Source:
    name = os.fspath(name)
    if name == BUILT_IN:
        return Source(Identity(BUILT_IN, shapes32.VERSION, BUILT_IN), _draw_shapes)
    if name.endswith(ARCHIVES):
        return _archive(Path(name).expanduser())
    path = Path(name).expanduser()
    if _has_slash(name) and (path.is_dir() or path.is_absolute() or name.startswith(".")):
        return _folder(path)
    return _from_tfds(name, data_dir)


def _draw_shapes() -> Arrays:
    return Arrays(shapes32.CLASSES, shapes32.draw("train"), shapes32.draw("test"))


def _folder(folder: Path) -> Source:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; a folder of pictures must hold {pictures.LAYOUT}")
    streamed = encoded.streams_folder(folder)
    splits = encoded.list_files(folder) if streamed else {}
    files = [path for split in splits.values() for path in split] if streamed else pictures.list_folder(folder)
    facts = [(path.as_posix(), (folder / path).stat()) for path in files]
    version = _short_hash(f"{path} {stat.st_size}" for path, stat in facts)
    stamp = _short_hash(f"{path} {stat.st_mtime_ns}" for path, stat in facts)
    title = folder.resolve().name
    identity = Identity(_safe(title), version, title)
    if streamed:
        return Source(identity, partial(_read_streams, folder, splits), streamed=True)
    return Source(identity, lambda: pictures.gather(pictures.read_folder(folder), None, str(folder)), stamp)


def _read_streams(folder: Path, splits: dict[str, list[Path]]) -> Streams:
    classes = tuple(sorted({path.parts[1] for path in splits["train"]}))
    return Streams(classes, *(encoded.files(folder, paths, classes) for paths in splits.values()))


def _archive(archive: Path) -> Source:
    digest = hashlib.sha256()
    try:
        with open(archive, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"archive {archive} cannot be read ({error.strerror})") from None
    read = partial(_read_archive, archive)
    if digest.hexdigest() in TWINS:
        return Source(_tfds_identity(*TWINS[digest.hexdigest()]), read)
    title = archive.name[: archive.name.rindex(".tar")]
    return Source(Identity(_safe(title), digest.hexdigest()[:8], title), read)


def _read_archive(archive: Path) -> Arrays:
    return pictures.gather(pictures.read_archive(archive), None, str(archive))


def _from_tfds(name: str, data_dir: str | os.PathLike | None) -> Source:
    """A prepared set; else a cached one, which needs no TFDS; else one to download."""
    roots = _roots(data_dir)
    folder = prepared.find(name, roots)
    if folder is not None:
        identity = _tfds_identity(name, prepared.version(folder))
        if encoded.streams_records(folder):
            return Source(identity, lambda: Streams(*encoded.records(folder)), streamed=True)
        return Source(identity, partial(prepared.read, folder))
    cached = [entry for entry in cache.entries() if entry == _tfds_identity(name, entry.version)]
    cached = [entry for entry in cached if prepared.is_version(entry.version)]
    if cached:
        newest = max(cached, key=lambda entry: prepared.version_order(entry.version))
        return Source(newest, lambda: prepared.download_and_read(_builder(name, roots)))
    builder = _builder(name, roots)
    full_name, _, version = builder.info.full_name.rpartition("/")
    return Source(_tfds_identity(full_name, version), lambda: prepared.download_and_read(builder))


def _builder(name: str, roots: list[Path]):
    builder = prepared.builder(name, roots[0])
    if builder is None:
        raise UserError(_unknown(name, roots))
    return builder


def _roots(data_dir: str | os.PathLike | None) -> list[Path]:
    """Folders in which prepared TFDS sets are looked for; downloads go to the first."""
    elsewhere = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if data_dir is None:
        return [paths.data_dir() / "tfds", elsewhere]
    given = Path(data_dir).expanduser()
    if not given.is_dir():
        raise UserError(f"there is no data folder {given}; name an existing one, or make it first")
    return [given, given / "tfds", elsewhere]


def _unknown(name: str, roots: list[Path]) -> str:
    names = {BUILT_IN, *prepared.names(roots), *(entry.name for entry in cache.entries()), *prepared.known()}
    near = difflib.get_close_matches(name, sorted(names), n=4)
    hint = f" (near it: {', '.join(near)})" if near else ""
    if Path(name).is_dir():
        hint = f" (for the folder of that name, give ./{name})"
    return (
        f"there is no data set {name!r}{hint}; allowed are {BUILT_IN}, the name of a TFDS image-"
        f"classification set such as cifar10, a folder that holds {pictures.LAYOUT}, given as ./NAME, or a "
        f"{', '.join(ARCHIVES)} of one"
    )


def _tfds_identity(name: str, version: str) -> Identity:
    return Identity(_safe(name), version, TITLES.get(name, name))


def _safe(name: str) -> str:
    """`name` with nothing in it that a file name could choke on."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._") or "pictures"


def _has_slash(name: str) -> bool:
    return "/" in name or os.sep in name


def _short_hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
