"""Figures of what was measured along the layers of networks: responses (Fig. 7), gradients and lesions."""

from __future__ import annotations

import math

from resnet_keras.report import text
from resnet_keras.report.figures import GREY, GUESSING, HUES, INK, colour, config, panels, styled
from resnet_keras.report.runs import measurements

HIGHEST = 3.0  # on the linear axis of responses, as in Fig. 7; a legend says what is above it
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def networks_in(table) -> list[tuple[str, object]]:
    """(name, rows) of each network of a table of measurements, plain before residual; BN or not is in the name."""
    groups = table.groupby(["kind", "depth", "network", "shortcut", "recipe"])
    return [(text.title(network, shortcut, recipe), rows) for (_, _, network, shortcut, recipe), rows in groups]


def longest(table):
    """The rows of the longest runs, in the precision of most of them."""
    table = table[table["iterations"] == table["iterations"].max()]
    return table[table["precision"] == table["precision"].mode().squeeze()] if len(table) else table


@styled
def responses(store, runs, shape: str = "wide"):
    """Standard deviation of each 3x3 layer's response, in the order of the layers, as the paper's Fig. 7."""
    table = longest(measurements(store, runs, "responses"))
    if not len(table):
        return None
    medians = table.groupby("kind")["std"].median()
    title = "Responses hardly differ in the median: after so few iterations BN's scale is still where it started"
    if len(medians) < 2 or (medians - 1).abs().max() > 0.15:
        title = (
            "Responses of the layers: "
            + text.listing([f"{kind} {value:.2f}" for kind, value in medians.items()])
            + " in the median"
        )
    subtitle = (
        f"{config(table)}. Standard deviation of each 3x3 layer's response, after BN and before ReLU and addition."
    )
    levels = sorted(table["kind"].unique())
    figure, axes = panels(len(levels), shape, title, subtitle, 2.8, sharey=True)
    for axis, kind in zip(axes, levels, strict=True):
        axis.axhline(1, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        axis.text(1, 1.02, "gamma's start", transform=axis.get_yaxis_transform(), ha="right", va="bottom", fontsize=8)
        for name, rows in networks_in(table[table["kind"] == kind]):
            mean = rows.groupby("layer")["std"].mean()
            hue = colour(kind, rows["depth"].iloc[0])
            above = f" (up to {mean.max():.0f})" if mean.max() > HIGHEST else ""
            axis.plot(mean.index, mean, color=hue, linewidth=1.4, label=name + above)
        axis.set(
            xlabel="3x3 layer (1 = nearest to the image)", title=f"{kind} networks".capitalize(), ylim=(0, HIGHEST)
        )
        axis.set_ylabel("std of the response" if axis is axes[0] else "")
        axis.legend(fontsize=8.5, loc="upper right")
    return figure


@styled
def gradients(store, runs, shape: str = "wide"):
    """Norms of the kernels' gradients along the layers: of networks with BN at three times, without BN at the start."""
    table = longest(measurements(store, runs, "gradients"))
    if not len(table):
        return None
    with_bn, without = table[table["batch_norm"]], table[~table["batch_norm"]]
    depth = with_bn["depth"].max()
    with_bn = with_bn[with_bn["depth"] == depth]
    first = with_bn[(with_bn["iteration"] == 0) & (with_bn["kind"] == "plain")].groupby("layer")["gradient_norm"].mean()
    title = "Gradients along the layers"
    if len(first) and first.iloc[0] > 10 * first.iloc[-2]:
        title = f"Gradients of plain-{depth} do not vanish at the start: they explode towards the image"
    panes = [("Before training", with_bn[with_bn["iteration"] == 0])]
    panes += [("After 16 iterations", with_bn[with_bn["iteration"] == 16])]
    panes += [("At the end", with_bn[with_bn["iteration"] == with_bn["iterations"]])]
    panes += [("No BN, before training", without[without["iteration"] == 0])]
    panes = [(heading, rows) for heading, rows in panes if len(rows)]
    subtitle = f"{config(table)}. Norm of the gradient of each kernel, layer 1 nearest to the image; dotted: times the kernel's own norm."
    figure, axes = panels(len(panes), shape, title, subtitle, 2.7)
    for axis, (heading, _) in zip(axes, panes, strict=True):
        if axis is not axes[0] and heading != panes[-1][0]:
            axis.sharey(axes[0])
    for axis, (heading, rows) in zip(axes, panes, strict=True):
        for name, group in networks_in(rows):
            layers = group.assign(scaled=group["gradient_norm"] * group["weight_norm"]).groupby("layer")
            hue = colour(group["kind"].iloc[0], group["depth"].iloc[0])
            axis.plot(layers["gradient_norm"].mean(), color=hue, linewidth=1.8, label=name.replace(" without BN", ""))
            axis.plot(layers["scaled"].mean(), color=hue, linewidth=0.9, linestyle=(0, (1, 1.5)))
        axis.set(yscale="log", xlabel="layer", title=heading)
        _powers(axis)
        if axis in (axes[0], axes[-1]):
            axis.legend(fontsize=8, loc="best")
    axes[0].set_ylabel("norm of the gradient")
    return figure


def _powers(axis) -> None:
    """A logarithmic axis with numbers that are read at a glance: 0.01, 1, 100."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.yaxis.set_major_locator(LogLocator(numticks=9))
    axis.yaxis.set_major_formatter(FuncFormatter(_short))
    axis.yaxis.set_minor_locator(NullLocator())


def _short(value: float, _=None) -> str:
    power = round(math.log10(value))
    return f"{value:,g}" if -3 <= power <= 4 else f"10{str(power).translate(RAISED)}"


@styled
def lesion(store, runs, shape: str = "wide"):
    """Test error without each block, as bars from the intact network's error: the deepest plain and residual network."""
    table = longest(measurements(store, runs, "lesion"))
    if not len(table):
        return None
    table = table[table["depth"] == table["depth"].max()]
    table = table[table["seed"] == table["seed"].min()]
    names = [name for name, _ in networks_in(table)]
    rise = (
        table[table["lesion"] == "delete"].groupby("kind")["error"].median()
        - table[table["lesion"] == "none"].groupby("kind")["error"].median()
    )
    title = "Test error with one block left out"
    if set(rise.index) >= {"plain", "residual"} and rise["residual"] < rise["plain"] / 4:
        title = f"Take one block out: the residual network loses {text.number(rise['residual'], 0)} points in the median, the plain one {text.number(rise['plain'], 0)}"
    subtitle = f"{config(table)}, seed {table['seed'].iloc[0]}. Bars start at the intact network's error; black: the first block of a stage, where the map shrinks."
    figure, axes = panels(len(names), shape, title, subtitle, 2.3, sharey=True)
    for axis, (name, rows) in zip(axes, networks_in(table), strict=True):
        intact = rows[rows["lesion"] == "none"]["error"].iloc[0]
        without = rows[rows["lesion"] == "delete"]
        hue = HUES[rows["kind"].iloc[0]]
        shrinks = without["grows"].astype(str) == "True"
        hues = [INK if first else hue for first in shrinks]
        axis.bar(without["block"], without["error"] - intact, bottom=intact, color=hues, width=0.75)
        axis.axhline(intact, color=hue, linewidth=1.6)
        axis.axhline(GUESSING, color=GREY, linewidth=0.9, linestyle=(0, (3, 2)))
        ends = axis.get_yaxis_transform()
        axis.text(1.01, GUESSING, "guessing", transform=ends, va="center", color=GREY, fontsize=8)
        axis.text(
            1.01, intact, f"intact {text.number(intact, 0)} %", transform=ends, va="center", color=hue, fontsize=8
        )
        axis.set(ylim=(0, 100), xlabel="block left out", title=name)
        axis.grid(visible=False)
    axes[0].set_ylabel("test error, %")
    return figure
