"""Decoded arrays on disk, so that a second start takes a second: `data/cache/<name>-<version>/`.

An entry is four plain `.npy` files and `set.json`, which holds the class names and a SHA-256 of each array.
It appears whole, by one rename, or not at all; one that fails its checks is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_keras import paths
from resnet_keras.data.dataset import Identity, Split
from resnet_keras.files import locked

log = logging.getLogger(__name__)

FORMAT = 1  # a new number when the layout of an entry changes
ABANDONED = 6 * 3600  # seconds after which another process's unfinished entry is taken for dead
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError)


class Arrays(NamedTuple):
    """A decoded set: class names, and the two splits."""

    classes: tuple[str, ...]
    train: Split
    test: Split


def load(identity: Identity, stamp: str = "") -> Arrays | None:
    """The cached set; None where there is none, it is damaged, or its `stamp` is another (both are logged).

    Args:
        identity: which set.
        stamp: anything more that must not have changed since `save`, such as the times of a folder's files.
    """
    folder = _folder(identity)
    if not folder.is_dir():
        return None
    try:
        about = _about(folder)
        if about["stamp"] != stamp:
            log.warning("%s has changed since it was cached; reading it again", identity.name)
            return None
        return Arrays(tuple(about["classes"]), *(_read_split(folder, about, split) for split in ("train", "test")))
    except _DAMAGE as error:
        log.warning("cache %s is damaged (%s); making it again", folder, error)
        return None


def save(identity: Identity, arrays: Arrays, stamp: str = "") -> None:
    """Write an entry in one piece. Without room or permission for it, go on without a cache and log that."""
    folder = _folder(identity)
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        _write(temporary, identity, arrays, stamp)
        _publish(temporary, folder, identity, stamp)
    except OSError as error:
        log.warning("cannot cache %s in %s (%s); going on without", identity.name, folder.parent, error)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def being_made(identity: Identity) -> Iterator[bool]:
    """Hold back other processes that want to make the same entry; where nothing can be written, none.

    Gives whether another process held back this one, and so may have made the entry.
    """
    folder = _folder(identity)
    lock = locked(folder.with_name(f".{folder.name}.lock"), f"the cache of {identity.name}", say=log.warning)
    waited = False
    with contextlib.ExitStack() as block:
        with contextlib.suppress(OSError):
            waited = block.enter_context(lock)
        yield waited


def entries() -> Iterator[Identity]:
    """Identities of all cached sets whose description can be read."""
    for path in sorted(_root().glob("*/set.json")):
        try:
            yield Identity(**_about(path.parent)["identity"])
        except _DAMAGE:
            continue


def _root() -> Path:
    return paths.data_dir() / "cache"


def _folder(identity: Identity) -> Path:
    return _root() / f"{identity.name}-{identity.version}"


def _about(folder: Path) -> dict:
    about = json.loads((folder / "set.json").read_text(encoding="utf-8"))
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, not {FORMAT}")
    return about


def _read_split(folder: Path, about: dict, split: str) -> Split:
    images, labels = (_read_array(folder, about, f"{split}_{kind}.npy") for kind in ("images", "labels"))
    return Split(images, labels)


def _read_array(folder: Path, about: dict, file: str) -> np.ndarray:
    array = np.load(folder / file, allow_pickle=False)
    if _digest(array) != about["sha256"][file]:
        raise ValueError(f"{file} fails its SHA-256")
    return array


def _digest(array: np.ndarray) -> str:
    """SHA-256 over kind, shape and bytes."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write(folder: Path, identity: Identity, arrays: Arrays, stamp: str) -> None:
    digests = {}
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            array = getattr(getattr(arrays, split), kind)
            digests[f"{split}_{kind}.npy"] = _digest(array)
            with open(folder / f"{split}_{kind}.npy", "wb") as file:
                np.save(file, array, allow_pickle=False)
                _flush(file)
    about = {"format": FORMAT, "identity": vars(identity), "stamp": stamp, "classes": list(arrays.classes)}
    with open(folder / "set.json", "w", encoding="utf-8") as file:
        json.dump(about | {"sha256": digests}, file, indent=1)
        _flush(file)
    folder.chmod(0o755)  # mkdtemp makes it private; a cache may be shared


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(temporary: Path, folder: Path, identity: Identity, stamp: str) -> None:
    """Move the finished entry to its place. Where another process was first with a good one, leave that."""
    try:
        os.rename(temporary, folder)
    except OSError:
        if not folder.is_dir():
            raise
        if load(identity, stamp) is None:
            aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            os.rename(folder, aside / "old")
            os.rename(temporary, folder)
            shutil.rmtree(aside, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what killed processes left unfinished."""
    for path in root.glob(".*-*"):
        if path.is_dir() and time.time() - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
