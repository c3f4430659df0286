"""What was measured along the layers: responses (Fig. 7), gradients, lesions, the loss around; as in `figures`."""

import pandas

from resnet_keras.report import style
from resnet_keras.report.figures import LENGTH, longest
from resnet_keras.report.runs import commonest, measurements

HIGHEST = 3.0  # on the linear axis of responses, as in Fig. 7; a legend says what is above it
TIMES = {"Before training": 0, "After 16 iterations": 16, "At the end": -1}  # panels of gradients with BN
CONTOURS = (1, 1.5, 2, 3, 5, 10, 100, 1000, 10_000, 100_000)  # nats


def measured(store, runs, name: str):
    """A measurement of the longest runs of which it was taken; twins in the precision in which most seeds have both."""
    drawn = []
    for _, twins in longest(measurements(store, runs, name), len, LENGTH).groupby(["depth", "batch_norm"]):
        precisions = (rows for _, rows in twins.groupby("precision"))
        drawn.append(max(precisions, key=lambda rows: sorted(rows.groupby("seed")["network"].nunique(), reverse=True)))
    return pandas.concat(drawn)


def by_network(table) -> dict:
    """Name, with the precision where there are several -> rows of each network of a table, plain before residual."""
    keys, several = ["kind", "depth", "network", "shortcut", "precision"], table["precision"].nunique() > 1
    return {style.title(*key[2:4]) + f", {key[4]}" * several: rows for key, rows in table.groupby(keys)}


def lines(axis, table, value: str, **options) -> None:
    """A line a network, of the means over seeds of a value along the layers; its label says how many seeds."""
    for name, rows in by_network(table).items():
        color, n = style.shade(*rows[["kind", "depth"]].iloc[0]), rows["seed"].nunique()
        look = {"color": color, "label": f"{name}, n = {n}", "linewidth": 1.6}
        axis.plot(rows.groupby("layer")[value].mean(), **{**look, **options})


def responses(store, runs, shape: str = "wide"):
    """Standard deviation of each 3x3 layer's response, over all images and within one, as the paper's Fig. 7."""
    table = measured(store, runs, "responses")
    ends = table.groupby(["kind", "run"])["std"].median().groupby("kind").agg(["min", "max"])
    words = [f"{kind} {' to '.join(dict.fromkeys(span))}" for kind, *span in ends.map(style.number).itertuples()]
    title = f"Median response of a layer, run by run: {style.listing(words)}"
    small = f"{style.setting(table)}. Std of each 3x3 layer's response, after BN, before ReLU and addition, to images "
    small += "as they are. Lines and title: over all images; dotted, where measured: within the median image; n: seeds."
    parts = {f"{kind.capitalize()} networks": rows for kind, rows in table.groupby("kind")}
    figure, panels = style.panels(parts, shape, title, small, 2.8, sharey=True)
    for axis, own in panels:
        lines(axis, own, "std")
        if "std_image" in own:
            lines(axis, own, "std_image", label="", linestyle=style.DOTS, linewidth=0.9)
        style.level(axis, 1, "gamma's\nstart", style.INK, linestyle=style.DASHES)
        highest = own.groupby(["network", "precision", "layer"])["std"].mean().max()
        above = f"above the axis: up to {style.number(highest, 0)}" if highest > HIGHEST else None
        axis.set(xlabel="3x3 layer (1 = nearest to the image)", ylabel="std of the response", ylim=(0, HIGHEST))
        axis.legend(loc="upper right", title=above, title_fontsize=8, fontsize=8, labelspacing=0.2, handlelength=1.2)
    return figure


def gradients(store, runs, shape: str = "wide"):
    """Norms of the kernels' gradients along the layers: of the deepest networks, and before training without BN."""
    table = measured(store, runs, "gradients")
    table = table.assign(scaled=table["gradient_norm"] * table["weight_norm"])
    with_bn = table[table["batch_norm"] & (table["depth"] == table["depth"].max())]
    times = with_bn["iteration"].where(with_bn["iteration"] != with_bn["iterations"], -1)
    parts = {heading: with_bn[times == time] for heading, time in TIMES.items()}
    parts["No BN, before training"] = without = table[~table["batch_norm"] & (table["iteration"] == 0)]
    parts = {heading: rows for heading, rows in parts.items() if len(rows)}
    title = "Gradients along the layers"
    start = with_bn[(with_bn["iteration"] == 0) & (with_bn["kind"] == "plain")].groupby("layer")["gradient_norm"].mean()
    if len(start) and start.iloc[0] > 10 * start.iloc[-2]:
        title = f"Gradients of plain-{table['depth'].max()} do not vanish at the start: they explode towards the image"
    others = {*without["precision"]} - {*with_bn["precision"]}
    small = style.setting(with_bn) + "".join(f" (without BN {precision})" for precision in others)
    small += ". Norm of each kernel's gradient, layer 1 nearest to the image; dotted: times its own norm; n: seeds."
    figure, panels = style.panels(parts, shape, title, small, 2.7)
    first = panels[0][0]
    for axis, rows in panels:
        if shared := axis is not first and rows["batch_norm"].all():
            axis.sharey(first)
        lines(axis, rows, "gradient_norm")
        lines(axis, rows, "scaled", label="", linestyle=style.DOTS, linewidth=0.9)
        axis.set(xlabel="layer", ylabel="norm of the gradient" * (axis is first))
        style.powers(axis)
        if not shared:
            axis.legend(fontsize=7.5, labelspacing=0.2, handlelength=1.2)
    return figure


def lesion(store, runs, shape: str = "wide"):
    """Test error without each block, as bars from the intact network's: the deepest plain and residual network."""
    table = measured(store, runs, "lesion")
    table = commonest(table[table["depth"] == table["depth"].max()], "seed")
    medians = table.groupby(["kind", "lesion"])["error"].median().unstack()
    rise, networks = medians["delete"] - medians["none"], by_network(table)
    title = "Test error with one block left out"
    if len(rise) > 1:
        plain, residual = networks
        title = f"Without one block {residual} errs by {style.number(rise['residual'], 0)} points more (median), "
        title += f"{plain} by {style.number(rise['plain'], 0)}"
    small = f"{style.setting(table)}, seed {table['seed'].iloc[0]}. Bars start at the intact network's error; "
    small += "black: the first block of a stage, where the map shrinks."
    figure, panels = style.panels(networks, shape, title, small, 2.3, sharey=True)
    for axis, rows in panels:
        without, hue = rows[rows["lesion"] == "delete"], style.HUES[rows["kind"].iloc[0]]
        intact = rows[rows["lesion"] == "none"]["error"].iloc[0]
        hues = [style.INK if grows else hue for grows in without["grows"].astype(str) == "True"]
        axis.bar(without["block"], without["error"] - intact, bottom=intact, color=hues, width=0.75)
        style.level(axis, intact, f"intact {style.number(intact, 0)} %", hue, linewidth=1.6, zorder=3)
        style.level(axis, style.GUESSING, "guessing", linestyle=style.DASHES)
        axis.set(ylim=(0, 100), xlabel="block left out", ylabel="test error, %")
        axis.grid(visible=False)
    return figure


def surface(store, runs, shape: str = "wide"):
    """The loss around trained networks along two random directions, and how far the first kernel's norm was thrown."""
    table, start = (commonest(measured(store, runs, name), "seed") for name in ("surface", "start"))
    networks = by_network(table)
    title, medians = "The loss around trained networks", [rows["cross_entropy"].median() for rows in networks.values()]
    if len(networks) == 2 and medians[1] < medians[0] / 2:
        (plain, residual), numbers = networks, [style.significant(median) for median in medians]
        title = f"{residual} lies in a wide basin, {plain} in a narrow one: median loss {numbers[1]} and {numbers[0]}"
    small = f"{style.setting(table)}, seed {table['seed'].iloc[0]}. Cross-entropy on training images, BN as in "
    small += "testing, along two random directions of each filter's own norm; the network is in the centre."
    parts = {**{f"Loss around {name}": rows for name, rows in networks.items()}, "Norm of the first kernel": start}
    figure, panels = style.panels(parts, shape, title, small, 2.8)
    *around, (last, _) = panels
    for axis, rows in around:
        heights = rows.pivot(index="y", columns="x", values="cross_entropy")
        look = {"cmap": "viridis", "norm": "log", "linewidths": 0.9}
        contours = axis.contour(heights.columns, heights.index, heights, CONTOURS, **look)
        axis.clabel(contours, fontsize=7, fmt="{:,g}".format)
        axis.plot(0, 0, "o", color=style.INK, markersize=3)
        axis.set(aspect="equal", xlabel="direction 1", ylabel="direction 2")
        axis.grid(visible=False)
    for name, rows in by_network(start).items():
        last.plot(rows["iteration"], rows["weight_norm"], color=style.HUES[rows["kind"].iloc[0]], label=name)
    last.set(xlabel="iteration", ylim=(0, None))
    last.legend()
    return figure
