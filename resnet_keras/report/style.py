"""How figures look: plain networks orange, residual ones blue, deeper ones darker, seeds thin; titles are findings."""

import functools
import io
import math
import textwrap

from resnet_keras.quiet import drawing
from resnet_keras.report import text

PLAIN, RESIDUAL, GREY, INK = "#D55E00", "#0072B2", "#8A8A8A", "#333333"
HUES = {"plain": PLAIN, "residual": RESIDUAL}
STYLE = {
    "axes.edgecolor": "#B0B0B0", "axes.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#ECECEC",
    "axes.titlelocation": "left", "axes.titlesize": 10.5, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "xtick.major.size": 0, "ytick.major.size": 0, "ytick.minor.size": 0,
    "text.color": INK, "legend.frameon": False, "legend.fontsize": 8.5,
}  # fmt: skip
GUESSING = 90.0  # percent of ten classes
DASHES, DOTS = (0, (3, 2)), (0, (1, 2))
# Shape -> inches across, and characters in a line of the title and of the small print.
SHAPES = {"wide": (9.0, 88, 155), "tall": (4.4, 44, 74)}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def styled(draw):
    """Draw in the project's style, whatever the reader's matplotlibrc says."""

    @functools.wraps(draw)
    def drawn(*arguments, **options):
        import seaborn

        with drawing(seaborn.axes_style("ticks"), STYLE):
            return draw(*arguments, **options)

    return drawn


def panels(contents: dict, shape: str, title: str, small: str = "", height: float = 3.0, **options):
    """A figure, and (axis, content) of each of its panels, by heading: beside each other where it is wide, else below.

    The title is what the figure shows; the small print under it data, length, precision and what marks stand for. The
    height is that of a panel in inches; options are those of `matplotlib.figure.Figure.subplots`.
    """
    from matplotlib.figure import Figure

    across, *widths = SHAPES[shape]
    rows, columns = (1, len(contents)) if shape == "wide" else (len(contents), 1)
    figure = Figure(figsize=(across, 0.75 + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    words = ["\n".join(textwrap.wrap(line, width)) for line, width in zip((title, small), widths, strict=True)]
    figure.suptitle(words[0], x=0.01, ha="left", fontsize=12 if shape == "wide" else 11, fontweight="bold")
    figure.supxlabel(words[1], x=0.01, ha="left", fontsize=8, color=GREY)
    for axis, heading in zip(axes, contents, strict=True):
        axis.set_title(heading)
    return figure, list(zip(axes, contents.values(), strict=True))


def shade(kind: str, depth: int) -> tuple[float, ...]:
    """The hue of a kind of network: 20 layers light, 56 as it is, 110 dark."""
    import matplotlib.colors

    place = max(-0.55, min(0.55, 0.5 * math.log(max(depth, 1) / 50)))
    target, share = (1.0, -place) if place < 0 else (0.0, place)
    return tuple(part + (target - part) * share for part in matplotlib.colors.to_rgb(HUES.get(kind, GREY)))


def setting(runs) -> str:
    """What numbers come from, such as CIFAR-10 (JPEG), 2,000 iterations, bfloat16."""
    lengths = text.listing([f"{n:,}" for n in sorted(runs["iterations"].unique())])
    data, precisions = (text.listing(sorted(runs[name].unique())) for name in ("data_title", "precision"))
    return f"{data}, {lengths} iterations, {precisions}"


def thousands(axis, places: list | None = None) -> None:
    """Iterations as 2k, 6.4k, 64k along the x axis, at these places where they are given."""
    if places:
        axis.set_xticks(places)
        axis.set_xticks([], minor=True)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")


def powers(axis) -> None:
    """A logarithmic y axis with numbers that are read at a glance: 0.01, 1, 100, 10⁷."""
    from matplotlib.ticker import LogLocator

    def short(value, _):
        power = round(math.log10(value))
        return f"{value:,g}" if -3 <= power <= 4 else f"10{str(power).translate(RAISED)}"

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(numticks=9))
    axis.yaxis.set_major_formatter(short)
    axis.set_yticks([], minor=True)


def note(axis, words: str, place: tuple, shift: tuple, hue, **options) -> None:
    """Words beside a place of the data, shifted by so many points."""
    options = {"xytext": shift, "textcoords": "offset points", "color": hue, "va": "center", "fontsize": 9, **options}
    axis.annotate(words, place, annotation_clip=False, **options)


def level(axis, value: float, words: str, hue=GREY, **options) -> None:
    """A horizontal line with its name at the right end."""
    axis.axhline(value, color=hue, **{"linewidth": 0.9, "zorder": 0, **options})
    axis.text(1.01, value, words, transform=axis.get_yaxis_transform(), va="center", color=hue, fontsize=8)


def apart(values: list[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending values moved until they are `gap` apart, as little as it takes, from `low` on."""
    moved = [min(max(value, low), high) for value in values]
    for _ in range(200):
        for i in range(len(moved) - 1):
            lacking = gap - (moved[i + 1] - moved[i])
            if lacking > 1e-9:
                moved[i], moved[i + 1] = moved[i] - lacking / 2, moved[i + 1] + lacking / 2
        moved = [max(moved[0], low), *moved[1:]] if moved else []
    return moved


def label_ends(axis, ends: list[tuple[float, str, tuple]], x: float) -> None:
    """Names at the right ends of lines, moved apart where they would touch: (value, name, hue) each."""
    low, high = axis.get_ylim()
    ends = sorted(ends, key=lambda end: end[0])
    places = apart([value for value, *_ in ends], 0.062 * (high - low), low, high)
    for place, (_, name, hue) in zip(places, ends, strict=True):
        note(axis, name, (x, place), (5, 0), hue, fontweight="bold")


@styled
def png(figure, dpi: int = 160) -> bytes:
    """The figure as PNG in 128 colours, 1,440 pixels wide where it is wide; the same bytes every time."""
    from PIL import Image

    file, small = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
