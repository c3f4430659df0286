"""Atomic checkpoints: all variables and the history so far, in safetensors (which runs no code when it is read)."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from resnet_keras.errors import first_line
from resnet_keras.files import write_atomically

KEPT = 2  # the newest, and one to fall back to where that one is damaged


def save_checkpoint(folder: Path, iteration: int, tensors: dict[str, np.ndarray], state: dict) -> None:
    """Write `checkpoint-<iteration>.safetensors` with arrays and JSON's values; drop all but the newest two."""
    text = json.dumps(state)
    metadata = {"state": text, "sha256": _digest(tensors, text)}
    write_atomically(folder / f"checkpoint-{iteration:08d}.safetensors", save(tensors, metadata))
    for path in checkpoints(folder)[:-KEPT]:
        path.unlink()


def load_checkpoint(folder: Path, warn=print) -> tuple[dict[str, np.ndarray], dict] | None:
    """The newest whole checkpoint as (tensors, state), or None; `warn` gets a line for each that is damaged."""
    for path in reversed(checkpoints(folder)):
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            warn(f"{path.name} is damaged ({first_line(error)}): going back to the checkpoint before it.")
    return None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoint files of a run, oldest first."""
    return sorted(folder.glob(f"checkpoint-{'[0-9]' * 8}.safetensors"))


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    with safe_open(path, "numpy") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dictionary)
    if metadata.get("sha256") != _digest(tensors, metadata.get("state", "")):
        raise ValueError("its checksum does not match")
    return tensors, json.loads(metadata["state"])


def _digest(tensors: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
