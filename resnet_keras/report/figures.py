"""Figures of errors, drawn from the frame of runs.

Each function takes the store, a frame of runs (`runs.frame`) and a shape, "wide" or "tall", draws the longest runs that
can answer its question, and returns a matplotlib `Figure`, or None where none can.
"""

from __future__ import annotations

import io

from resnet_keras.report import paper, text
from resnet_keras.report.runs import finished, histories
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


def mean_by(runs, *columns: str, metric: str = "test_error"):
    """Means over seeds; the last column becomes the columns of the table."""
    return runs.groupby(list(columns))[metric].mean().unstack()


@styled
def crossing(store, runs, shape: str = "wide"):
    """Error of 56 layers less that of 20: over iterations at rate 0.1, and at the end of schedules of each length."""
    own = usual(runs)
    own = own[own["depth"].isin([20, 56]) & own["data"].str.startswith("cifar10")]
    own = own[own["precision"] == own["precision"].mode().squeeze()] if len(own) else own
    if own["network"].nunique() < 4:
        return None
    ends = {key: pair for key, group in own.groupby(["kind", "iterations"]) if (pair := gap_at_the_end(group))}
    first, last = (f"{round(n, -2):,}" for n in paper.crossings())
    title = (
        f"Too early to tell: in public logs, too, ResNet-56 starts behind; it passes after {first} to {last} iterations"
    )
    if any(gap.mean < 0 for (kind, _), (gap, _) in ends.items() if kind == "residual"):
        title = "ResNet-56 is behind ResNet-20 in short schedules and ahead in long ones"
    small = (
        f"{text.listing(sorted(own['data_title'].unique()))}, the paper's recipe. Left: training error, mean over "
        f"{WINDOW} iterations, a line a seed; grey: public logs, on CIFAR-10 itself. Right: test error, a dot a seed, "
        "open below three seeds; bar: 95 % interval of the difference of the means; cross: the paper, on CIFAR-10."
    )
    headings = ["While the learning rate is 0.1", "At the end of a schedule of this length"]
    figure, (left, right) = panels(headings, shape, title, small, 3.3, sharey=True)
    places = {"plain": (9_000, 34), "a-martyn": (6_900, 5.5), "gluon-cv": (1_100, 1.6)}
    for (source, kind), log in paper.others().query("metric == 'train_error'").groupby(["source", "kind"]):
        gap = (log["error_56"] - log["error_20"]).rolling(5, center=True, min_periods=1).mean()
        left.plot(log["iteration"], gap, color=GREY, linewidth=1, zorder=2)
        note(left, f"{source}, {kind}", places.get(kind, places.get(source)), (0, 0), GREY, fontsize=8)
    for (kind, _), group in own.groupby(["kind", "seed"]):
        if (gap := gap_while_training(store, group)) is not None:
            left.plot(gap, color=HUES[kind], linewidth=1.4, alpha=0.85, zorder=3)
    for (kind, length), (gap, points) in ends.items():
        hue, enough = HUES[kind], gap.n >= ENOUGH
        fill = hue if enough else "white"
        right.plot([length] * len(points), points, "o", color=hue, markersize=5.5, markerfacecolor=fill, zorder=4)
        if enough:
            right.plot([length * 1.12] * 2, gap.interval(), color=hue, linewidth=2, zorder=3)
            right.plot([length * 1.06, length * 1.18], [gap.mean] * 2, color=hue, linewidth=2, zorder=3)
    for kind, networks in (("plain", ("plain56", "plain20", "none")), ("residual", ("resnet56", "resnet20", "A"))):
        deep, shallow = (float(paper.shown("cifar10", name, networks[2]).strip("≈ ")) for name in networks[:2])
        right.plot(64_000, deep - shallow, "x", color=HUES[kind], markersize=9, markeredgewidth=2)
        note(right, kind, (64_000, deep - shallow), (-8, 8), HUES[kind], ha="right", fontweight="bold")
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

    Returns:
        A Series by iteration, a running mean over `WINDOW` iterations in points; None where there is no pair.
    """
    pair = longest(runs, lambda group: group["depth"].nunique() == 2, LENGTH)
    if not len(pair):
        return None
    table = histories(store, pair)
    table = table[table["learning_rate"] == table["learning_rate"].max()]
    errors = table.pivot_table(index="iteration", columns="depth", values="train_error").dropna()
    return (errors[56] - errors[20]).rolling(max(1, round(WINDOW / errors.index[0]))).mean().dropna()


@styled
def depth(store, runs, shape: str = "wide"):
    """Test error over depth, plain and residual, a panel for each length that has several depths of both."""
    own = usual(runs)
    own = own[own["precision"] == own["precision"].mode().squeeze()] if len(own) else own
    lengths = [n for n, group in own.groupby("iterations") if len(varied(group, "depth", "kind")) > 1]
    if not lengths:
        return None
    lengths = lengths[:1] + lengths[1:][-2:]
    own = own[own["iterations"].isin(lengths)]
    rise = {kind: _rise(group) for kind, group in own[own["iterations"] == lengths[-1]].groupby("kind")}
    title = "Test error over depth"
    if rise["plain"] > 3 and rise["residual"] < rise["plain"] / 2:
        title = "Depth breaks a plain network. Shortcuts repair most of it."
    small = f"{setting(own)}. Test error after the last iteration; points are means, dashes single seeds."
    headings = [f"{n:,} iterations, {_seeds(own[own['iterations'] == n])}" for n in lengths]
    figure, axes = panels(headings, shape, title, small, sharey=True)
    for axis, length in zip(axes, lengths, strict=True):
        axis.axhline(GUESSING, color=GREY, linestyle=DASHES, linewidth=0.9)
        axis.text(0.02, GUESSING + 1, "guessing", transform=axis.get_yaxis_transform(), color=GREY, fontsize=8)
        rows = own[own["iterations"] == length]
        for kind, group in rows.groupby("kind"):
            x, means = _over(axis, group, "depth", sorted(rows["depth"].unique()), HUES[kind])
            for place, value in zip(x, means, strict=True):
                note(axis, text.number(value, 0), (place, value), (6, 12 if kind == "plain" else -12), HUES[kind])
            note(axis, kind, (x[-1], means.iloc[-1]), (9, 0), HUES[kind], fontweight="bold")
        axis.set(ylim=(0, 100), xlabel="layers")
    axes[0].set_ylabel("test error, %")
    return figure


def _rise(runs) -> float:
    means = runs.groupby("depth")["test_error"].mean()
    return means.iloc[-1] - means.iloc[0]


def _seeds(runs) -> str:
    counts = sorted(set(runs.groupby("network")["seed"].nunique()))
    return (
        f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'' if counts[0] == 1 else 's'}"
    )


def _over(axis, runs, column: str, order: list, hue, metric: str = "test_error"):
    """Draw an error over the values of a column, as evenly spaced places; return the places and the means."""
    means = runs.groupby(column)[metric].mean()
    x = [order.index(value) for value in means.index]
    axis.plot(x, means, "o-", color=hue, linewidth=2, markersize=6)
    for value, error in zip(runs[column], runs[metric], strict=True):
        axis.plot([order.index(value) - 0.12, order.index(value) + 0.12], [error] * 2, color=hue, linewidth=0.8)
    axis.set_xticks(range(len(order)), [f"{value:,}" for value in order])
    axis.set_xlim(-0.4, len(order) - 0.6)
    return x, means


@styled
def rate(store, runs, shape: str = "wide"):
    """Training and test error over the learning rate, a line a network."""
    own = finished(runs)
    own = own[own["recipe"].str.fullmatch(r"(learning_rate=[\d.]+)?") & own["shortcut"].isin(["A", "none"])]
    own = longest(own, lambda group: varied(group, "learning_rate"))
    if not len(own):
        return None
    rates = sorted(own["learning_rate"].unique())
    means = mean_by(own, "learning_rate", "network", metric="train_error")
    title = "Errors by learning rate"
    if {"resnet20", "resnet56"} <= set(means):
        gaps = (means["resnet56"] - means["resnet20"]).dropna()
        at = {gaps.idxmin(): gaps.min(), gaps.index[-1]: gaps.iloc[-1]}
        words = [f"{text.number(gap, 1, '+')} points at rate {value:g}" for value, gap in at.items()]
        title = f"ResNet-56 less ResNet-20, training error: {text.listing(words)}"
    small = f"{setting(own)}. Points are means, dashes single seeds."
    figure, axes = panels(["Training error", "Test error"], shape, title, small, 2.9, sharey=True)
    for axis, metric in zip(axes, ("train_error", "test_error"), strict=True):
        ends = []
        for name, group in own.groupby("network", sort=False):
            hue = shade(group["kind"].iloc[0], group["depth"].iloc[0])
            _, by_rate = _over(axis, group, "learning_rate", rates, hue, metric)
            ends.append((by_rate.iloc[-1], text.network_title(name), hue))
        axis.set_xlabel("learning rate")
        label_ends(axis, ends, len(rates) - 1)
    axes[0].set_ylabel("error, %")
    return figure


@styled
def curves(store, runs, shape: str = "wide"):
    """Training and test error over iterations, plain and residual networks, seeds thin and their means bold."""
    import seaborn

    own = longest(usual(runs), lambda group: group["network"].nunique() > 3)
    kinds = sorted(own["kind"].unique())
    if not kinds:
        return None
    keep = ["run", "kind", "depth", "network", "iteration"]
    tables = histories(store, own)
    table = tables.melt(keep, ["train_error", "test_error"], "which", "error").dropna(subset="error")
    rise = {kind: _rise(group) for kind, group in own.groupby("kind")}
    title = "Training and test error over iterations"
    if len(rise) == 2 and rise["plain"] > 3 and rise["residual"] < rise["plain"] / 2:
        title = "More layers harm a plain network far more than a residual one"
    small = f"{setting(own)}. Dashed: training error; solid: test error; dotted: the learning rate falls to a tenth."
    figure, axes = panels([f"{kind} networks".capitalize() for kind in kinds], shape, title, small, sharey=True)
    end, first = own["iterations"].iloc[0], tables[tables["run"] == own["run"].iloc[0]]
    for axis, kind in zip(axes, kinds, strict=True):
        axis.set(ylim=(0, min(100, 2.2 * own["test_error"].max())), xlim=(0, end))
        for drop in first["iteration"].shift()[first["learning_rate"].diff() < 0]:
            axis.axvline(drop, color=GREY, linewidth=0.8, linestyle=DOTS, zorder=0)
        ends = []
        for (level, name), group in table[table["kind"] == kind].groupby(["depth", "network"]):
            style = {"style": "which", "dashes": {"train_error": (3, 1.6), "test_error": ""}, "legend": False}
            line = {"data": group, "x": "iteration", "y": "error", "color": shade(kind, level), "ax": axis, **style}
            if group["run"].nunique() > 1:
                seaborn.lineplot(**line, units="run", estimator=None, linewidth=0.6, alpha=0.5)
            seaborn.lineplot(**line, errorbar=None, linewidth=1.7)
            error = own[own["network"] == name]["test_error"].mean()
            ends.append((error, f"{text.network_title(name)}  {text.number(error, 1)}", shade(kind, level)))
        label_ends(axis, ends, end)
        axis.set(xlabel="iteration", ylabel="error, %" if axis is axes[0] else "")
        thousands(axis)
    return figure


@styled
def shortcuts(store, runs, shape: str = "wide"):
    """Test error by shortcut option, a dot a seed, a bar at the mean, a panel a depth."""
    own = finished(runs)
    own = own[(own["recipe"] == "") & own["kind"].isin(list(HUES))]
    own = longest(own, lambda group: varied(group, "shortcut", "depth", 3))
    depths = varied(own, "shortcut", "depth", 3)
    if not depths:
        return None
    own, means = own[own["depth"].isin(depths)], mean_by(own, "depth", "shortcut").loc[depths]
    title = "Test error by shortcut option"
    if "none" in means and means.drop(columns="none").max(axis=1).lt(means["none"]).all():
        title = "Any shortcut beats none; seeds hide what kind it is"
    headings = [f"{level} layers" for level in depths]
    figure, axes = panels(
        headings, shape, title, f"{setting(own)}. A dot is a seed, a bar their mean.", 2.4, sharey=True
    )
    names = {"none": "none", "A": "A", "B": "B", "C": "C"}
    for axis, level in zip(axes, depths, strict=True):
        hues = [HUES["plain" if option == "none" else "residual"] for option in names]
        _dots(axis, own[own["depth"] == level], "shortcut", names, hues)
        axis.set_xlim(0, 100)
    return figure


@styled
def precision(store, runs, shape: str = "wide"):
    """Test error in float32 and in bfloat16, a dot a seed, lines between the runs of a seed, a panel a network."""
    own = longest(usual(runs), lambda group: varied(group, "precision"), LENGTH)
    networks = varied(own, "precision")
    if not networks:
        return None
    own = own[own["network"].isin(networks)]
    means = mean_by(own, "network", "precision").loc[networks]
    gaps = means["bfloat16"] - means["float32"]
    words = [f"{text.number(gap, 1, '+')} points ({text.network_title(name)})" for name, gap in gaps.items()]
    spread = own.groupby(["network", "precision"])["test_error"].agg(lambda errors: errors.max() - errors.min()).min()
    title = f"bfloat16 less float32: {text.listing(words)}{'; seeds differ by more' * bool(gaps.abs().max() < spread)}"
    small = f"{setting(own)}. A dot is a seed, a bar their mean; lines join the two runs of a seed."
    headings = [text.network_title(name) for name in networks]
    figure, axes = panels(headings, shape, title, small, 1.9, sharey=True, sharex=True)
    for axis, name in zip(axes, networks, strict=True):
        group = own[own["network"] == name]
        for _, pair in group.pivot(index="seed", columns="precision", values="test_error").iterrows():
            axis.plot([pair["float32"], pair["bfloat16"]], [0, 1], color=GREY, linewidth=0.7, alpha=0.6)
        _dots(axis, group, "precision", {n: n for n in ("float32", "bfloat16")}, [HUES[group["kind"].iloc[0]]] * 2)
    return figure


def _dots(axis, runs, column: str, names: dict[str, str], hues: list) -> None:
    """Test errors as dots along the x axis, a line for each value of a column, their means as bars."""
    for place, (value, hue) in enumerate(zip(names, hues, strict=True)):
        errors = runs[runs[column] == value]["test_error"]
        if len(errors):
            axis.plot(errors, [place] * len(errors), "o", color=hue, alpha=0.6, markersize=8, markeredgewidth=0)
            axis.plot([errors.mean()] * 2, [place - 0.28, place + 0.28], color=hue, linewidth=2.5)
            words = f"{text.number(errors.mean(), 1)}  ({len(errors)} seed{'s' if len(errors) > 1 else ''})"
            note(axis, words, (errors.max(), place), (8, 0), hue, fontsize=8.5)
    axis.set_yticks(range(len(names)), list(names.values()))
    axis.set(ylim=(len(names) - 0.5, -0.5), xlabel="test error, %")
    axis.grid(visible=False, axis="y")
    axis.grid(axis="x")


@styled
def race(store, runs, frames: int = 40) -> bytes | None:
    """Plain-56 and ResNet-56 over their iterations as an animated GIF; None where either is missing."""
    import matplotlib.figure
    import numpy
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    own = usual(runs)
    own = longest(own[own["depth"] == 56], lambda group: group["kind"].nunique() > 1)
    if not len(own):
        return None
    table, end = histories(store, own[own["seed"] == own["seed"].min()]), own["iterations"].iloc[0]
    figure = matplotlib.figure.Figure(figsize=(6.4, 3.6), dpi=100)
    canvas, axis = FigureCanvasAgg(figure), figure.add_axes((0.11, 0.14, 0.87, 0.76))
    axis.set(xlim=(0, 1.3 * end), ylim=(0, 100), xlabel="iteration", ylabel="training error, %")
    axis.set_title("The same 56 layers, without shortcuts and with them", fontweight="bold")
    thousands(axis, [tick for tick in axis.get_xticks() if tick <= end])
    seaborn.despine(fig=figure)
    words = {"fontweight": "bold", "va": "center"}
    marks = {k: (axis.plot([], [], color=hue)[0], axis.text(0, 0, "", color=hue, **words)) for k, hue in HUES.items()}
    pictures, names = [], {"plain": "plain-56", "residual": "ResNet-56"}
    for number in range(1, frames + 1):
        for kind, (line, label) in marks.items():
            rows = table[(table["kind"] == kind) & (table["iteration"] <= end * number / frames)]
            line.set_data(rows["iteration"], rows["train_error"])
            if len(rows):
                x, y = rows[["iteration", "train_error"]].iloc[-1]
                label.set(x=x + 0.01 * end, y=y, text=f"{names[kind]}  {text.number(y, 0)} %")
        canvas.draw()
        pictures.append(Image.fromarray(numpy.asarray(canvas.buffer_rgba())).convert("RGB").quantize(32))
    file, times = io.BytesIO(), [90] * (frames - 1) + [2500]
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return file.getvalue()
