"""Networks drawn side by side as in the paper's Fig. 3, from the networks themselves; weights are not needed."""

import collections
import re

from resnet_keras.report.style import INK, styled

# A layer: the words in its box, pixels of its output's side (1 for a vector), its filters or None.
Box = collections.namedtuple("Box", "text side width")
# A shortcut past boxes `first` to `last`, dotted if the dimensions grow on its way, as in the paper.
Arc = collections.namedtuple("Arc", "first last grows")
FILLS = ("#F3D9A4", "#D3D0EE", "#C2E3C9", "#F6CFC7", "#BFDDF2")  # of convolutions, the fewest filters first
OTHERS, EDGE, FAINT = "#E7E7E7", "#777777", "#B0B0B0"
# All lengths are in rows: the height of a box and of the arrow above it.
BOX_HEIGHT, BOX_WIDTH, COLUMN, BAND, HEADING = 0.64, 4.5, 6.9, 0.55, 4.3
INCHES = 0.222  # a row
WORDS = {"MaxPooling2D": "pool, /2", "GlobalAveragePooling2D": "average pool", "Dense": "fc {layer.units}"}
IN_WORDS = {"vgg": "VGG-{}", "plain": "{}-layer plain", "resnet": "{}-layer residual"}  # in the paper's words


def boxes_and_arcs(network) -> tuple[list[Box], list[Arc]]:
    """A network as boxes, from input to output, and its shortcuts."""
    boxes, arcs, shape = [], [], (None, *network.arguments["input_shape"])
    for layer in network.chain():
        before, shape = shape, layer.compute_output_shape(shape)
        kind, side, plan = type(layer).__name__, before[1], []
        if kind in WORDS:
            boxes.append(Box(WORDS[kind].format(layer=layer), shape[1] if len(shape) == 4 else 1, None))
        elif kind == "Conv2D":
            plan = [(layer.filters, layer.kernel_size[0], layer.strides[0])]
        elif hasattr(layer, "plan"):
            plan = layer.plan()
            if layer.shortcut != "none":
                arcs.append(Arc(len(boxes), len(boxes) + len(plan) - 1, before[1:] != shape[1:]))
        for filters, size, stride in plan:
            side = -(-side // stride)
            boxes.append(Box(f"{size}×{size} conv, {filters}" + (f", /{stride}" if stride > 1 else ""), side, filters))
    return boxes, arcs


@styled()
def side_by_side(networks: list, captions: list[str]):
    """Networks beside each other, each with its caption, maps of one size in one band; a matplotlib `Figure`."""
    from matplotlib.figure import Figure

    plans = [boxes_and_arcs(network) for network in networks]
    starts, height = {}, 0.0  # the first row of each map size, largest first, with room for the fullest column
    for side in sorted({box.side for boxes, _ in plans for box in boxes}, reverse=True):
        starts[side] = height
        height += max(sum(box.side == side for box in boxes) for boxes, _ in plans) + BAND
    left, right = -3.2, COLUMN * len(networks)
    figure = Figure(((right - left) * INCHES, (height + HEADING) * INCHES))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(left, right), ylim=(height, -HEADING))
    axis.axis("off")
    widths = sorted({box.width for boxes, _ in plans for box in boxes if box.width})
    fills = {width: FILLS[min(number, len(FILLS) - 1)] for number, width in enumerate(widths)}
    _text(axis, -1.55, -1.0, "output\nsize", 8)
    for (side, row), end in zip(starts.items(), [*list(starts.values())[1:], height], strict=True):
        _text(axis, -1.55, (row + end - BAND) / 2, f"{side}×{side}", 8.5)
        if row:
            axis.plot([-2.9, right - 0.6], [row - BAND / 2] * 2, color=FAINT, linewidth=0.6, linestyle=(0, (1, 3)))
    for number, (network, caption, plan) in enumerate(zip(networks, captions, plans, strict=True)):
        kind, depth = re.fullmatch(r"(\D+)(\d+)", network.name).groups()
        centre = COLUMN * number + 0.3 + BOX_WIDTH / 2
        _text(axis, centre, -3.75, IN_WORDS[kind].format(depth), 10, fontweight="bold")
        _text(axis, centre, -2.35, caption, 7.5)
        _draw_column(axis, centre, dict(starts), *plan, fills)
    return figure


def _draw_column(axis, centre: float, free: dict[int, float], boxes: list[Box], arcs: list[Arc], fills: dict) -> None:
    """A network's boxes, each in the next free row of its map size, and its arcs."""
    from matplotlib.patches import FancyBboxPatch

    half, rows, tails = BOX_HEIGHT / 2, [], [-0.68]
    look = {"boxstyle": "round,pad=0.1,rounding_size=0.14", "edgecolor": EDGE, "linewidth": 0.7, "zorder": 3}
    _text(axis, centre, -0.95, "image", 7.5)
    for box in boxes:
        row = free[box.side] + 0.5
        free[box.side] += 1
        _arrow(axis, (centre, tails[-1]), (centre, row - half))
        corner, size = (centre - BOX_WIDTH / 2 + 0.1, row - half + 0.1), (BOX_WIDTH - 0.2, BOX_HEIGHT - 0.2)
        axis.add_patch(FancyBboxPatch(corner, *size, **look, facecolor=fills.get(box.width, OTHERS)))
        _text(axis, centre, row + 0.02, box.text, 7.2, zorder=4)
        rows.append(row)
        tails.append(row + half)
    _arrow(axis, (centre, tails[-1]), (centre, tails[-1] + 0.5))
    for arc in arcs:
        start, end = ((tails[n] + rows[n] - half) / 2 for n in (arc.first, arc.last + 1))
        curve = f"arc3,rad={-(BOX_WIDTH + 2) / (end - start)}"  # so that it passes the boxes on their right
        line = {"linestyle": (0, (1.2, 1.5)) if arc.grows else "solid", "linewidth": 0.9}
        _arrow(axis, (centre, start), (centre + 0.14, end), connectionstyle=curve, **line)
        axis.scatter([centre], [end], s=34, facecolor="white", edgecolor=EDGE, linewidth=0.7, zorder=3)
        _text(axis, centre, end, "+", 7, fontweight="bold", zorder=4)


def _text(axis, x: float, y: float, words: str, size: float, **options) -> None:
    axis.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": size, "linespacing": 1.25, **options})


def _arrow(axis, start: tuple, end: tuple, **options) -> None:
    look = {"arrowstyle": "-|>,head_width=0.12,head_length=0.22", "color": INK, "linewidth": 0.7, "shrinkA": 0}
    axis.annotate("", xy=end, xytext=start, zorder=2, arrowprops={**look, "shrinkB": 0, **options})
