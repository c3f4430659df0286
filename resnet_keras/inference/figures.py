"""Drawings of what a trained network does: predictions, confusions, first-layer filters, maps inside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from resnet_keras.errors import UserError
from resnet_keras.files import write_atomically
from resnet_keras.inference.predict import Prediction

INK, FAINT, BAR = "#333333", "#B0B0B0", "#0072B2"
STYLE = {"font.family": ["DejaVu Sans", "sans-serif"], "font.size": 9, "text.color": INK, "axes.edgecolor": FAINT}
COLUMNS = 5
MOST = 200  # pictures on a sheet: more would be no sheet but a wall
DPI = 120


def sheet(predictions: list[Prediction]):
    """A contact sheet: each picture as the network saw it, its file's name, and its most probable classes as bars.

    Raises:
        UserError: There are no pictures to draw, or more than `MOST`.
    """
    if not 0 < len(predictions) <= MOST:
        raise UserError(f"a contact sheet of {len(predictions)} pictures: it takes 1 to {MOST}.")
    columns = min(COLUMNS, len(predictions))
    rows, ranks = -(-len(predictions) // columns), max(len(each.top) for each in predictions)
    picture, bars = 1.6, 0.2 * ranks + 0.05  # inches
    with _style():
        figure = _figure(2.0 * columns, rows * (picture + bars + 0.5))
        cells = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[picture, bars] * rows)
        for axis in cells.flat:
            axis.set_axis_off()
        for number, prediction in enumerate(predictions):
            row, column = divmod(number, columns)
            above, below = cells[2 * row, column], cells[2 * row + 1, column]
            above.imshow(prediction.view, interpolation="nearest")
            above.set_title(_short(Path(prediction.picture).name, 24), fontsize=8, color=INK, pad=4)
            _bars(below, prediction, ranks)
        return figure


def _bars(axis, prediction: Prediction, ranks: int) -> None:
    for rank, (_, name, share) in enumerate(prediction.top):
        axis.barh(rank, share, height=0.86, color=BAR, alpha=0.35 if rank else 0.6)
        axis.text(0.02, rank, f"{_short(name, 18)}", fontsize=8, va="center", weight="normal" if rank else "bold")
        axis.text(1.24, rank, f"{100 * share:.0f} %", fontsize=8, va="center", ha="right")
    axis.set_xlim(0, 1.24)  # the numbers stand behind the longest bar
    axis.set_ylim(ranks - 0.5, -0.5)


def confusion(counts: np.ndarray, classes: tuple[str, ...]):
    """A confusion matrix: what the pictures of each class (rows) were taken for (columns), in percent of the row.

    Args:
        counts: Whole numbers [classes, classes], true class first.
        classes: Their names.
    """
    shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _style():
        figure = _figure(6.4, 5.6)
        axis = figure.subplots()
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for (row, column), share in np.ndenumerate(shares):
            if share > 0.5:
                colour = "white" if share > 55 else INK
                axis.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color=colour)
        places = range(len(classes))
        axis.set_xticks(places, classes, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(places, classes)
        axis.tick_params(length=0, labelcolor=INK)
        axis.set_xlabel("taken for", color=INK)
        axis.set_ylabel("is", color=INK)
        for side in axis.spines.values():
            side.set_visible(False)
        return figure


def filters(kernel: np.ndarray, columns: int = 8):
    """First-layer filters as colours, each stretched to its own range: grey is no weight.

    Args:
        kernel: [h, w, 3, filters].
        columns: Filters side by side.
    """
    count = kernel.shape[-1]
    rows = -(-count // columns)
    with _style():
        figure = _figure(0.85 * columns, 0.85 * rows)
        axes = figure.subplots(rows, columns, squeeze=False)
        for number, axis in enumerate(axes.flat):
            axis.set_axis_off()
            if number < count:
                weights = kernel[..., number]
                axis.imshow(0.5 + 0.5 * weights / max(np.abs(weights).max(), 1e-12), interpolation="nearest")
        return figure


def maps(picture: np.ndarray, stages: dict[str, np.ndarray], channels: int = 8):
    """A picture, and below it the maps of each stage, those channels that vary most, the strongest first.

    Args:
        picture: uint8 [h, w, 3].
        stages: Stage -> maps [h, w, channels].
        channels: Maps a stage.
    """
    with _style():
        figure = _figure(0.95 * (channels + 1), 1.0 * len(stages))
        axes = figure.subplots(len(stages), channels + 1, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        axes[0, 0].imshow(picture, interpolation="nearest")
        axes[0, 0].set_title("picture", fontsize=8, color=INK, pad=3)
        for row, (stage, found) in enumerate(stages.items()):
            found = np.asarray(found, np.float32)
            strongest = np.argsort(-found.std(axis=(0, 1)), kind="stable")[:channels]
            for column, channel in enumerate(strongest, start=1):
                axes[row, column].imshow(found[..., channel], cmap="magma", interpolation="nearest")
            size = f"{stage}, {found.shape[0]}x{found.shape[1]}"
            axes[row, 1].set_title(size, fontsize=8, color=INK, pad=3, loc="left")
        return figure


def png(figure) -> bytes:
    """The figure's PNG, the same bytes every time."""
    file = io.BytesIO()
    with _style():
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def save(figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all."""
    write_atomically(Path(path), png(figure))


def _figure(width: float, height: float):
    import matplotlib.figure

    return matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def _style():
    import matplotlib.style

    return matplotlib.style.context(["default", STYLE])


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
