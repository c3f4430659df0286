"""Sets from TFDS: prepared ones found by their files alone, others downloaded where there is a network.

Only reading the records and downloading need TFDS and TensorFlow; both are imported then, and not before.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from resnet_keras.data.cache import Arrays
from resnet_keras.data.pictures import SPLITS, Picture, gather
from resnet_keras.errors import UserError
from resnet_keras.quiet import load_keras

log = logging.getLogger(__name__)

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_NAME = re.compile(r"\w+(/.+)?")  # TFDS's name or name/config
CONNECT_SECONDS = 5  # TFDS itself would try a dead network for more than three minutes


def find(name: str, roots: list[Path]) -> Path | None:
    """Folder `root/name/version` of a prepared set, the newest version in the first root that has one."""
    for root in roots:
        versions = [path.parent for path in (root / name).glob("*/dataset_info.json")]
        versions = [path for path in versions if is_version(path.name)]
        if versions:
            return max(versions, key=lambda path: version_order(path.name))
    return None


def is_version(text: str) -> bool:
    """Whether `text` has the form of a TFDS version, `3.0.2`."""
    return _VERSION.fullmatch(text) is not None


def version_order(text: str) -> tuple[int, ...]:
    """Sort key of a TFDS version: 3.0.10 comes after 3.0.2."""
    return tuple(int(part) for part in text.split("."))


def names(roots: list[Path]) -> list[str]:
    """Names of all sets prepared under `roots`."""
    found = {path.parent.parent for root in roots for path in root.glob("*/*/dataset_info.json")}
    return sorted({path.name for path in found})


def version(folder: Path) -> str:
    """The dataset's version as its own description gives it.

    Raises:
        UserError: the description cannot be read.
    """
    try:
        return str(json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'dataset_info.json'} cannot be read ({error}); prepare the set again") from None


def known() -> list[str]:
    """Names that the installed TFDS can download; none where TFDS is not installed."""
    try:
        return _tfds("TFDS").list_builders(with_community_datasets=False)
    except UserError:
        return []


def builder(name: str, root: Path):
    """The TFDS builder of a set that is not prepared yet, or None for a name that TFDS does not know.

    Raises:
        UserError: TFDS is not installed, or the set cannot be held in memory.
    """
    if not _NAME.fullmatch(name):
        return None
    tfds = _tfds(name)
    try:
        with _quiet():
            found = tfds.builder(name, data_dir=root)
    except ValueError as error:  # an unknown name, configuration or version
        if isinstance(error, tfds.core.registered.DatasetNotFoundError):
            return None
        raise UserError(f"TFDS has no {name!r}: {_first_line(error)}") from None
    _keys(found, name)
    return found


def download(found) -> None:
    """Download and prepare a set.

    Raises:
        UserError: there is no network, or the download fails.
    """
    name = found.info.name
    try:
        _try_network(found)
        log.warning("downloading %s with TFDS into %s", name, found.data_dir)
        with _quiet():
            found.download_and_prepare()
    except Exception as error:  # whatever a download can die of is one line to the reader
        raise UserError(
            f"{name} is not prepared in {found.data_dir} and cannot be downloaded ({type(error).__name__}: "
            f'{_first_line(error)}); where there is a network, tfds.load("{name}", data_dir=DIR) prepares '
            "it: copy DIR here and name it with --data-dir, or use --data shapes32, which needs no download"
        ) from None


def download_and_read(found) -> Arrays:
    """Download, prepare and decode the set of a builder; raises as `download` and `read` do."""
    download(found)
    return read(found)


def read(found: Path | object) -> Arrays:
    """Decode a prepared set, given as its folder or its builder.

    Raises:
        UserError: it is no set of labelled pictures of one size with the splits train and test, or its files
            are damaged.
    """
    where = str(found)
    tfds = _tfds(where)
    try:
        with _quiet():
            if isinstance(found, Path):
                found = tfds.builder_from_directory(found)
            where = found.info.full_name
            classes = tuple(found.info.features[_keys(found, where)[1]].names)
            return gather(_records(found, where), classes, where)
    except UserError:
        raise
    except Exception as error:  # TFDS and TensorFlow raise many kinds for damaged files
        raise UserError(
            f"{where} cannot be read ({type(error).__name__}: {_first_line(error)}); prepare it again"
        ) from None


def _records(found, where: str) -> Iterator[Picture]:
    """The encoded pictures, not decoded by TensorFlow."""
    tfds = _tfds(where)
    image, label = _keys(found, where)
    wanted = tfds.decode.PartialDecoding({image: True, label: True}, decoders={image: tfds.decode.SkipDecoding()})
    to_name = found.info.features[label].int2str
    for split in SPLITS:
        records = found.as_dataset(split=split, shuffle_files=False, decoders=wanted)
        for i, record in enumerate(tfds.as_numpy(records)):
            yield Picture(split, to_name(int(record[label])), f"{where}, {split} record {i}", record[image])


def _keys(found, where: str) -> tuple[str, str]:
    """Names of the image and the label feature."""
    features, splits = found.info.features, found.info.splits
    keys = found.info.supervised_keys or ("image", "label")
    kinds = [type(features[key]).__name__ if key in features else None for key in keys[:2]]
    if kinds != ["Image", "ClassLabel"]:
        raise UserError(f"{where} has no labelled pictures; only image-classification sets can be used")
    missing = [split for split in SPLITS if splits and split not in splits]
    if missing:
        raise UserError(f"{where} has the splits {', '.join(splits)}; it must have {' and '.join(SPLITS)}")
    if not splits and None in features[keys[0]].shape[:2]:
        raise UserError(
            f"{where} is a set of photographs, which are read one by one and must have been prepared for that with "
            'file_format="array_record": data/README.md has the command'
        )
    return keys[0], keys[1]


def _tfds(where: str):
    """TFDS, imported quietly and kept off the accelerator; `where` names the set that needs it."""
    try:
        load_keras()  # imports TensorFlow without its chatter, where it is the backend
        import tensorflow  # noqa: F401  (TFDS imports without it, and fails later)
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"{where} is in no cache, and reading it needs TensorFlow Datasets ({error}); pip install "
            "tensorflow tensorflow-datasets, or give a folder or tar archive of pictures, or use --data "
            "shapes32"
        ) from None
    tfds.disable_progress_bar()
    _leave_accelerator()
    return tfds


def _leave_accelerator() -> None:
    """Keep TensorFlow off an accelerator on which another backend is to train: it would take the memory."""
    import keras
    import tensorflow as tf

    if keras.config.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # raised where TensorFlow already uses it
            tf.config.set_visible_devices([], "GPU")


def _try_network(found) -> None:
    """Raise ConnectionError soon where a host of the set cannot be reached; behind a proxy, leave it to TFDS."""
    hosts = {urlsplit(url).hostname for url in found.url_infos} - {None}
    if not hosts or getproxies():
        return
    for host in sorted(hosts):
        try:
            socket.create_connection((host, 443), CONNECT_SECONDS).close()
        except OSError as error:
            raise ConnectionError(f"no connection to {host}: {error}") from None


@contextlib.contextmanager
def _quiet():
    """Drop what TFDS prints."""
    level = logging.getLogger("absl").level
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.getLogger("absl").setLevel(level)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0].strip()
