"""Where results and data lie unless the user says otherwise."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def results_dir(folder: str | os.PathLike | None = None) -> Path:
    """Folder of results: `folder`, $RESNET_KERAS_RESULTS, or `results` in the checkout (without one, here)."""
    return Path(folder or os.environ.get("RESNET_KERAS_RESULTS") or (checkout() or Path()) / "results").expanduser()


def data_dir(folder: str | os.PathLike | None = None) -> Path:
    """Folder of data: `folder`, $RESNET_KERAS_DATA, or `data` in the checkout (without one, here)."""
    return Path(folder or os.environ.get("RESNET_KERAS_DATA") or (checkout() or Path()) / "data").expanduser()


def checkout() -> Path | None:
    """Root of the source checkout this package is imported from; None for an installed copy."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None
