"""Pictures of networks, drawn from the networks themselves: side by side as in Fig. 3, and the shortcut options.

They take what `resnet_keras.build` makes, with or without weights.
"""

from __future__ import annotations

import dataclasses
import re

from resnet_keras.report.figures import FAINT, INK, _style

# Fills by stage, from the widest maps to the deepest; poolings and fully-connected layers are grey.
FILLS = ("#F3D9A4", "#D3D0EE", "#C2E3C9", "#F6CFC7", "#BFDDF2")
GREY = "#E7E7E7"
PLAIN, NEW = "#333333", "#0072B2"  # what every network has, and what a shortcut adds


@dataclasses.dataclass(frozen=True)
class Box:
    """One layer of a drawing.

    Attributes:
        text: What stands in it.
        side: Pixels of its output's side; 1 for a vector.
        width: Filters, or None for what is no convolution.
    """

    text: str
    side: int
    width: int | None = None


@dataclasses.dataclass(frozen=True)
class Arc:
    """A shortcut from before one box to after another.

    Attributes:
        first: Number of the first box that it passes by.
        last: Number of the last one.
        grows: Whether the dimensions grow on its way: dotted in the paper.
    """

    first: int
    last: int
    grows: bool


def plan(network) -> tuple[list[Box], list[Arc]]:
    """A network as boxes, in the order of the data, and its shortcuts."""
    boxes, arcs = [], []
    shape = (None, *network.arguments["input_shape"])
    for layer in network.chain():
        after = layer.compute_output_shape(shape)
        if hasattr(layer, "plan"):
            if layer.shortcut != "none":
                arcs.append(Arc(len(boxes), len(boxes) + len(layer.plan()) - 1, shape[1:] != after[1:]))
            boxes += _block(layer, shape[1])
        else:
            boxes += _layer(layer, after)
        shape = after
    return boxes, arcs


def _block(layer, side: int) -> list[Box]:
    boxes = []
    for filters, size, stride in layer.plan():
        side = -(-side // stride)
        boxes.append(Box(_convolution(size, filters, stride), side, filters))
    return boxes


def _layer(layer, output: tuple) -> list[Box]:
    kind = type(layer).__name__
    side = output[1] if len(output) == 4 else 1
    if kind == "Conv2D":
        return [Box(_convolution(layer.kernel_size[0], layer.filters, layer.strides[0]), side, layer.filters)]
    texts = {"MaxPooling2D": "pool, /2", "GlobalAveragePooling2D": "average pool", "Dense": "fc {units}"}
    if kind not in texts:
        return []
    return [Box(texts[kind].format(units=getattr(layer, "units", "")), side)]


def _convolution(size: int, filters: int, stride: int) -> str:
    return f"{size}×{size} conv, {filters}" + (f", /{stride}" if stride > 1 else "")


# All lengths below are in rows: the height of a box and of the arrow above it.
BOX_HEIGHT, BOX_WIDTH, COLUMN, BAND = 0.64, 4.5, 6.9, 0.55
HEADING = 4.3
INCHES = 0.222  # a row


def side_by_side(networks: list, captions: list[str] | None = None):
    """Networks beside each other, maps of one size in one band, as in the paper's Fig. 3.

    Solid arcs are identity shortcuts, dotted ones pass where the dimensions grow.

    Args:
        networks: Networks, from left to right.
        captions: A line under each one's name, such as its cost.

    Returns:
        A matplotlib `Figure`.
    """
    import matplotlib.figure

    plans = [plan(network) for network in networks]
    starts, height = _bands([boxes for boxes, _ in plans])
    width = 3.2 + COLUMN * len(networks)
    with _style():
        figure = matplotlib.figure.Figure(figsize=(width * INCHES, (height + HEADING) * INCHES))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(-3.2, COLUMN * len(networks)), ylim=(height, -HEADING))
        axis.axis("off")
        fills = _fills(plans)
        _draw_bands(axis, starts, COLUMN * len(networks), height)
        for number, (network, (boxes, arcs)) in enumerate(zip(networks, plans, strict=True)):
            centre = COLUMN * number + 0.3 + BOX_WIDTH / 2
            caption = captions[number] if captions else ""
            axis.text(centre, -3.75, title(network.name), ha="center", va="center", fontsize=10, fontweight="bold")
            axis.text(centre, -2.35, caption, ha="center", va="center", fontsize=7.5)
            _draw_column(axis, centre, _places(boxes, starts), boxes, arcs, fills)
    return figure


def title(name: str) -> str:
    """A network's name in the paper's words: 34-layer residual."""
    kind, depth = re.fullmatch(r"(\D+)(\d+)", name).groups()
    return {"vgg": f"VGG-{depth}", "plain": f"{depth}-layer plain"}.get(kind, f"{depth}-layer residual")


def _bands(columns: list[list[Box]]) -> tuple[dict[int, float], float]:
    """The first row of each map size, largest first, with room for the fullest column; and the height in all."""
    sides = sorted({box.side for boxes in columns for box in boxes}, reverse=True)
    starts, row = {}, 0.0
    for side in sides:
        starts[side] = row
        row += max(sum(box.side == side for box in boxes) for boxes in columns) + BAND
    return starts, row


def _places(boxes: list[Box], starts: dict[int, float]) -> list[float]:
    """The row of each box's centre."""
    rows = dict(starts)
    places = []
    for box in boxes:
        places.append(rows[box.side] + 0.5)
        rows[box.side] += 1
    return places


def _fills(plans) -> dict[int, str]:
    widths = sorted({box.width for boxes, _ in plans for box in boxes if box.width})
    return {width: FILLS[min(number, len(FILLS) - 1)] for number, width in enumerate(widths)}


def _draw_bands(axis, starts: dict[int, float], right: float, height: float) -> None:
    """The sizes of the maps on the left, and a line between two sizes."""
    ends = [*list(starts.values())[1:], height]
    axis.text(-1.55, -1.0, "output\nsize", ha="center", va="center", fontsize=8, color=INK, linespacing=1.1)
    for (side, row), end in zip(starts.items(), ends, strict=True):
        text = f"{side}×{side}" if side > 1 else "1×1"
        axis.text(-1.55, (row + end - BAND) / 2, text, ha="center", va="center", fontsize=8.5)
        if row:
            axis.plot([-2.9, right - 0.6], [row - BAND / 2] * 2, color=FAINT, linewidth=0.6, linestyle=(0, (1, 3)))


def _draw_column(axis, centre: float, rows: list[float], boxes: list[Box], arcs: list[Arc], fills: dict) -> None:
    half = BOX_HEIGHT / 2
    axis.text(centre, -0.95, "picture", ha="center", va="center", fontsize=7.5)
    tails = [-0.68, *(row + half for row in rows)]
    for number, (box, row) in enumerate(zip(boxes, rows, strict=True)):
        _arrow(axis, (centre, tails[number]), (centre, row - half))
        _box(axis, centre, row, box.text, fills.get(box.width, GREY))
    _arrow(axis, (centre, tails[-1]), (centre, tails[-1] + 0.5))
    for arc in arcs:
        start = (tails[arc.first] + rows[arc.first] - half) / 2
        end = (tails[arc.last + 1] + (rows[arc.last + 1] - half)) / 2
        _shortcut(axis, centre, start, end, arc.grows)


def _box(axis, x: float, y: float, text: str, fill: str, width: float = BOX_WIDTH, edge: str = "#777777") -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2 + 0.1, y - BOX_HEIGHT / 2 + 0.1)
    axis.add_patch(
        FancyBboxPatch(
            corner,
            width - 0.2,
            BOX_HEIGHT - 0.2,
            boxstyle="round,pad=0.1,rounding_size=0.14",
            facecolor=fill,
            edgecolor=edge,
            linewidth=0.7,
            zorder=3,
        )
    )
    axis.text(x, y + 0.02, text, ha="center", va="center", fontsize=7.2, zorder=4)


def _arrow(axis, start: tuple, end: tuple, colour: str = PLAIN) -> None:
    axis.annotate(
        "",
        xy=end,
        xytext=start,
        zorder=2,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.12,head_length=0.22",
            "color": colour,
            "linewidth": 0.7,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _shortcut(axis, centre: float, start: float, end: float, grows: bool) -> None:
    """An arc on the right of a column, from one arrow to another."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    bulge = centre + BOX_WIDTH / 2 + 1.0
    near = (end - start) * 0.1
    points = [(centre, start), (bulge, start), (bulge, start + near), (bulge, (start + end) / 2)]
    points += [(bulge, end - near), (bulge, end), (centre, end)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 6]
    axis.add_patch(
        FancyArrowPatch(
            path=Path(points, codes),
            arrowstyle="-|>,head_width=1.6,head_length=3",
            color=PLAIN,
            linewidth=0.9,
            linestyle=(0, (1.2, 1.6)) if grows else "solid",
            shrinkA=0,
            shrinkB=0,
            zorder=1,
        )
    )


# What each option's shortcut does where the dimensions grow, and elsewhere; None: it carries its input as it is.
OPTIONS = {
    "A": ("identity:\nevery 2nd\npixel, zeros\nfor new\nchannels", None),
    "B": ("1×1 conv, {new}, /2", None),
    "C": ("1×1 conv, {new}, /2", "1×1 conv, {new}"),
}


def options(costs: dict[str, str], old: int = 16, new: int = 32):
    """Two blocks, the dimensions growing in the first one, with the shortcuts of options A, B and C (Sec. 4.1).

    What an option adds to the plain network stands in its own colour.

    Args:
        costs: Option -> what it costs, as a line or two of text under its drawing.
        old: Channels before the blocks.
        new: Channels after them.

    Returns:
        A matplotlib `Figure`.
    """
    import matplotlib.figure

    column, height = 13.2, 13.4
    with _style():
        figure = matplotlib.figure.Figure(figsize=(column * len(OPTIONS) * INCHES, height * INCHES))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, column * len(OPTIONS)), ylim=(height - 1.6, -1.6))
        axis.axis("off")
        for number, (option, shortcuts) in enumerate(OPTIONS.items()):
            left = column * number
            axis.text(left + 3.4, -0.75, f"option {option}", ha="center", va="center", fontsize=11, fontweight="bold")
            _draw_option(axis, left + 3.4, old, new, shortcuts)
            axis.text(left + 3.4, 11.0, costs.get(option, ""), ha="center", va="center", fontsize=8, linespacing=1.35)
    return figure


def _draw_option(axis, centre: float, old: int, new: int, shortcuts: tuple) -> None:
    top = 0.35
    axis.text(centre, top - 0.28, f"{old} channels", ha="center", va="center", fontsize=7.5)
    for block, shortcut in enumerate(shortcuts):
        start = top + 0.45
        _arrow(axis, (centre, top), (centre, top + 1.0))
        _box(axis, centre, top + 1.32, _convolution(3, new, 1 if block else 2), FILLS[2])
        _arrow(axis, (centre, top + 1.64), (centre, top + 2.3))
        _box(axis, centre, top + 2.62, _convolution(3, new, 1), FILLS[2])
        _arrow(axis, (centre, top + 2.94), (centre, top + 3.62))
        axis.text(centre, top + 3.85, "+", ha="center", va="center", fontsize=12, fontweight="bold", zorder=4)
        axis.scatter([centre], [top + 3.85], s=95, facecolor="white", edgecolor="#777777", linewidth=0.8, zorder=3)
        _branch(axis, centre, start, top + 3.85, shortcut and shortcut.format(new=new), grows=not block)
        top += 4.15
    _arrow(axis, (centre, top), (centre, top + 0.85))
    axis.text(centre, top + 1.15, f"{new} channels", ha="center", va="center", fontsize=7.5)


def _branch(axis, centre: float, start: float, end: float, text: str | None, grows: bool) -> None:
    """A shortcut with corners, around a block and through what stands on it."""
    side, middle = centre + 5.9, (start + end) / 2
    style = {"color": NEW, "linewidth": 1.3, "linestyle": (0, (1.2, 1.4)) if grows else "solid", "zorder": 1}
    axis.plot([centre, side, side, centre + 0.75], [start, start, end, end], **style)
    _arrow(axis, (centre + 0.8, end), (centre + 0.32, end), NEW)
    if text and "conv" in text:
        _box(axis, side, middle, text, "#DCEBF5", edge=NEW)
    else:
        words = text or "identity"
        axis.text(side + 0.2, middle, words, ha="left", va="center", fontsize=7.5, color=NEW, linespacing=1.15)


def png(figure, dpi: int = 130) -> bytes:
    """The figure as PNG in 64 colours, small enough for a notebook."""
    import io

    from PIL import Image

    file, small = io.BytesIO(), io.BytesIO()
    with _style():
        figure.savefig(file, format="png", dpi=dpi)
    Image.open(file).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()
