"""Figures of errors, drawn from the frame of runs.

Each function takes the store, a frame of runs (`runs.frame`) and a shape, "wide" or "tall", draws the longest runs that
can answer its question, and returns a matplotlib `Figure`, or None where none can.
"""

from __future__ import annotations

import io

from resnet_keras.report import paper, text
from resnet_keras.report.runs import commonest, finished, histories
from resnet_keras.report.statistics import ENOUGH, difference
from resnet_keras.report.style import (
    DASHES,
    DOTS,
    GREY,
    GUESSING,
    HUES,
    INK,
    label_ends,
    note,
    panels,
    setting,
    shade,
    styled,
    thousands,
)  # fmt: skip

WINDOW = 391  # iterations: a pass over 50,000 images
LENGTH = ["data", "iterations"]
PAIRS = {"plain": ("plain56", "plain20", "none"), "residual": ("resnet56", "resnet20", "A")}
# Where the names of others' curves stand in the figure of the crossing.
NAMED_AT = {"a-martyn plain": (9_000, 34), "a-martyn residual": (6_900, 5.5), "gluon-cv residual": (1_100, 1.6)}


def usual(runs):
    """The finished runs of the paper's recipe, with the paper's shortcuts."""
    own = finished(runs)
    return own[(own["recipe"] == "") & own["shortcut"].isin(["A", "none"]) & own["kind"].isin(list(HUES))]


def longest(runs, answers, keys=(*LENGTH, "precision")):
    """The longest runs that share these columns and answer a question; no runs where none do.

    Args:
        runs: A frame of runs.
        answers: (runs that share the columns) -> whether they do.
        keys: The columns.
    """
    groups = sorted((g for _, g in runs.groupby(list(keys))), key=lambda g: (g["iterations"].iloc[0], len(g)))
    return next(filter(answers, reversed(groups)), runs.head(0))


def varied(runs, column: str, by: str = "network", least: int = 2) -> list:
    """The networks, or depths, of which these runs have several values of a column."""
    counts = runs.groupby(by, sort=False)[column].nunique()
    return list(counts.index[counts >= least])


def rises(runs) -> dict[str, float]:
    """Kind of network -> test error of the deepest less that of the shallowest, points."""
    means = runs.groupby(["kind", "depth"])["test_error"].mean()
    return {kind: rows.iloc[-1] - rows.iloc[0] for kind, rows in means.groupby("kind")}


def repaired(rise: dict[str, float]) -> bool:
    """Whether depth harms plain networks, and residual ones by less than half as much."""
    return len(rise) > 1 and rise["plain"] > 3 and rise["residual"] < rise["plain"] / 2


@styled
def crossing(store, runs, shape: str = "wide"):
    """Error of 56 layers less that of 20: over iterations at rate 0.1, and at the end of schedules of each length."""
    own = usual(runs)
    own = commonest(own[own["depth"].isin([20, 56]) & own["data"].str.startswith("cifar10")], "precision")
    if own["network"].nunique() < 4:
        return None
    ends = {key: pair for key, group in own.groupby(["kind", "iterations"]) if (pair := gap_at_the_end(group))}
    first, last = (f"{round(n, -2):,}" for n in paper.crossings())
    title = f"Too early to tell: in public logs, too, ResNet-56 starts behind; it passes after {first} to {last} "
    title += "iterations"
    if any(gap.mean < 0 for (kind, _), (gap, _) in ends.items() if kind == "residual"):
        title = "ResNet-56 is behind ResNet-20 in short schedules and ahead in long ones"
    small = (
        f"{text.listing(sorted(own['data_title'].unique()))}, the paper's recipe. Left: training error, mean over "
        f"{WINDOW} iterations, a line a seed; grey: public logs, on CIFAR-10 itself. Right: test error, a dot a seed, "
        "open below three seeds; bar: 95 % interval of the difference of the means; cross: the paper, on CIFAR-10."
    )
    headings = ["While the learning rate is 0.1", "At the end of a schedule of this length"]
    figure, (left, right) = panels(headings, shape, title, small, 3.3, sharey=True)
    for (source, kind), log in paper.others().query("metric == 'train_error'").groupby(["source", "kind"]):
        left.plot(log["iteration"], log["gap"], color=GREY, linewidth=1, zorder=2)
        note(left, f"{source}, {kind}", NAMED_AT[f"{source} {kind}"], (0, 0), GREY, fontsize=8)
    for (kind, _), group in own.groupby(["kind", "seed"]):
        left.plot(gap_while_training(store, group), color=HUES[kind], linewidth=1.4, alpha=0.85, zorder=3)
    for (kind, length), (gap, points) in ends.items():
        fill = HUES[kind] if gap.n >= ENOUGH else "white"
        right.plot([length] * len(points), points, "o", color=HUES[kind], markersize=5.5, markerfacecolor=fill)
        if gap.n >= ENOUGH:
            reach = gap.interval()[1] - gap.mean
            right.errorbar(length * 1.12, gap.mean, reach, fmt="_", color=HUES[kind], linewidth=2, markersize=8)
    for kind, (deep, shallow, option) in PAIRS.items():
        gap = float.__sub__(*(float(paper.shown("cifar10", name, option).strip("≈ ")) for name in (deep, shallow)))
        right.plot(64_000, gap, "x", color=HUES[kind], markersize=9, markeredgewidth=2)
        note(right, kind, (64_000, gap), (-8, 8), HUES[kind], ha="right", fontweight="bold")
    for axis in (left, right):
        axis.axhline(0, color=INK, linewidth=1.6, zorder=1)
        axis.set(xscale="log", xlabel="iterations", ylim=(-8, 60))
        axis.set_yscale("symlog", linthresh=2, linscale=0.6)
        axis.set_yticks([-5, -2, 0, 2, 5, 10, 20, 40], ["-5", "-2", "0", "+2", "+5", "+10", "+20", "+40"])
        axis.set_yticks([], minor=True)
    note(left, "deeper is worse", (400, 0), (0, 7), INK, fontsize=8)
    note(left, "deeper is better", (400, 0), (0, -7), INK, fontsize=8)
    left.set(ylabel="error of 56 layers less 20, points", xlim=(370, 33_000))
    right.set_xlim(1600, 80_000)
    thousands(left, [500, 1000, 2000, 5000, 10_000, 30_000])
    thousands(right, [2000, 4000, 8000, 16_000, 32_000, 64_000])
    return figure


def gap_at_the_end(runs):
    """(Test error of 56 layers less that of 20 as an estimate, that of each shared seed); None without either."""
    deep, shallow = (runs[runs["depth"] == depth].set_index("seed")["test_error"] for depth in (56, 20))
    return (difference(deep, shallow), list((deep - shallow).dropna())) if len(deep) and len(shallow) else None


def gap_while_training(store, runs):
    """Training error of 56 layers less that of 20 while the rate is highest, of the longest pair of one seed.

    A Series by iteration, a running mean over `WINDOW` iterations in points; empty where there is no pair.
    """
    table = histories(store, longest(runs, lambda group: group["depth"].nunique() == 2, LENGTH))
    table = table[table["learning_rate"] == table["learning_rate"].max()]
    errors = table.pivot_table(index="iteration", columns="depth", values="train_error").dropna()
    if not len(errors):
        return errors
    return (errors[56] - errors[20]).rolling(max(1, round(WINDOW / errors.index[0]))).mean().dropna()


def over(axis, runs, column: str, order: list, hue: str, palette: dict, metric: str = "test_error") -> None:
    """Draw an error over the values of a column, evenly spaced: means as joined points, single seeds as dashes."""
    import seaborn

    shared = {"data": runs, "x": column, "y": metric, "hue": hue, "palette": palette, "order": order, "ax": axis}
    seaborn.stripplot(**shared, marker="_", size=14, linewidth=0.8, jitter=False, legend=False)
    seaborn.pointplot(**shared, errorbar=None, linewidth=2, markersize=6, legend=False)
    axis.set_xlim(-0.4, len(order) - 0.6)


@styled
def depth(store, runs, shape: str = "wide"):
    """Test error over depth, plain and residual, a panel for each length that has several depths of both."""
    own = commonest(usual(runs), "precision")
    lengths = [n for n, group in own.groupby("iterations") if len(varied(group, "depth", "kind")) > 1]
    if not lengths:
        return None
    lengths = lengths[:1] + lengths[1:][-2:]
    own = own[own["iterations"].isin(lengths)]
    title = "Test error over depth"
    if repaired(rises(own[own["iterations"] == lengths[-1]])):
        title = "Depth breaks a plain network. Shortcuts repair most of it."
    small = f"{setting(own)}. Test error after the last iteration; points are means, dashes single seeds."
    groups = [own[own["iterations"] == n] for n in lengths]
    headings = [f"{n:,} iterations, {_seeds(rows)}" for n, rows in zip(lengths, groups, strict=True)]
    figure, axes = panels(headings, shape, title, small, sharey=True)
    for axis, rows in zip(axes, groups, strict=True):
        axis.axhline(GUESSING, color=GREY, linestyle=DASHES, linewidth=0.9)
        axis.text(0.02, GUESSING + 1, "guessing", transform=axis.get_yaxis_transform(), color=GREY, fontsize=8)
        order = sorted(rows["depth"].unique())
        over(axis, rows, "depth", order, "kind", HUES)
        for kind, errors in rows.groupby("kind"):
            extreme, side = ("max", 1) if kind == "plain" else ("min", -1)
            for level, values in errors.groupby("depth")["test_error"]:
                place, words = (order.index(level), values.agg(extreme)), text.number(values.mean(), 0)
                note(axis, words, place, (0, 10 * side), HUES[kind], ha="center")
                if level == errors["depth"].min():
                    note(axis, kind, place, (0, 22 * side), HUES[kind], ha="center", fontweight="bold")
        axis.set(ylim=(0, 100), xlabel="layers", ylabel="test error, %")
    return figure


def _seeds(runs) -> str:
    counts = sorted(set(runs.groupby("network")["seed"].nunique()))
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) + f" seed{'s' * (counts[-1] > 1)}"


@styled
def rate(store, runs, shape: str = "wide"):
    """Training and test error over the learning rate, a line a network."""
    own = finished(runs)
    own = own[own["recipe"].str.fullmatch(r"(learning_rate=[\d.]+)?") & own["shortcut"].isin(["A", "none"])]
    own = longest(own, lambda group: varied(group, "learning_rate"))
    own = own[own["network"].isin(varied(own, "learning_rate"))]
    if not len(own):
        return None
    means = own.groupby(["learning_rate", "network"])["train_error"].mean().unstack()
    title = "Errors by learning rate"
    if {"resnet20", "resnet56"} <= set(means):
        gaps = (means["resnet56"] - means["resnet20"]).dropna()
        words = [
            f"{text.number(gaps[rate], 1, '+')} points at rate {rate:g}" for rate in {gaps.idxmin(), gaps.index[-1]}
        ]
        title = f"ResNet-56 less ResNet-20, training error: {text.listing(sorted(words))}"
    small = f"{setting(own)}. Points are means, dashes single seeds."
    figure, axes = panels(["Training error", "Test error"], shape, title, small, 2.9, sharey=True)
    networks = own.drop_duplicates("network").set_index("network")
    palette = {name: shade(row["kind"], row["depth"]) for name, row in networks.iterrows()}
    for axis, metric in zip(axes, ("train_error", "test_error"), strict=True):
        over(axis, own, "learning_rate", list(means.index), "network", palette, metric)
        last = own[own["learning_rate"] == means.index[-1]].groupby("network")[metric].mean()
        label_ends(axis, [(last[n], text.network_title(n), palette[n]) for n in last.index], len(means) - 1)
        axis.set(xlabel="learning rate", ylabel="error, %")
    return figure


@styled
def curves(store, runs, shape: str = "wide"):
    """Training and test error over iterations, plain and residual networks, seeds thin and their means bold."""
    import seaborn

    own = longest(usual(runs), lambda group: group["network"].nunique() > 3)
    if not len(own):
        return None
    kinds, end = sorted(own["kind"].unique()), own["iterations"].iloc[0]
    tables = histories(store, own)
    keep = ["run", "kind", "depth", "network", "iteration"]
    table = tables.melt(keep, ["train_error", "test_error"], "which", "error").dropna(subset="error")
    title = "Training and test error over iterations"
    if repaired(rises(own)):
        title = "More layers harm a plain network far more than a residual one"
    small = f"{setting(own)}. Dashed: training error; solid: test error; dotted: the learning rate falls to a tenth."
    figure, axes = panels([f"{kind} networks".capitalize() for kind in kinds], shape, title, small, sharey=True)
    first = tables[tables["run"] == own["run"].iloc[0]]
    for axis, kind in zip(axes, kinds, strict=True):
        rows, ends = table[table["kind"] == kind], []
        levels = own[own["kind"] == kind].groupby("depth")["test_error"].mean()
        palette = {level: shade(kind, level) for level in levels.index}
        style = {"style": "which", "dashes": {"train_error": (3, 1.6), "test_error": ""}, "legend": False, "ax": axis}
        line = {"data": rows, "x": "iteration", "y": "error", "hue": "depth", "palette": palette, **style}
        seaborn.lineplot(**line, units="run", estimator=None, linewidth=0.6, alpha=0.5)
        seaborn.lineplot(**line, errorbar=None, linewidth=1.7)
        for drop in first["iteration"].shift()[first["learning_rate"].diff() < 0]:
            axis.axvline(drop, color=GREY, linewidth=0.8, linestyle=DOTS, zorder=0)
        axis.set(
            ylim=(0, min(100, 2.2 * own["test_error"].max())), xlim=(0, end), xlabel="iteration", ylabel="error, %"
        )
        name = "ResNet" if kind == "residual" else kind
        ends = [(error, f"{name}-{n}  {text.number(error, 1)}", palette[n]) for n, error in levels.items()]
        label_ends(axis, ends, end)
        thousands(axis)
    return figure


@styled
def shortcuts(store, runs, shape: str = "wide"):
    """Test error by shortcut option, a dot a seed, a bar at the mean, a panel a depth."""
    own = finished(runs)
    own = own[(own["recipe"] == "") & own["kind"].isin(list(HUES))]
    own = longest(own, lambda group: varied(group, "shortcut", "depth", 3))
    own = own[own["depth"].isin(varied(own, "shortcut", "depth", 3))]
    if not len(own):
        return None
    means = own.groupby(["depth", "shortcut"])["test_error"].mean().unstack()
    title = "Test error by shortcut option"
    if "none" in means and means.drop(columns="none").max(axis=1).lt(means["none"]).all():
        title = "Any shortcut beats none; seeds hide what kind it is"
    return dots(
        own.assign(panel=own["depth"].map("{} layers".format)), "shortcut", ["none", "A", "B", "C"], shape, title
    )


@styled
def precision(store, runs, shape: str = "wide"):
    """Test error in float32 and in bfloat16, a dot a seed, a bar at the mean, a panel a network."""
    own = longest(usual(runs), lambda group: varied(group, "precision"), LENGTH)
    own = own[own["network"].isin(varied(own, "precision"))]
    if not len(own):
        return None
    groups = own.groupby(["network", "precision"], sort=False)["test_error"]
    means = groups.mean().unstack()
    gaps = means["bfloat16"] - means["float32"]
    words = [f"{text.number(gap, 1, '+')} points ({text.network_title(name)})" for name, gap in gaps.items()]
    title = f"bfloat16 less float32: {text.listing(words)}"
    title += "; seeds differ by more" * bool(gaps.abs().max() < (groups.max() - groups.min()).min())
    own = own.assign(panel=own["network"].map(text.network_title))
    return dots(own, "precision", ["float32", "bfloat16"], shape, title)


def dots(runs, column: str, order: list[str], shape: str, title: str):
    """Test errors along the x axis, a line for each value of a column, a panel for each value of `panel`."""
    import seaborn

    names = list(runs["panel"].unique())
    small = f"{setting(runs)}. A dot is a seed, a bar their mean."
    height = 0.8 + 0.4 * len(order)
    figure, axes = panels(names, shape, title, small, height, sharey=True, sharex=True)
    for axis, name in zip(axes, names, strict=True):
        own = runs[runs["panel"] == name]
        line = {"data": own, "x": "test_error", "y": column, "hue": "kind", "palette": HUES, "order": order, "ax": axis}
        seaborn.stripplot(**line, size=8, alpha=0.6, jitter=False, legend=False)
        seaborn.pointplot(
            **line, marker="|", markersize=22, markeredgewidth=2.5, linestyle="", errorbar=None, legend=False
        )
        for (value, kind), errors in own.groupby([column, "kind"])["test_error"]:
            words = f"{text.number(errors.mean(), 1)}  ({len(errors)} seed{'s' * (len(errors) > 1)})"
            note(axis, words, (errors.max(), order.index(value)), (8, 0), HUES[kind], fontsize=8.5)
        axis.set(xlabel="test error, %", ylabel="")
        axis.grid(visible=False, axis="y")
        axis.grid(axis="x")
    return figure


@styled
def race(store, runs, frames: int = 40) -> bytes | None:
    """Plain-56 and ResNet-56 over their iterations as an animated GIF; None where either is missing."""
    import numpy
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    own = usual(runs)
    own = longest(own[own["depth"] == 56], lambda group: group["kind"].nunique() > 1)
    if not len(own):
        return None
    table, end = histories(store, own[own["seed"] == own["seed"].min()]), own["iterations"].iloc[0]
    figure = Figure((6.4, 3.6), dpi=100)
    canvas, axis = FigureCanvasAgg(figure), figure.add_axes((0.11, 0.14, 0.87, 0.76))
    axis.set(xlim=(0, 1.3 * end), ylim=(0, 100), xlabel="iteration", ylabel="training error, %")
    axis.set_title("The same 56 layers, without shortcuts and with them", fontweight="bold")
    thousands(axis, [tick for tick in axis.get_xticks() if tick <= end])
    pictures, names = [], {"plain": "plain-56", "residual": "ResNet-56"}
    for number in range(1, frames + 1):
        for kind, rows in table[table["iteration"] <= end * number / frames].groupby("kind"):
            x, y = rows[["iteration", "train_error"]].iloc[-1]
            axis.plot(rows["iteration"], rows["train_error"], color=HUES[kind])
            note(axis, f"{names[kind]}  {text.number(y, 0)} %", (x, y), (6, 0), HUES[kind], fontweight="bold")
        canvas.draw()
        pictures.append(Image.fromarray(numpy.asarray(canvas.buffer_rgba())).convert("RGB").quantize(32))
        for mark in (*axis.lines, *axis.texts):
            mark.remove()
    file, times = io.BytesIO(), [90] * (frames - 1) + [2500]
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return file.getvalue()
