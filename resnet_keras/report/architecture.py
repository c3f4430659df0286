"""Drawings of networks, made from the networks themselves: side by side as in Fig. 3, and the shortcut options.

They take what `resnet_keras.build` or `resnet_keras.models.catalogue.assemble` make; weights are not needed.
"""

import re
from typing import NamedTuple

from resnet_keras.report.style import INK, RESIDUAL, png, styled

__all__ = ["boxes_and_arcs", "options", "paper_title", "png", "side_by_side"]

# Fills by stage, from the widest maps to the deepest; poolings and fully-connected layers are grey.
FILLS = ("#F3D9A4", "#D3D0EE", "#C2E3C9", "#F6CFC7", "#BFDDF2")
OTHERS, EDGE, FAINT = "#E7E7E7", "#777777", "#B0B0B0"
DOTTED = (0, (1.2, 1.5))
# All lengths are in rows: the height of a box and of the arrow above it.
BOX_HEIGHT, BOX_WIDTH, COLUMN, BAND, HEADING = 0.64, 4.5, 6.9, 0.55, 4.3
INCHES = 0.222  # a row


class Box(NamedTuple):
    """One layer of a drawing: what stands in it, pixels of its output's side (1 for a vector), and its filters."""

    text: str
    side: int
    width: int | None = None


class Arc(NamedTuple):
    """A shortcut past boxes `first` to `last`; where the dimensions grow on its way it is dotted, as in the paper."""

    first: int
    last: int
    grows: bool


def boxes_and_arcs(network) -> tuple[list[Box], list[Arc]]:
    """A network as boxes, from input to output, and its shortcuts."""
    boxes, arcs = [], []
    shape = (None, *network.arguments["input_shape"])
    for layer in network.chain():
        after = layer.compute_output_shape(shape)
        if hasattr(layer, "plan"):
            if layer.shortcut != "none":
                arcs.append(Arc(len(boxes), len(boxes) + len(layer.plan()) - 1, shape[1:] != after[1:]))
            side = shape[1]
            for filters, size, stride in layer.plan():
                side = -(-side // stride)
                boxes.append(Box(_convolution(size, filters, stride), side, filters))
        else:
            boxes += _layer(layer, after)
        shape = after
    return boxes, arcs


def _layer(layer, output: tuple) -> list[Box]:
    kind, side = type(layer).__name__, output[1] if len(output) == 4 else 1
    if kind == "Conv2D":
        return [Box(_convolution(layer.kernel_size[0], layer.filters, layer.strides[0]), side, layer.filters)]
    words = {"MaxPooling2D": "pool, /2", "GlobalAveragePooling2D": "average pool", "Dense": "fc {units}"}
    return [Box(words[kind].format(units=getattr(layer, "units", "")), side)] if kind in words else []


def _convolution(size: int, filters: int, stride: int) -> str:
    return f"{size}×{size} conv, {filters}" + (f", /{stride}" if stride > 1 else "")


def paper_title(name: str) -> str:
    """A network's name in the paper's words: 34-layer residual."""
    kind, depth = re.fullmatch(r"(\D+)(\d+)", name).groups()
    return {"vgg": f"VGG-{depth}", "plain": f"{depth}-layer plain"}.get(kind, f"{depth}-layer residual")


@styled
def side_by_side(networks: list, captions: list[str]):
    """Networks beside each other, maps of one size in one band, as in Fig. 3; returns a matplotlib `Figure`.

    Solid arcs are identity shortcuts, dotted ones pass where the dimensions grow. A caption stands under a name.
    """
    plans = [boxes_and_arcs(network) for network in networks]
    starts, height = _bands([boxes for boxes, _ in plans])
    right = COLUMN * len(networks)
    figure, axis = _canvas((-3.2, right), (height, -HEADING))
    widths = sorted({box.width for boxes, _ in plans for box in boxes if box.width})
    fills = {width: FILLS[min(number, len(FILLS) - 1)] for number, width in enumerate(widths)}
    _words(axis, -1.55, -1.0, "output\nsize", 8)
    for (side, row), end in zip(starts.items(), [*list(starts.values())[1:], height], strict=True):
        _words(axis, -1.55, (row + end - BAND) / 2, f"{side}×{side}", 8.5)
        if row:
            axis.plot([-2.9, right - 0.6], [row - BAND / 2] * 2, color=FAINT, linewidth=0.6, linestyle=(0, (1, 3)))
    for number, (network, caption, (boxes, arcs)) in enumerate(zip(networks, captions, plans, strict=True)):
        centre = COLUMN * number + 0.3 + BOX_WIDTH / 2
        _words(axis, centre, -3.75, paper_title(network.name), 10, fontweight="bold")
        _words(axis, centre, -2.35, caption, 7.5)
        _draw_column(axis, centre, dict(starts), boxes, arcs, fills)
    return figure


def _canvas(across: tuple, down: tuple):
    """A figure without axes, in rows."""
    from matplotlib.figure import Figure

    figure = Figure(((across[1] - across[0]) * INCHES, abs(down[1] - down[0]) * INCHES))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=across, ylim=down)
    axis.axis("off")
    return figure, axis


def _bands(columns: list[list[Box]]) -> tuple[dict[int, float], float]:
    """The first row of each map size, largest first, with room for the fullest column; and the height in all."""
    starts, row = {}, 0.0
    for side in sorted({box.side for boxes in columns for box in boxes}, reverse=True):
        starts[side] = row
        row += max(sum(box.side == side for box in boxes) for boxes in columns) + BAND
    return starts, row


def _draw_column(axis, centre: float, free: dict[int, float], boxes: list[Box], arcs: list[Arc], fills: dict) -> None:
    """A network's boxes, each in the next free row of its map size, and its arcs."""
    half, rows = BOX_HEIGHT / 2, []
    for box in boxes:
        rows.append(free[box.side] + 0.5)
        free[box.side] += 1
    _words(axis, centre, -0.95, "image", 7.5)
    tails = [-0.68, *(row + half for row in rows)]
    for box, row, tail in zip(boxes, rows, tails[:-1], strict=True):
        _arrow(axis, (centre, tail), (centre, row - half))
        _box(axis, centre, row, box.text, fills.get(box.width, OTHERS))
    _arrow(axis, (centre, tails[-1]), (centre, tails[-1] + 0.5))
    for arc in arcs:
        start, end = ((tails[n] + rows[n] - half) / 2 for n in (arc.first, arc.last + 1))
        curve = f"arc3,rad={-(BOX_WIDTH + 2) / (end - start)}"  # so that it passes the boxes on their right
        style = {"linestyle": DOTTED if arc.grows else "solid", "linewidth": 0.9}
        _arrow(axis, (centre, start), (centre + 0.14, end), connectionstyle=curve, **style)
        _plus(axis, centre, end, 34, 7)


def _words(axis, x: float, y: float, words: str, size: float, **options) -> None:
    axis.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": size, "linespacing": 1.25, **options})


def _box(axis, x: float, y: float, words: str, fill: str, edge: str = EDGE) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, shape = (x - BOX_WIDTH / 2 + 0.1, y - BOX_HEIGHT / 2 + 0.1), (BOX_WIDTH - 0.2, BOX_HEIGHT - 0.2)
    style = {"boxstyle": "round,pad=0.1,rounding_size=0.14", "facecolor": fill, "edgecolor": edge, "linewidth": 0.7}
    axis.add_patch(FancyBboxPatch(corner, *shape, **style, zorder=3))
    _words(axis, x, y + 0.02, words, 7.2, zorder=4)


def _arrow(axis, start: tuple, end: tuple, colour: str = INK, **options) -> None:
    style = {"arrowstyle": "-|>,head_width=0.12,head_length=0.22", "color": colour, "linewidth": 0.7}
    style |= {"shrinkA": 0, "shrinkB": 0, **options}
    axis.annotate("", xy=end, xytext=start, zorder=2, arrowprops=style)


def _plus(axis, x: float, y: float, area: float, size: float) -> None:
    axis.scatter([x], [y], s=area, facecolor="white", edgecolor=EDGE, linewidth=0.7, zorder=3)
    _words(axis, x, y, "+", size, fontweight="bold", zorder=4)


# What each option's shortcut does where 16 channels become 32, and elsewhere.
OPTIONS = {
    "A": ("identity:\nevery 2nd\npixel, zeros\nfor new\nchannels", "identity"),
    "B": ("1×1 conv, 32, /2", "identity"),
    "C": ("1×1 conv, 32, /2", "1×1 conv, 32"),
}


@styled
def options(costs: dict[str, str]):
    """Two blocks with the shortcuts of options A, B and C (Sec. 4.1), as a matplotlib `Figure`.

    In the first one the channels grow from 16 to 32. What an option adds to the plain network is blue; what it costs, a
    line or two of text, stands under its drawing.
    """
    column = 13.2
    figure, axis = _canvas((0, column * len(OPTIONS)), (11.8, -1.6))
    for number, (option, shortcuts) in enumerate(OPTIONS.items()):
        centre = column * number + 3.4
        _words(axis, centre, -0.75, f"option {option}", 11, fontweight="bold")
        _words(axis, centre, 11.0, costs[option], 8)
        _draw_option(axis, centre, shortcuts)
    return figure


def _draw_option(axis, centre: float, shortcuts: tuple[str, str]) -> None:
    top = 0.35
    _words(axis, centre, top - 0.28, "16 channels", 7.5)
    for block, shortcut in enumerate(shortcuts):
        _arrow(axis, (centre, top), (centre, top + 1.0))
        _box(axis, centre, top + 1.32, _convolution(3, 32, 1 if block else 2), FILLS[2])
        _arrow(axis, (centre, top + 1.64), (centre, top + 2.3))
        _box(axis, centre, top + 2.62, _convolution(3, 32, 1), FILLS[2])
        _arrow(axis, (centre, top + 2.94), (centre, top + 3.62))
        _plus(axis, centre, top + 3.85, 95, 12)
        _branch(axis, centre, top + 0.45, top + 3.85, shortcut, grows=not block)
        top += 4.15
    _arrow(axis, (centre, top), (centre, top + 0.85))
    _words(axis, centre, top + 1.15, "32 channels", 7.5)


def _branch(axis, centre: float, start: float, end: float, words: str, grows: bool) -> None:
    """A shortcut with corners, around a block and through what stands on it."""
    side, middle = centre + 5.9, (start + end) / 2
    style = {"color": RESIDUAL, "linewidth": 1.3, "linestyle": DOTTED if grows else "solid", "zorder": 1}
    axis.plot([centre, side, side, centre + 0.75], [start, start, end, end], **style)
    _arrow(axis, (centre + 0.8, end), (centre + 0.32, end), RESIDUAL)
    if "conv" in words:
        _box(axis, side, middle, words, "#DCEBF5", edge=RESIDUAL)
    else:
        _words(axis, side + 0.2, middle, words, 7.5, ha="left", color=RESIDUAL)
