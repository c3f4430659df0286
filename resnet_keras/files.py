"""Where results and data lie; files that appear complete or not at all; a lock for who works on them."""

import contextlib
import json
import os
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_keras.errors import UserError

PACKAGE = Path(__file__).resolve().parent


class Held(UserError):
    """Another process is at work on this, and the caller would not wait."""


def results_dir(folder: str | os.PathLike | None = None, name: str = "results") -> Path:
    """Folder of results: `folder`, $RESNET_KERAS_RESULTS, or `results` in the checkout (without one, here)."""
    return Path(folder or os.environ.get(f"RESNET_KERAS_{name.upper()}") or (checkout() or Path()) / name).expanduser()


def data_dir(folder: str | os.PathLike | None = None) -> Path:
    """Folder of data: `folder`, $RESNET_KERAS_DATA, or `data` in the checkout (without one, here)."""
    return results_dir(folder, "data")


def checkout() -> Path | None:
    """Root of the source checkout this package is imported from; None for an installed copy."""
    return PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else None


@contextlib.contextmanager
def replacing(path: Path):
    """Yield a path to write to, which takes the place of `path` at the end of the block and is flushed to the disk.

    On any error, such as that of a full disk, `path` is as it was and no temporary file stays.
    """
    # Hidden, and with the ending of `path`, by which Keras and NumPy know a format.
    part = path.with_name(f".{path.stem}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file; a reader sees the old one or the new one."""
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary as readable JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def locked(path: Path, what: str, *, wait: bool = True, say=print):
    """Hold a lock file in the block, so that one process at a time is at work on `what`; `say` hears if it waits.

    The system frees it when its owner dies; where a file system has no locks, the file's existence is one. Raises Held
    if another process has it and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise Held(f"another process is at work on {what}: wait for it, or stop it first.") from None
        say(f"Another process is at work on {what}: waiting for it.")
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: who opened it meanwhile finds that it has no name, and tries again
        lock.release()
