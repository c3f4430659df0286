"""Figures: each a function of numbers from CSV files, the same bytes every time, as PNG and SVG."""

from __future__ import annotations

import io
import math
import re

from resnet_keras.report.curves import Curve, mean_over_seeds
from resnet_keras.report.profiles import Line, Profile

# Okabe and Ito's colours, told apart with every kind of colour vision.
HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, FAINT = "#333333", "#B0B0B0"
TRAINING, TEST, DROP = (0, (3.2, 1.6)), "solid", (0, (1, 2))
ERRORS = (("train_error", "training error", TRAINING, 1.3), ("test_error", "test error", TEST, 1.9))
THIN = 30  # seeds at most that have a thin line: more cannot be told apart, and take seconds and megabytes
STYLE = {
    # The first comes with matplotlib: the same letters everywhere but in `embedded`, where a reader may lack it.
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",  # the vertical lines are the drops of the learning rate
    "grid.color": "#ECECEC",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "resnet-keras",
    "svg.fonttype": "path",
}
# Shape -> panels beside each other, width, height of a panel, and room around and between panels, in inches.
SHAPES = {
    "wide": {
        "columns": 2,
        "width": 9.0,
        "panel": 2.95,
        "left": 0.56,
        "right": 1.42,
        "between": 1.42,
        "top": 0.82,
    },
    "tall": {
        "columns": 1,
        "width": 4.6,
        "panel": 2.75,
        "left": 0.60,
        "right": 1.42,
        "between": 0.0,
        "top": 1.1,
    },
}
BARE = {"left": 0.66, "right": 0.15, "between": 0.35}  # where no labels stand at the ends of lines
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NUMBER = re.compile(rb"-?\d+\.\d+")
BOTTOM, HEADING = 0.52, 0.5  # inches under the last panel, and between panels


def learning_curves(lines: list[Curve], panels: tuple[str, ...], title: str, shape: str = "wide"):
    """Training (dashed) and test error (solid) over iterations, all panels on one scale, as in Fig. 6.

    Every seed is a thin line and their mean a bold one; a single seed is the bold line. Training errors are
    means over a log interval and stand at its end.

    Args:
        lines: What to draw; a panel without any says so.
        panels: Headings of the panels, in order.
        title: What the numbers come from.
        shape: "wide", for pages and notebooks, or "tall", for phones.

    Returns:
        A matplotlib `Figure`.
    """
    with _style():
        figure, axes = _panels(len(panels), SHAPES[shape], "iteration", "error (%)")
        drawn = [[line for line in lines if line.panel == heading] for heading in panels]
        ends = [_panel(axis, *content) for axis, *content in zip(axes, drawn, panels, strict=True)]
        _scale(axes, lines, [error for panel in ends for error, *_ in panel])
        for axis, panel in zip(axes, ends, strict=True):
            _end_labels(axis, panel)
        several = any(len(line.seeds) > 1 for line in lines)
        _title(figure, title, SHAPES[shape], _legend_of_curves(several))
    return figure


def profiles(panels: list[list[Line]], profile: Profile, title: str, shape: str = "wide"):
    """A measurement along the depth of each network: plain networks dashed, residual ones solid, as in Fig. 7.

    Args:
        panels: For each panel of the profile, its lines.
        profile: Headings and axes.
        title: What the numbers come from.
        shape: "wide" or "tall".

    Returns:
        A matplotlib `Figure`.
    """
    from matplotlib.lines import Line2D

    with _style():
        room = {**SHAPES[shape], **BARE}
        figure, axes = _panels(len(panels), room, profile.along, profile.measured)
        for axis, heading, lines in zip(axes, profile.panels, panels, strict=True):
            axis.set_title(heading, loc="left", fontsize=10.5)
            for line in lines:
                _line(axis, [seed for seed in line.seeds if len(seed)], HUES[line.hue % len(HUES)], line.dashes, 1.5)
        _measure(axes[0], profile.logarithmic)
        handles = [
            Line2D([], [], color=HUES[line.hue % len(HUES)], linestyle=line.dashes, linewidth=1.5, label=line.label)
            for line in panels[0]
        ]
        _title(figure, title, room, handles)
    return figure


def _measure(axis, logarithmic: bool) -> None:
    """The axes of a measurement: from 0, or on a logarithmic scale with numbers that are read at a glance."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_xlim(left=0)
    if not logarithmic:
        axis.set_ylim(bottom=0)
        return
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.yaxis.set_minor_locator(NullLocator())


def _short(value: float) -> str:
    """A tick of a logarithmic scale: far from 1 a power of ten, which has room beside the axis."""
    power = round(math.log10(value))
    if 0.001 <= value < 10_000 or not math.isclose(value, 10.0**power):
        return f"{value:g}"
    return f"10{str(power).translate(RAISED)}"


def _panels(count: int, shape: dict, along: str, measured: str):
    """A figure with this many equal panels, row by row, and its axes."""
    import matplotlib.figure
    import seaborn

    columns = min(count, shape["columns"])
    rows = -(-count // columns)
    height = shape["top"] + rows * shape["panel"] + (rows - 1) * HEADING + BOTTOM
    figure = matplotlib.figure.Figure(figsize=(shape["width"], height))
    width = (shape["width"] - shape["left"] - shape["right"] - (columns - 1) * shape["between"]) / columns
    axes = []
    for place in range(count):
        row, column = divmod(place, columns)
        left = shape["left"] + column * (width + shape["between"])
        bottom = height - shape["top"] - row * (shape["panel"] + HEADING) - shape["panel"]
        box = (left / shape["width"], bottom / height, width / shape["width"], shape["panel"] / height)
        axis = figure.add_axes(box, **({"sharex": axes[0], "sharey": axes[0]} if axes else {}))
        axis.set_ylabel(measured if column == 0 else "")
        lowest = place + columns >= count
        axis.set_xlabel(along if lowest else "")
        # In the second column the labels of the first one's lines stand where the numbers would.
        axis.tick_params(length=0, labelleft=column == 0, labelbottom=lowest)
        axes.append(axis)
    seaborn.despine(fig=figure)
    return figure, axes


def _panel(axis, lines: list[Curve], heading: str) -> list[tuple[float, str, str]]:
    """Draw one panel; return (last test error, label, hue) of each line in it."""
    axis.set_title(heading, loc="left", fontsize=10.5)
    if not lines:
        axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", va="center", color=FAINT, fontsize=14)
    for drop in sorted({drop for line in lines for drop in line.drops}):
        axis.axvline(drop, color=FAINT, linewidth=0.8, linestyle=DROP, zorder=0)
    ends = []
    for line in lines:
        hue = HUES[line.hue % len(HUES)]
        for column, _, dashes, width in ERRORS:
            end = _line(axis, [seed[column] for seed in line.seeds if len(seed[column])], hue, dashes, width)
            if column == "test_error" and end is not None:
                ends.append((end, line.label, hue))
    return ends


def _line(axis, seeds: list, hue: str, dashes, width: float) -> float | None:
    """Draw one kind of error of one row; return where the bold line ends."""
    from matplotlib.collections import LineCollection

    if not seeds:
        return None
    if len(seeds) > 1:
        shown = seeds[:THIN]
        opacity = max(0.03, min(0.45, 2 / len(shown)))
        thin = LineCollection(shown, colors=hue, linewidths=0.7, alpha=opacity, linestyles=[dashes])
        axis.add_collection(thin)
    bold = mean_over_seeds(seeds)
    axis.plot(bold[:, 0], bold[:, 1], color=hue, linestyle=dashes, linewidth=width, solid_capstyle="round")
    return float(bold[-1, 1])


def _scale(axes, lines: list[Curve], ends: list[float]) -> None:
    """One scale for all panels, that of the errors at the end: the first iterations run out of the frame."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    top = min(100.0, 5 * max(2, -(-2.4 * max(ends, default=40.0) // 5)))
    last = max((s["train_error"][-1, 0] for line in lines for s in line.seeds if len(s["train_error"])), default=1)
    axes[0].set_ylim(0, top)
    axes[0].set_xlim(0, last)
    axes[0].xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 4, 5, 8, 10]))
    axes[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))
    axes[0].yaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))


def _thousands(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:,.0f}"


def _end_labels(axis, ends: list[tuple[float, str, str]]) -> None:
    """Name and last test error of each line at its right end, moved apart where they would touch."""
    low, high = axis.get_ylim()
    inches = axis.get_position().height * axis.figure.get_figheight()
    ends = sorted(ends)
    places = apart([error for error, *_ in ends], 0.18 * (high - low) / inches, low, high)
    for (error, label, hue), place in zip(ends, places, strict=True):
        axis.annotate(
            f"{label}  {error:.1f}",
            xy=(1, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=hue,
            fontsize=9 if len(label) < 12 else 7.5,
            fontweight="bold",
        )


def apart(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending places moved until they are `gap` apart, as little as it takes, from `low` to `high`."""
    moved = [min(max(place, low), high) for place in places]
    for _ in range(200):
        for i in range(len(moved) - 1):
            lacking = gap - (moved[i + 1] - moved[i])
            if lacking > 1e-9:
                moved[i] -= lacking / 2
                moved[i + 1] += lacking / 2
        if moved and moved[0] < low:
            moved[0] = low
    return moved


def _legend_of_curves(several: bool) -> list:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=INK, linestyle=dashes, linewidth=1.5, label=name) for _, name, dashes, _ in ERRORS]
    if several:
        handles.append(Line2D([], [], color=INK, linewidth=0.7, alpha=0.5, label="one seed"))
    handles.append(Line2D([], [], color=FAINT, linestyle=DROP, linewidth=0.8, label="learning rate ÷ 10"))
    number = {"marker": r"$\mathbf{9.9}$", "markersize": 17, "markerfacecolor": INK, "markeredgewidth": 0}
    handles.append(Line2D([], [], linestyle="none", **number, label="last test error"))
    return handles


def _title(figure, title: str, shape: dict, handles: list) -> None:
    height, wide = figure.get_figheight(), shape["columns"] > 1
    left = shape["left"] / shape["width"]
    figure.text(left, 1 - 0.06 / height, title, ha="left", va="top", fontsize=11, fontweight="bold")
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left - 0.07 / shape["width"], 1 - 0.23 / height),
        ncols=(len(handles) if len(handles) < 6 else 4) if wide else 2,
        frameon=False,
        fontsize=9 if wide else 8,
        handlelength=2.0,
        columnspacing=1.4,
        labelspacing=0.25,
        borderpad=0.2,
    )


def _style():
    """Seaborn's ticks with the project's own touches, whatever the reader's matplotlibrc says."""
    import matplotlib.style
    import seaborn

    return matplotlib.style.context(["default", seaborn.axes_style("ticks"), STYLE])


def png(figure) -> bytes:
    """The figure as PNG, 1,800 pixels wide where it is wide: sharp at 900."""
    return _saved(figure, format="png", dpi=200, metadata={"Software": None})


def svg(figure) -> bytes:
    """The figure as SVG, without a date and with letters as shapes."""
    return _saved(figure, format="svg", dpi=120, metadata={"Date": None, "Creator": None})


def embedded(figure) -> bytes:
    """The figure as SVG for within a page, a third of `svg`'s size: text as text, places to a tenth of a point."""
    style = {"svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}  # every text names its fonts
    drawn = _saved(figure, style, format="svg", dpi=120, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    # Nothing refers to the names of groups, nor needs blanks at either end of a line.
    drawn = re.sub(rb'(?<=<g) id="[^"]*"|^ +| +$', b"", drawn, flags=re.MULTILINE)
    return re.sub(rb' d="[^"]*"', lambda path: NUMBER.sub(_tenths, path[0]), drawn)


def _tenths(number: re.Match) -> bytes:
    return b"%g" % round(float(number[0]), 1)


def _saved(figure, style: dict | None = None, **options) -> bytes:
    import matplotlib

    file = io.BytesIO()
    with _style(), matplotlib.rc_context(style):
        figure.savefig(file, **options)
    return file.getvalue()
