"""Sets from TFDS: prepared ones listed by their files alone, others downloaded where there is a network.

Only opening a set and downloading import TFDS, and TensorFlow where the records have no random access.
"""

import contextlib
import io
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from resnet_keras.data.images import IN_MEMORY
from resnet_keras.data.photos import Photograph
from resnet_keras.errors import UserError, first_line
from resnet_keras.quiet import load_keras

log = logging.getLogger(__name__)

VERSION = re.compile(r"\d+\.\d+\.\d+")
NAME = re.compile(r"\w{1,80}(/[\w.,=+-]{1,80})?")  # TFDS's name or name/config
CONNECT_SECONDS = 5  # TFDS itself would try a dead network for more than three minutes
RECORDS = "array_record"  # TFDS's file format that can be read at any place


def order_of(version: str) -> tuple[int, ...]:
    """Sort key of a TFDS version: 3.0.10 comes after 3.0.2."""
    return tuple(map(int, version.split(".")))


def prepared_folder(name: str, roots: list[Path]) -> Path | None:
    """Folder `root/name/version` of a prepared set, the newest version in the first root that has one."""
    for root in roots:
        folders = [path.parent for path in (root / name).glob("*/dataset_info.json")]
        if folders := [folder for folder in folders if VERSION.fullmatch(folder.name)]:
            return max(folders, key=lambda folder: order_of(folder.name))
    return None


def unprepared(name: str, root: Path):
    """The TFDS builder of a set that is not prepared yet, or None for a name that TFDS does not know."""
    tfds = _tfds(name)
    try:
        builder = tfds.builder(name, data_dir=root)
    except tfds.core.registered.DatasetNotFoundError:
        return None
    except ValueError as error:  # an unknown configuration or version
        raise UserError(f"TFDS has no {name!r}: {first_line(error)}") from None
    _describe(builder)
    return builder


class Opened(NamedTuple):
    """A set's TFDS builder, and what its description says."""

    builder: Any
    classes: tuple[str, ...]  # names in the order of their labels
    keys: tuple[str, str]  # names of the image and the label feature
    streamed: bool  # whether the images vary in size or are too large to be kept in memory
    splits: tuple[str, str]  # to train and to test on

    def photographs(self, split: str):
        """The images of a split, encoded: `Records` where they are streamed, else in a row, read by TensorFlow."""
        return Records(self, split) if self.streamed else self._in_a_row(split)

    def _in_a_row(self, split: str) -> Iterator[Photograph]:
        name = self.builder.info.full_name
        decode = (tfds := _tfds(name, tensorflow=True)).decode
        encoded = decode.PartialDecoding(dict.fromkeys(self.keys, True), {self.keys[0]: decode.SkipDecoding()})
        with _naming(name):
            rows = self.builder.as_dataset(split=split, shuffle_files=False, decoders=encoded)
            for number, row in enumerate(tfds.as_numpy(rows)):
                yield self.photograph(split, number, row)

    def photograph(self, split: str, number: int, row: dict) -> Photograph:
        """A record as TFDS reads it; raises a UserError where its label is secret."""
        file = row.get("file_name", b"").decode()
        where = f"{self.builder.info.full_name}, {split} record {number}{f' ({file})' if file else ''}"
        image, label = (row[key] for key in self.keys)
        if not 0 <= label < len(self.classes):
            raise UserError(f"{where} has the label {label}: a split whose labels are secret or wrong cannot be used")
        return Photograph(image, int(label), where)


class Records:
    """Photographs of a split, read at any place by TFDS' random access, without TensorFlow."""

    def __init__(self, opened: Opened, split: str):
        self.opened, self.split, name = opened, split, opened.builder.info.full_name
        decoders = {opened.keys[0]: _tfds(name).decode.SkipDecoding()}
        with _naming(name):
            self.records = opened.builder.as_data_source(split, decoders=decoders)
            self[0]  # damaged files are noticed now

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> Photograph:
        return self.opened.photograph(self.split, number, self.records[number])


def open_set(source: Path | Any) -> Opened:
    """Open a prepared set, by its folder; or download and prepare that of a builder; a UserError where it cannot be."""
    if isinstance(source, Path):
        with _naming(str(source)):
            return _describe(_tfds(str(source)).builder_from_directory(source))
    name = source.info.name
    try:
        hosts = {urlsplit(url).hostname for url in source.url_infos} - {None}
        for host in sorted(hosts) if not getproxies() else ():  # behind a proxy, TFDS finds out itself
            socket.create_connection((host, 443), CONNECT_SECONDS).close()
        log.warning("downloading %s with TFDS into %s", name, source.data_dir)
        with contextlib.redirect_stdout(io.StringIO()):
            source.download_and_prepare()
    except Exception as error:  # whatever a download can die of is one line to the reader
        why = f"is not prepared in {source.data_dir} and cannot be downloaded"
        why += f" ({type(error).__name__}: {first_line(error)})"
        how = f'where there is a network, tfds.load("{name}", data_dir=DIR) prepares it: copy DIR here and name it with'
        raise UserError(f"{name} {why}; {how} --data-dir, or use --data shapes16, which needs no download") from None
    return _describe(source)


def _describe(builder) -> Opened:
    """What a builder's description says; that of a set which is not prepared may not name its splits."""
    name, features, has = builder.info.full_name, dict(builder.info.features), builder.info.splits
    # The supervised keys decide, else the usual names, and else what the set has: a mask may be listed first.
    usual, keys = [*(builder.info.supervised_keys or ())[:2], "image", "label"], []
    for kind in ("Image", "ClassLabel"):
        fit = [key for key, feature in features.items() if type(feature).__name__ == kind]
        preferred = [key for key in usual if key in fit] or fit
        if not fit or (preferred is fit and len(fit) > 1):
            which = ", ".join(sorted(fit)) or "nothing"
            raise UserError(f"{name} has {which} of kind {kind}; only sets of labelled images can be used")
        keys.append(preferred[0])
    streamed = any(size is None or size > IN_MEMORY for size in features[keys[0]].shape[:2])
    if streamed and builder.info.file_format.value != RECORDS:
        how = f'with file_format="{RECORDS}", to be read one by one: data/README.md has the command'
        raise UserError(f"{name} is a set of photographs, which must have been prepared {how}")
    # The labels of ImageNet's test split are secret: where there is a validation split, everybody tests on that.
    order = ("validation", "test") if streamed else ("test", "validation")
    splits = ("train", next((split for split in order if split in has), order[0]))
    if has and not set(splits) <= set(has):
        raise UserError(f"{name} has the splits {', '.join(has)}; it must have train, and test or validation")
    return Opened(builder, tuple(features[keys[1]].names), tuple(keys), streamed, splits)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Raise what TFDS and TensorFlow raise for damaged files, of many kinds, as one line that names the set."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} cannot be read ({type(error).__name__}: {first_line(error)}); prepare it again"
        ) from None


def _tfds(name: str, tensorflow: bool = False):
    """TFDS, imported for the set `name`; TensorFlow is kept off an accelerator on which another backend trains."""
    try:
        load_keras()  # imports TensorFlow without its chatter, where it is the backend
        import keras
        import tensorflow_datasets as tfds

        if tensorflow and keras.config.backend() != "tensorflow":
            import tensorflow as tf

            with contextlib.suppress(RuntimeError):  # raised where TensorFlow already uses it
                tf.config.set_visible_devices([], "GPU")
    except ImportError as error:
        how = "pip install tensorflow tensorflow-datasets, or give a folder of images, or use --data shapes16"
        raise UserError(f"{name} is in no cache, and reading it needs TensorFlow Datasets ({error}); {how}") from None
    tfds.disable_progress_bar()
    logging.getLogger("absl").setLevel(logging.ERROR)
    return tfds
