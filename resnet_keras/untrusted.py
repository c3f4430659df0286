"""Looks at files of weights before a library opens them: those that would fill the memory or read others are refused.

Nothing here runs code of a file: zip directories and HDF5 headers are read, and no more.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

FREE = 64 * 2**20  # bytes that any file may expand to
RATIO = 20  # beyond that: times its size; weights hardly compress
DEEPEST = 64  # groups within groups


def refuse_bombs(path: Path) -> None:
    """Refuse a ``.keras`` or ``.h5`` file that expands out of all proportion, or reads from other files.

    Raises:
        ValueError: It does; one line says how.
        OSError: It cannot be read, or is no such file.
    """
    allowed = FREE + RATIO * path.stat().st_size
    if path.suffix == ".h5":
        _check_hdf5(path, allowed)
        return
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > allowed:
            raise ValueError("it expands to far more than a file of weights does")
        for member in archive.infolist():
            if member.filename.endswith(".h5"):
                _check_hdf5(io.BytesIO(archive.read(member)), allowed)


def _check_hdf5(source, allowed: int) -> None:
    import h5py

    left = allowed
    with h5py.File(source, "r") as file:
        waiting = [(file, 0)]
        while waiting:
            group, depth = waiting.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink) or depth > DEEPEST:
                    raise ValueError("it holds links, which files of weights do not")
                item = group[name]
                if isinstance(item, h5py.Group):
                    waiting.append((item, depth + 1))
                    continue
                left -= _size(item)
                if left < 0:
                    raise ValueError("its arrays are far larger than the file")


def _size(dataset) -> int:
    """Bytes of an array in memory; of one that lies elsewhere, none are allowed."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its arrays lie in other files")
    return dataset.nbytes
