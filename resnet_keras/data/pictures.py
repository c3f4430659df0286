"""Encoded pictures to arrays: from a folder, from a tar archive, or from any stream of them.

Pillow decodes everything, so that a set has the same bits with and without TensorFlow. (TensorFlow's own JPEG
decoder, as TFDS calls it, differs from it in two thirds of all values of CIFAR-10 (JPEG), by up to 5 of 255.)
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from resnet_keras.data.cache import Arrays
from resnet_keras.data.dataset import Split
from resnet_keras.data.photographs import naming
from resnet_keras.errors import UserError

SPLITS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
LAYOUT = "{train,test}/<class>/*.{png,jpg}"
LARGEST = 64 * 2**20  # bytes of one encoded picture
LARGEST_PIXELS = 2**26  # of one picture; a few kilobytes can stand for many more
LARGEST_HEADER = 2**20  # bytes of what an archive says of one member beside its name
_DEEP = ("I", "F")  # Pillow's modes of more than 8 bits; converting them to RGB would clip


class Picture(NamedTuple):
    """One encoded picture: its split, its class, where it is from (for messages), and its bytes."""

    split: str
    label: str
    where: str
    encoded: bytes


def gather(pictures: Iterable[Picture], classes: tuple[str, ...] | None, where: str) -> Arrays:
    """Decode all pictures and put them in their fixed order.

    Args:
        pictures: in any order.
        classes: class names in the order of their numbers; None takes the training pictures' names, sorted.
        where: the set, for messages.

    Raises:
        UserError: a picture is broken or of another size than the first, a split is empty, a class is
            unknown.
    """
    images = {split: [] for split in SPLITS}
    names = {split: [] for split in SPLITS}
    first = None
    for picture in pictures:
        image = decode(picture)
        first = first or (picture.where, image.shape)
        if image.shape != first[1]:
            raise UserError(
                f"{picture.where} is {_size(image.shape)}, but {first[0]} is {_size(first[1])}: all pictures "
                "of a set that is held in memory must have the same size; resize them first"
            )
        images[picture.split].append(image)
        names[picture.split].append(picture.label)
    for split in SPLITS:
        if not images[split]:
            raise UserError(f"{where} has no {split} pictures; it must hold {LAYOUT}")
    if classes is None:
        classes = tuple(sorted(set(names["train"])))
    return Arrays(classes, *(_in_order(images[split], _numbers(names[split], classes, where)) for split in SPLITS))


def decode(picture: Picture) -> np.ndarray:
    """RGB values of one picture, uint8 `[H, W, 3]`; grey becomes RGB, and transparency is dropped.

    Raises:
        UserError: the picture cannot be read, or has more than 8 bits a value.
    """
    from PIL import Image

    with (
        naming(picture.where, ("PNG", "JPEG")),
        Image.open(io.BytesIO(picture.encoded), formats=("PNG", "JPEG")) as image,
    ):
        if image.width * image.height > LARGEST_PIXELS:
            raise UserError(f"{picture.where} has more than {LARGEST_PIXELS} pixels; make it smaller or remove it")
        if image.mode.startswith(_DEEP):
            raise UserError(f"{picture.where} has more than 8 bits a value; only 8-bit pictures can be used")
        return np.array(image.convert("RGB"))


def list_folder(folder: Path) -> list[Path]:
    """Every picture of `folder`, as sorted paths `split/class/file` relative to it.

    Raises:
        UserError: `folder` lacks `train` or `test`, or holds no picture.
    """
    for split in SPLITS:
        if not (folder / split).is_dir():
            raise UserError(f"{folder} has no folder {split}; it must hold {LAYOUT}")
    found = [
        Path(split, entry.name, file.name)
        for split in SPLITS
        for entry in os.scandir(folder / split)
        if entry.is_dir() and not entry.name.startswith(".")
        for file in os.scandir(entry.path)
        if is_picture(file.name) and file.is_file()
    ]
    if not found:
        raise UserError(f"{folder} holds no pictures; it must hold {LAYOUT}")
    return sorted(found)


def read_folder(folder: Path) -> Iterator[Picture]:
    """The pictures of `folder`, encoded."""
    for path in list_folder(folder):
        try:
            encoded = (folder / path).read_bytes()
        except OSError as error:
            raise UserError(f"{folder / path} cannot be read ({error.strerror})") from None
        yield Picture(path.parts[0], path.parts[1], str(folder / path), encoded)


def read_archive(archive: Path) -> Iterator[Picture]:
    """The pictures of a tar archive, encoded, read in one pass and in memory.

    Nothing is written to disk, and no link is followed.

    Raises:
        UserError: the archive is damaged, or holds a link, a device, or a picture in a place where none
            belongs.
    """
    try:
        with tarfile.open(archive, "r|*", tarinfo=_Member) as tar:
            for member in tar:
                path = _checked(archive, member)
                if path is not None:
                    yield Picture(path.parts[0], path.parts[1], f"{archive}: {path}", tar.extractfile(member).read())
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise UserError(f"{archive} is no readable tar archive ({error}); copy or download it again") from None


class _Member(tarfile.TarInfo):
    """A member whose extended headers, which Python reads into memory whole, are of a sensible size."""

    @classmethod
    def frombuf(cls, *arguments, **keywords):
        """See `tarfile.TarInfo.frombuf`."""
        member = super().frombuf(*arguments, **keywords)
        if member.type not in tarfile.REGULAR_TYPES and member.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _checked(archive: Path, member: tarfile.TarInfo) -> PurePosixPath | None:
    """Place of a picture in the archive; None for what is no picture."""
    path = PurePosixPath(member.name)
    if member.isdir():
        return None
    if not member.isfile():
        raise UserError(f"{archive} holds {member.name!r}, a link or a device; it may hold only folders and files")
    if member.size > LARGEST:
        raise UserError(f"{archive} holds {member.name!r} of {member.size} bytes; {LARGEST} are allowed")
    if not is_picture(path.name):
        return None
    if len(path.parts) != 3 or path.parts[0] not in SPLITS or path.parts[1].startswith("."):
        raise UserError(f"{archive} holds {member.name!r}; its pictures must lie in {LAYOUT}")
    return path


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _numbers(names: list[str], classes: tuple[str, ...], where: str) -> np.ndarray:
    number = {name: i for i, name in enumerate(classes)}
    strange = sorted(set(names) - set(classes))
    if strange:
        raise UserError(f"{where}: class {strange[0]!r} is in test but not in train; both must have the same classes")
    return np.array([number[name] for name in names], np.int32)


def _in_order(images: list[np.ndarray], labels: np.ndarray) -> Split:
    """The split sorted by the SHA-256 of each picture's values.

    This is one fixed shuffle, whatever order the pictures came in: a set read from TFDS and the same pictures
    read from an archive are equal bit for bit, and the last 5,000 are a random but fixed sample.
    """
    digests = [hashlib.sha256(image.data).digest() for image in images]
    order = sorted(range(len(images)), key=lambda i: (digests[i], labels[i]))
    return Split(np.stack([images[i] for i in order]), labels[order])
