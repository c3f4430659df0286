"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file or none: to a temporary name beside it, flushed to the disk, then renamed.

    Raises:
        OSError: The disk is full, read-only or gone; `path` is as it was and no temporary file stays.
    """
    content = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(path.parent)


def flush(path: Path) -> None:
    """Bring a file that a library has written onto the disk, as a rename over another one needs it."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def read_text(path: Path, largest: int) -> str:
    """The text of a file that somebody else may have made.

    Raises:
        OSError: It is not there or cannot be read.
        ValueError: It is larger than `largest` bytes, or not UTF-8; of a larger one nothing is kept in memory.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size  # a plain read of `largest` bytes would claim as much memory
        content = file.read(min(size, largest) + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than the {largest:,} bytes that are allowed")
    return content.decode("utf-8")


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary as readable JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
