"""How results look: numbers, names and titles in words, and figures, whose titles are findings.

Run folders are copied between people, so names are made safe where they are shown.
"""

import contextlib
import decimal
import io
import math
import re
import textwrap
import unicodedata

from resnet_keras.quiet import drawing

GREY, INK, HUES = "#8A8A8A", "#333333", {"plain": "#D55E00", "residual": "#0072B2"}
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
SPECIAL = re.compile(r"([\\`*{}\[\]<>#|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
PRINTED = {"plain": "plain", "resnet": "ResNet", "vgg": "VGG"}
# What of a recipe differs from its scale's, in words that are read with ease; other fields go by their own names.
RECIPES = {
    "batch_norm=False": "without BN", "learning_rate=": "rate ", "decay_on=": "decay on ", "bn_batch=": "BN over ",
    "precision=": "",
}  # fmt: skip


def plain(value) -> str:
    """`value` as one line without control, formatting or other invisible characters, safe in a terminal."""
    return " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in str(value)).split())


def markdown(value) -> str:
    """`value` as one line of Markdown that means nothing but itself."""
    return SPECIAL.sub(r"\\\1", plain(value))


def network_title(network: str) -> str:
    """As the paper writes it: resnet56 -> ResNet-56."""
    match = re.fullmatch(r"([a-z]+)(\d+)", network)
    return f"{PRINTED[match[1]]}-{match[2]}" if match and match[1] in PRINTED else plain(network)


def title(network: str, shortcut: str = "A", recipe: str = "") -> str:
    """A network's name in a table: plain-56, ResNet-56 B, or plain-56 without BN."""
    for field, words in RECIPES.items():
        recipe = recipe.replace(field, words)
    option = "" if shortcut in ("A", "none") else shortcut
    return " ".join(filter(None, [network_title(network), option, plain(recipe)]))


def number(value, digits: int = 2, sign: str = "") -> str:
    """A number with this many decimals, halves rounded up, and thousands set off; an empty string for None and NaN."""
    if value is None or math.isnan(value):
        return ""
    # Ten digits first: a mean of stored decimals may miss its half by the last bit of a float.
    places = decimal.Decimal(1).scaleb(-digits)
    return f"{decimal.Decimal(f'{value:.10f}').quantize(places, decimal.ROUND_HALF_UP):{sign},}"


def spread(mean, std, digits: int = 2) -> str:
    """`mean ± std`, or the mean alone."""
    return number(mean, digits) + (f" ± {number(std, digits)}" if number(std, digits) else "")


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent: 478, 2.41, 0.135."""
    size = math.floor(math.log10(abs(value))) if value and value == value else 0
    return number(value, max(0, digits - 1 - size))


def listing(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


@contextlib.contextmanager
def styled():
    """Draw in the project's style, whatever the reader's matplotlibrc says; a context, or a decorator."""
    import seaborn

    with drawing(seaborn.axes_style("ticks"), STYLE):
        yield


def panels(contents: dict, shape: str, title: str, small: str = "", height: float = 3.0, **options):
    """A figure, and (axis, content) of each of its panels, by heading; a panel's height is in inches."""
    from matplotlib.figure import Figure

    across, in_title, in_small = SHAPES[shape]
    rows, columns = (1, len(contents)) if shape == "wide" else (len(contents), 1)
    figure = Figure(figsize=(across, 0.75 + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    size = 12 if shape == "wide" else 11
    figure.suptitle(textwrap.fill(title, in_title), x=0.01, ha="left", fontsize=size, fontweight="bold")
    figure.supxlabel(textwrap.fill(small, in_small), x=0.01, ha="left", fontsize=8, color=GREY)
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
    """What numbers come from, such as CIFAR-10 (JPEG), 2,000 iterations, bfloat16, rate 0.02."""
    lengths = listing([f"{n:,}" for n in sorted(runs["iterations"].unique())])
    data, precisions = (listing(sorted(runs[name].unique())) for name in ("data_title", "precision"))
    recipe = runs["recipe"].iloc[0] if runs["recipe"].nunique() == 1 else ""
    return ", ".join(filter(None, [data, f"{lengths} iterations", precisions, title("", recipe=recipe)]))


def thousands(axis, places: list | None = None) -> None:
    """Iterations as 2k, 6.4k, 64k along the x axis, at these places or matplotlib's."""
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


def label_ends(axis, ends: list[tuple[float, str, tuple]], x: float) -> None:
    """Names at the right ends of lines, (value, name, hue) each, moved apart as little as it takes to be read."""
    low, high = axis.get_ylim()
    ends = sorted(ends, key=lambda end: end[0])
    places = [min(max(value, low), high) for value, *_ in ends]
    for i in list(range(len(ends) - 1)) * 200:
        places[0] = max(places[0], low)
        lacking = 0.062 * (high - low) - (places[i + 1] - places[i])
        if lacking > 1e-9:
            places[i], places[i + 1] = places[i] - lacking / 2, places[i + 1] + lacking / 2
    for place, (_, name, hue) in zip(places, ends, strict=True):
        note(axis, name, (x, place), (5, 0), hue, fontweight="bold")


@styled()
def png(figure, dpi: int = 160) -> bytes:
    """The figure as PNG in 128 colours, 1,440 pixels wide where it is wide; the same bytes every time."""
    from PIL import Image

    file, small = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
