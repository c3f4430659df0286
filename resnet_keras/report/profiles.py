"""Figures of what was measured along the layers of networks: responses (Fig. 7), gradients and lesions.

Functions as in `figures`.
"""

from __future__ import annotations

import math

from resnet_keras.report import text
from resnet_keras.report.figures import longest
from resnet_keras.report.runs import measurements
from resnet_keras.report.style import DASHES, DOTS, GREY, GUESSING, HUES, INK, panels, setting, shade, styled

HIGHEST = 3.0  # on the linear axis of responses, as in Fig. 7; a legend says what is above it
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TIMES = {"Before training": 0, "After 16 iterations": 16, "At the end": -1}  # panels of gradients with BN


def measured(store, runs, name: str):
    """A measurement of the longest runs of which it was taken."""
    table = measurements(store, runs, name)
    return longest(table, len) if len(table) else table


def by_network(table) -> list[tuple[str, object]]:
    """(name, rows) of each network of a table of measurements, plain before residual."""
    groups = table.groupby(["kind", "depth", "network", "shortcut"])
    return [(text.title(network, shortcut), rows) for (_, _, network, shortcut), rows in groups]


@styled
def responses(store, runs, shape: str = "wide"):
    """Standard deviation of each 3x3 layer's response, in the order of the layers, as the paper's Fig. 7."""
    table = measured(store, runs, "responses")
    if not len(table):
        return None
    kinds, medians = sorted(table["kind"].unique()), table.groupby("kind")["std"].median()
    title = "Median response: " + text.listing([f"{kind} {text.number(medians[kind])}" for kind in kinds])
    if (medians - 1).abs().max() < 0.15:
        title = "Responses hardly differ in the median: BN's scale is still where it started"
    small = f"{setting(table)}. Standard deviation of each 3x3 layer's response, after BN, before ReLU and addition."
    figure, axes = panels([f"{kind} networks".capitalize() for kind in kinds], shape, title, small, 2.8, sharey=True)
    for axis, kind in zip(axes, kinds, strict=True):
        axis.axhline(1, color=INK, linewidth=1, linestyle=DASHES)
        axis.text(1, 1.02, "gamma's start", transform=axis.get_yaxis_transform(), ha="right", va="bottom", fontsize=8)
        for name, rows in by_network(table[table["kind"] == kind]):
            mean = rows.groupby("layer")["std"].mean()
            above = f" (up to {text.number(mean.max(), 0)})" if mean.max() > HIGHEST else ""
            axis.plot(mean, color=shade(kind, rows["depth"].iloc[0]), linewidth=1.4, label=name + above)
        axis.set(xlabel="3x3 layer (1 = nearest to the image)", ylim=(0, HIGHEST))
        axis.legend(fontsize=8.5, loc="upper right")
    axes[0].set_ylabel("std of the response")
    return figure


@styled
def gradients(store, runs, shape: str = "wide"):
    """Norms of the kernels' gradients along the layers: of the deepest networks, and before training without BN."""
    table = measured(store, runs, "gradients")
    if not len(table):
        return None
    with_bn = table[table["batch_norm"] & (table["depth"] == table["depth"].max())]
    ends = with_bn["iteration"].where(with_bn["iteration"] != with_bn["iterations"], -1)
    parts = {heading: with_bn[ends == at] for heading, at in TIMES.items()}
    parts["No BN, before training"] = table[~table["batch_norm"] & (table["iteration"] == 0)]
    parts = {heading: rows for heading, rows in parts.items() if len(rows)}
    title = "Gradients along the layers"
    start = with_bn[(with_bn["iteration"] == 0) & (with_bn["kind"] == "plain")].groupby("layer")["gradient_norm"].mean()
    if len(start) and start.iloc[0] > 10 * start.iloc[-2]:
        name = f"plain-{with_bn['depth'].iloc[0]}"
        title = f"Gradients of {name} do not vanish at the start: they explode towards the image"
    small = (
        f"{setting(table)}. Norm of each kernel's gradient, layer 1 nearest to the image; dotted: times its own norm."
    )
    figure, axes = panels(list(parts), shape, title, small, 2.7)
    for axis, (heading, rows) in zip(axes, parts.items(), strict=True):
        if heading in TIMES and axis is not axes[0]:
            axis.sharey(axes[0])
        for name, group in by_network(rows.assign(scaled=rows["gradient_norm"] * rows["weight_norm"])):
            layers, hue = group.groupby("layer"), shade(group["kind"].iloc[0], group["depth"].iloc[0])
            axis.plot(layers["gradient_norm"].mean(), color=hue, linewidth=1.8, label=name)
            axis.plot(layers["scaled"].mean(), color=hue, linewidth=0.9, linestyle=DOTS)
        axis.set(yscale="log", xlabel="layer")
        _powers(axis)
        if axis is axes[0] or heading not in TIMES:
            axis.legend(fontsize=8, loc="best")
    axes[0].set_ylabel("norm of the gradient")
    return figure


def _powers(axis) -> None:
    """A logarithmic axis with numbers that are read at a glance: 0.01, 1, 100, 10⁷."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    def short(value, _):
        power = round(math.log10(value))
        return f"{value:,g}" if -3 <= power <= 4 else f"10{str(power).translate(RAISED)}"

    axis.yaxis.set_major_locator(LogLocator(numticks=9))
    axis.yaxis.set_major_formatter(FuncFormatter(short))
    axis.yaxis.set_minor_locator(NullLocator())


@styled
def lesion(store, runs, shape: str = "wide"):
    """Test error without each block, as bars from the intact network's: the deepest plain and residual network."""
    table = measured(store, runs, "lesion")
    if not len(table):
        return None
    table = table[(table["depth"] == table["depth"].max()) & (table["seed"] == table["seed"].min())]
    medians = table.groupby(["kind", "lesion"])["error"].median().unstack()
    rise = medians["delete"] - medians["none"]
    title = "Test error with one block left out"
    if len(rise) > 1 and rise["residual"] < rise["plain"] / 4:
        points = {kind: text.number(value, 0) for kind, value in rise.items()}
        title = f"Without one block a residual network errs by {points['residual']} points more in the median, "
        title += f"a plain one by {points['plain']}"
    small = f"{setting(table)}, seed {table['seed'].iloc[0]}. Bars start at the intact network's error; "
    small += "black: the first block of a stage, where the map shrinks."
    networks = by_network(table)
    figure, axes = panels([name for name, _ in networks], shape, title, small, 2.3, sharey=True)
    for axis, (_, rows) in zip(axes, networks, strict=True):
        intact, without = (rows[rows["lesion"] == which] for which in ("none", "delete"))
        intact, hue, end = intact["error"].iloc[0], HUES[rows["kind"].iloc[0]], axis.get_yaxis_transform()
        hues = [INK if grows else hue for grows in without["grows"].astype(str) == "True"]
        axis.bar(without["block"], without["error"] - intact, bottom=intact, color=hues, width=0.75)
        axis.axhline(intact, color=hue, linewidth=1.6)
        axis.axhline(GUESSING, color=GREY, linewidth=0.9, linestyle=DASHES)
        axis.text(1.01, GUESSING, "guessing", transform=end, va="center", color=GREY, fontsize=8)
        axis.text(1.01, intact, f"intact {text.number(intact, 0)} %", transform=end, va="center", color=hue, fontsize=8)
        axis.set(ylim=(0, 100), xlabel="block left out")
        axis.grid(visible=False)
    axes[0].set_ylabel("test error, %")
    return figure


@styled
def surface(store, runs, shape: str = "wide"):
    """The loss around trained networks along two random directions, and how far the first kernel's norm was thrown."""
    tables = {name: measured(store, runs, name) for name in ("surface", "start")}
    if not all(map(len, tables.values())):
        return None
    tables = {name: table[table["seed"] == table["seed"].min()] for name, table in tables.items()}
    networks, norms = by_network(tables["surface"]), by_network(tables["start"])
    growth = [f"{name} {text.number(rows['weight_norm'].max(), 0)}" for name, rows in norms]
    title = f"The loss around trained networks; the first kernel's norm grew to {text.listing(growth)}"
    small = (
        f"{setting(tables['surface'])}, seed {tables['surface']['seed'].iloc[0]}. Cross-entropy on training images, BN "
    )
    small += "as in testing, along two random directions of each filter's own norm; the network is in the centre."
    headings = [*(f"Loss around {name}" for name, _ in networks), "Norm of the first kernel"]
    figure, axes = panels(headings, shape, title, small, 2.8)
    levels = [0.5, 1, 1.5, 2, 2.5, 3, 4, 6, 10, 20, 50]
    for axis, (_, rows) in zip(axes, networks, strict=False):
        heights = rows.pivot(index="y", columns="x", values="cross_entropy")
        lines = axis.contour(heights.columns, heights.index, heights, levels, cmap="viridis", linewidths=0.9)
        axis.clabel(lines, fontsize=7, fmt="%g")
        axis.plot(0, 0, "o", color=INK, markersize=3)
        axis.set(aspect="equal", xlabel="direction 1", ylabel="direction 2")
        axis.grid(visible=False)
    for name, rows in norms:
        hue = HUES.get(rows["kind"].iloc[0], GREY)
        axes[-1].plot(rows["iteration"], rows["weight_norm"], color=hue, linewidth=1.8, label=name)
    axes[-1].set(yscale="log", xlabel="iteration")
    _powers(axes[-1])
    axes[-1].legend(fontsize=8.5)
    return figure
