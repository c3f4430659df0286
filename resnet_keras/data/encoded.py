"""Where a photograph's bytes are: in a folder, or in the records of a prepared TFDS set. Nothing is held in memory.

Both kinds have a length and `read(number)`; both are read by several threads at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_keras.data import pictures
from resnet_keras.errors import UserError

IN_MEMORY = 128  # sets of pictures of one size up to this many pixels a side are held in memory, others are streamed
LOOKED_AT = 64  # pictures of a folder whose size tells of which kind it is
LAYOUT = "{train,test}/<class>/*.{jpg,png}, or val in place of test"
HELD_OUT = ("test", "val", "validation")  # names of the split that is tested on, the first that is there
RECORDS = "array_record"  # TFDS's file format that can be read at any place


class Photograph(NamedTuple):
    """One photograph, not decoded: its bytes or its file, its class's number, and what messages call it."""

    source: bytes | Path
    label: int
    where: str


class Files:
    """Photographs in files: `paths` and the number of each one's class, int32."""

    def __init__(self, paths: list[Path], labels: np.ndarray):
        self.paths, self.labels = paths, labels

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.paths)

    def read(self, number: int) -> Photograph:
        """The photograph of this number."""
        return Photograph(self.paths[number], int(self.labels[number]), str(self.paths[number]))


class Records:
    """Photographs in a split of a prepared TFDS set, read by `tfds`' random access, without TensorFlow."""

    def __init__(self, folder: Path, split: str, keys: tuple[str, str]):
        """`keys`: names of the image and the label feature."""
        import tensorflow_datasets as tfds

        self.folder, self.split, self.keys = folder, split, keys
        decoders = {keys[0]: tfds.decode.SkipDecoding()}
        try:
            self.records = tfds.builder_from_directory(folder).as_data_source(split, decoders=decoders)
        except Exception as error:  # TFDS raises many kinds for damaged files
            raise UserError(f"{folder} cannot be read ({type(error).__name__}: {error}); prepare it again") from None

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.records)

    def read(self, number: int) -> Photograph:
        """The photograph of this number."""
        record, (image, label) = self.records[number], self.keys
        name = record.get("file_name", b"").decode()
        where = f"{self.folder}, {self.split} record {number}{f' ({name})' if name else ''}"
        return Photograph(record[image], int(record[label]), where)


def held_out(folder: Path) -> str | None:
    """Which folder of `folder` holds the pictures to test on; None where there is none."""
    return next((name for name in HELD_OUT if any(path.is_dir() for path in (folder / name).glob("*"))), None)


def streams_folder(folder: Path) -> bool:
    """Whether a folder's pictures vary in size or are too large to hold in memory; looks at some of them."""
    from PIL import Image

    sizes = set()
    for path in _some(folder / "train"):
        try:
            with Image.open(path) as image:
                sizes.add(image.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue  # whoever reads it says so
    return len(sizes) > 1 or any(max(size) > IN_MEMORY for size in sizes)


def _some(train: Path) -> list[Path]:
    """Up to `LOOKED_AT` pictures, from as many classes."""
    found: list[Path] = []
    if train.is_dir():
        for entry in os.scandir(train):
            if entry.is_dir():
                found += [Path(file.path) for file in os.scandir(entry) if pictures.is_picture(file.name)][:2]
            if len(found) >= LOOKED_AT:
                break
    return found


def list_files(folder: Path) -> dict[str, list[Path]]:
    """Paths of all pictures, split/class/file below `folder`: those under "train" and "test", each sorted.

    Raises:
        UserError: a split has no pictures.
    """
    found = {}
    for split, name in (("train", "train"), ("test", held_out(folder) or "test")):
        found[split] = sorted(
            Path(name, entry.name, file.name)
            for entry in (os.scandir(folder / name) if (folder / name).is_dir() else ())
            if entry.is_dir() and not entry.name.startswith(".")
            for file in os.scandir(entry.path)
            if pictures.is_picture(file.name) and file.is_file()
        )
        if not found[split]:
            raise UserError(f"{folder} holds no {split} pictures; it must hold {LAYOUT}")
    return found


def files(folder: Path, relative: list[Path], classes: tuple[str, ...]) -> Files:
    """Some of a folder's pictures, in one fixed shuffle: by a hash of their paths.

    Raises:
        UserError: a picture's class is not among `classes`.
    """
    number = {name: place for place, name in enumerate(classes)}
    strange = sorted({path.parts[1] for path in relative} - set(classes))
    if strange:
        raise UserError(f"{folder}: class {strange[0]!r} is in {relative[0].parts[0]} but not in train")
    shuffled = sorted(relative, key=lambda path: (hashlib.sha256(path.as_posix().encode()).digest(), path))
    labels = np.array([number[path.parts[1]] for path in shuffled], np.int32)
    return Files([folder / path for path in shuffled], labels)


def streams_records(folder: Path) -> bool:
    """Whether the pictures of a prepared TFDS set vary in size or are too large to hold in memory."""
    dimensions = [int(size) for size in _image_feature(folder)[1][:2]]
    return any(size < 0 or size > IN_MEMORY for size in dimensions)


def records(folder: Path) -> tuple[tuple[str, ...], Records, Records]:
    """Class names, training and test photographs of a prepared TFDS set.

    Where there is a validation split, that is what everybody tests on: the labels of ImageNet's test split are secret.

    Raises:
        UserError: the set is in a format without random access, or lacks a split or labels.
    """
    about = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    if about.get("fileFormat") != RECORDS:
        raise UserError(
            f"{folder} is prepared as {about.get('fileFormat', 'tfrecord')}, which cannot be read at any place; "
            f'prepare it with file_format="{RECORDS}": data/README.md has the command'
        )
    splits = [split["name"] for split in about["splits"]]
    test = next((name for name in ("validation", "test") if name in splits), None)
    if "train" not in splits or test is None:
        raise UserError(f"{folder} has the splits {', '.join(splits)}; it must have train and validation or test")
    image, _ = _image_feature(folder)
    import tensorflow_datasets as tfds

    features = tfds.builder_from_directory(folder).info.features
    labels = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    if len(labels) != 1:
        raise UserError(f"{folder} has no class label; only image-classification sets can be used")
    keys = (image, labels[0])
    return tuple(features[keys[1]].names), Records(folder, "train", keys), Records(folder, test, keys)


def _image_feature(folder: Path) -> tuple[str, list[str]]:
    """Name and dimensions of a prepared set's image feature, from its description alone; ("", []) without one."""
    try:
        described = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        for name, feature in described["featuresDict"]["features"].items():
            if "image" in feature:
                return name, feature["image"]["shape"]["dimensions"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a set without pictures or with a damaged description: whoever reads it says so
    return "", []
