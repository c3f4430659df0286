"""Where results and data lie unless told otherwise."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def results_dir(given: str | os.PathLike | None = None) -> Path:
    """Folder of results: `given`, $RESNET_KERAS_RESULTS, or `results` in the checkout (without one, here)."""
    return _folder(given, "RESNET_KERAS_RESULTS", "results")


def data_dir(given: str | os.PathLike | None = None) -> Path:
    """Folder of data: `given`, $RESNET_KERAS_DATA, or `data` in the checkout (without one, here)."""
    return _folder(given, "RESNET_KERAS_DATA", "data")


def checkout() -> Path | None:
    """Root of the source checkout this package is imported from; None for an installed copy."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None


def _folder(given: str | os.PathLike | None, variable: str, name: str) -> Path:
    chosen = given or os.environ.get(variable)
    if chosen:
        return Path(chosen).expanduser()
    return (checkout() or Path()) / name
