"""Figures of errors, drawn by seaborn from the frame of runs; the same bytes every time.

One colour code everywhere: plain networks orange, residual ones blue, deeper ones darker, seeds thin. A title says what
the numbers show. Each function takes the store, a frame of runs (`runs.frame`) and a shape, "wide" for pages and notebooks
or "tall" for phones, and returns a matplotlib `Figure`, or None where the runs cannot answer its question.
"""

from __future__ import annotations

import functools
import io
import math
import textwrap

from resnet_keras.report import paper, text
from resnet_keras.report.runs import finished, histories
from resnet_keras.report.statistics import ENOUGH, difference

PLAIN, RESIDUAL, GREY, INK = "#D55E00", "#0072B2", "#8A8A8A", "#333333"
HUES = {"plain": PLAIN, "residual": RESIDUAL, "vgg": GREY}
STYLE = {
    "font.family": ["DejaVu Sans"],  # it comes with matplotlib: the same letters everywhere
    "font.size": 10,
    "axes.edgecolor": "#B0B0B0",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#ECECEC",
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.bottom": True,
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "axes.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
WIDTHS = {"wide": 9.0, "tall": 4.4}  # inches
GUESSING = 90.0  # percent of ten classes
WINDOW = 391  # iterations: a pass over 50,000 images


def styled(draw):
    """Draw in the project's style, whatever the reader's matplotlibrc says."""

    @functools.wraps(draw)
    def drawn(*arguments, **options):
        import matplotlib.style
        import seaborn

        with matplotlib.style.context(["default", seaborn.axes_style("ticks"), STYLE]):
            return draw(*arguments, **options)

    return drawn


def panels(count: int, shape: str, title: str, subtitle: str, height: float = 3.0, **options):
    """A figure with a finding as its title and `count` axes, beside each other or below each other."""
    import matplotlib.figure
    import seaborn

    columns = count if shape == "wide" else 1
    rows = -(-count // columns)
    size = (WIDTHS[shape], 0.75 + height * rows)
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    widths = (88, 155) if shape == "wide" else (44, 74)
    words = ["\n".join(textwrap.wrap(line, width)) for line, width in zip((title, subtitle), widths, strict=True)]
    figure.suptitle(words[0], x=0.01, ha="left", fontsize=12 if shape == "wide" else 11, fontweight="bold")
    figure.supxlabel(words[1], x=0.01, ha="left", fontsize=8, color=GREY)
    for axis in axes:
        axis.tick_params(length=0)
    seaborn.despine(fig=figure)
    return figure, axes


def colour(kind: str, depth: int) -> tuple:
    """The hue of a kind, lighter for shallow networks and darker for deep ones."""
    import matplotlib.colors

    red, green, blue = matplotlib.colors.to_rgb(HUES.get(kind, GREY))
    place = max(-0.55, min(0.55, 0.5 * math.log(max(depth, 1) / 50)))  # 20 layers light, 56 as it is, 110 dark
    target, share = (1.0, -place) if place < 0 else (0.0, place)
    return tuple(part + (target - part) * share for part in (red, green, blue))


def config(runs) -> str:
    """What the numbers of a figure come from, such as CIFAR-10 (JPEG), 2,000 iterations, bfloat16."""
    lengths = text.listing([f"{n:,}" for n in sorted(runs["iterations"].unique())])
    precisions = text.listing(sorted(runs["precision"].unique()))
    return f"{text.listing(sorted(runs['data_title'].unique()))}, {lengths} iterations, {precisions}"


def thousands(axis, which: str = "x") -> None:
    """Iterations as 2k, 6.4k, 64k along an axis."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    ticks = axis.xaxis if which == "x" else axis.yaxis
    ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"))
    ticks.set_minor_formatter(NullFormatter())


def label_ends(axis, ends: list[tuple[float, str, tuple]], x: float, gap: float = 0.062) -> None:
    """Names at the right ends of lines, moved apart where they would touch: (value, name, colour) each."""
    low, high = axis.get_ylim()
    ends = sorted(ends, key=lambda end: end[0])
    places = [min(max(end[0], low), high) for end in ends]
    for _ in range(200):
        for i in range(len(places) - 1):
            lacking = gap * (high - low) - (places[i + 1] - places[i])
            if lacking > 0:
                places[i], places[i + 1] = places[i] - lacking / 2, places[i + 1] + lacking / 2
    for place, (_, name, hue) in zip(places, ends, strict=True):
        axis.annotate(
            name, (x, place), xytext=(5, 0), textcoords="offset points", va="center", color=hue, fontsize=9,
            fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def usual(runs):
    """The finished runs of the paper's recipe and options on its kind of data, in the precision with the most runs."""
    own = finished(runs)
    own = own[(own["recipe"] == "") & own["shortcut"].isin(["A", "none"]) & own["data"].str.startswith("cifar10")]
    return own[own["precision"] == own["precision"].mode().squeeze()] if len(own) else own


def best(runs, answers, keys=("data", "iterations", "precision")):
    """The longest finished runs of one data set, length and precision that answer a question; none where none do.

    Args:
        runs: A frame of runs.
        answers: (a group of them) -> whether it does.
        keys: What the runs of a group share.
    """
    groups = [group for _, group in finished(runs).groupby(list(keys))]
    groups.sort(key=lambda group: (group["iterations"].iloc[0], len(group)), reverse=True)
    return next((group for group in groups if answers(group)), runs.head(0))


def of_depths(runs, depths=(20, 56)):
    """The plain and residual runs of these depths."""
    return runs[runs["depth"].isin(depths) & runs["kind"].isin(["plain", "residual"])]


@styled
def crossing(store, runs, shape: str = "wide"):
    """Error of 56 layers less that of 20: over iterations at rate 0.1, and at the end of schedules of each length."""
    own = of_depths(usual(runs))
    if own["network"].nunique() < 4:
        return None
    gaps = _gaps_at_the_end(own)
    first, last = (f"{round(n, -2):,}" for n in paper.crossings())
    title = f"Too early to tell: in public logs, too, ResNet-56 starts behind ResNet-20; it passes after {first} to {last} iterations"
    if any(gap.mean < 0 for (kind, _), (gap, _) in gaps.items() if kind == "residual"):
        title = (
            "ResNet-56 is behind ResNet-20 in short schedules and ahead in long ones; plain-56 stays behind plain-20"
        )
    subtitle = (
        f"{text.listing(sorted(own['data_title'].unique()))}, the paper's recipe. Left: training error, mean over the last "
        f"{WINDOW} iterations, a line a seed; grey: public logs, on CIFAR-10 itself. Right: test error, a dot a seed, open below "
        "three seeds; bar: 95 % interval of the difference of the means; cross: the paper, on CIFAR-10."
    )
    figure, (left, right) = panels(2, shape, title, subtitle, 3.3, sharey=True)
    for (source, kind), log in paper.others().query("metric == 'train_error'").groupby(["source", "kind"]):
        gap = (log["error_56"] - log["error_20"]).rolling(5, center=True, min_periods=1).mean().to_numpy()
        left.plot(log["iteration"], gap, color=GREY, linewidth=1, zorder=2)
        place = {
            "plain": (9_000, 30, "left"),
            "residual": (6_900, 5.5, "left") if source == "a-martyn" else (3_800, 1.6, "right"),
        }
        x, y, side = place[kind]
        left.text(
            x, y, f"{source}, {kind}", color=GREY, fontsize=8, ha=side, va="bottom" if kind == "plain" else "center"
        )
    for (kind, _), gap in gaps_while_training(store, own).groupby(["kind", "seed"]):
        left.plot(gap["iteration"], gap["gap"], color=HUES[kind], linewidth=1.4, alpha=0.85, zorder=3)
    for (kind, length), (gap, points) in gaps.items():
        _draw_gap(right, HUES[kind], length, gap, points)
    for kind, network, shortcut in (("plain", "plain", "none"), ("residual", "resnet", "A")):
        keys = [("cifar10", f"{network}{depth}", shortcut, "test_error") for depth in (56, 20)]
        deep, shallow = (float(paper.numbers()[key]["value"]) for key in keys)
        right.plot(64_000, deep - shallow, "x", color=HUES[kind], markersize=9, markeredgewidth=2)
        right.text(64_000, 1.35 * (deep - shallow), kind, color=HUES[kind], fontweight="bold", ha="right", va="center")
    ticks = [-5, -2, 0, 2, 5, 10, 20, 40]
    for axis, heading in ((left, "While the learning rate is 0.1"), (right, "At the end of a schedule of this length")):
        axis.axhline(0, color=INK, linewidth=1.6, zorder=1)
        axis.set(xscale="log", title=heading, xlabel="iterations", ylim=(-8, 60))
        axis.set_yscale("symlog", linthresh=2, linscale=0.6)
        axis.set_yticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
        axis.set_yticks([], minor=True)
    left.set(ylabel="error of 56 layers less 20, points", xlim=(370, 33_000))
    left.text(400, 0.25, "deeper is worse", fontsize=8, va="bottom")
    left.text(400, -0.25, "deeper is better", fontsize=8, va="top")
    for axis, places in (
        (left, [500, 1000, 2000, 5000, 10_000, 30_000]),
        (right, [2000, 4000, 8000, 16_000, 32_000, 64_000]),
    ):
        axis.set_xticks(places)
        axis.set_xticks([], minor=True)
        thousands(axis)
    right.set_xlim(1600, 80_000)
    return figure


def _gaps_at_the_end(runs) -> dict:
    """(kind, length) -> test error of 56 layers less that of 20 as an estimate, and by seed."""
    gaps = {}
    for key, group in runs.groupby(["kind", "iterations"]):
        deep, shallow = (group[group["depth"] == depth].set_index("seed")["test_error"] for depth in (56, 20))
        if len(deep) and len(shallow):
            gaps[key] = difference(list(deep), list(shallow)), list((deep - shallow).dropna())
    return gaps


def _draw_gap(axis, hue: str, length: int, gap, points: list[float]) -> None:
    enough = gap.n >= ENOUGH
    fill = hue if enough else "white"
    axis.plot([length] * len(points), points, "o", color=hue, markersize=5.5, markerfacecolor=fill, zorder=4)
    if enough:
        axis.plot([length * 1.12] * 2, gap.interval(), color=hue, linewidth=2, zorder=3)
        axis.plot([length * 1.06, length * 1.18], [gap.mean] * 2, color=hue, linewidth=2, zorder=3)


def gaps_while_training(store, runs):
    """Training error of 56 layers less that of 20 while the rate is 0.1, by kind and seed: the longest run of each.

    Returns:
        A DataFrame with the columns kind, seed, iteration and gap (points): a running mean over `WINDOW` iterations.
    """
    import pandas

    parts = []
    for (kind, seed), group in runs.groupby(["kind", "seed"]):
        lengths = [length for length, pair in group.groupby("iterations") if pair["depth"].nunique() == 2]
        if not lengths:
            continue
        table = histories(store, group[group["iterations"] == max(lengths)])
        table = table[table["learning_rate"] == table["learning_rate"].max()]
        errors = table.pivot_table(index="iteration", columns="depth", values="train_error").dropna()
        window = max(1, round(WINDOW / errors.index[0]))
        gap = (errors[56] - errors[20]).rolling(window).mean().dropna()
        parts.append(pandas.DataFrame({"kind": kind, "seed": seed, "iteration": gap.index, "gap": gap.to_numpy()}))
    return pandas.concat(parts) if parts else pandas.DataFrame(columns=["kind", "seed", "iteration", "gap"])


@styled
def depth(store, runs, shape: str = "wide"):
    """Test error over depth, plain and residual, a panel for each length that has several depths of both."""
    own = of_depths(usual(runs), (20, 32, 44, 56, 110, 1202))
    depths = own.groupby(["iterations", "kind"])["depth"].nunique().unstack(fill_value=0)
    lengths = [length for length in depths.index if len(depths.columns) == 2 and depths.loc[length].min() > 1]
    if not lengths:
        return None
    lengths = lengths[:1] + lengths[1:][-2:]
    own = own[own["iterations"].isin(lengths)]
    rise = {kind: _rise(group[group["iterations"] == lengths[-1]]) for kind, group in own.groupby("kind")}
    title = "Error over depth"
    if rise["plain"] > 3 and rise["residual"] < rise["plain"] / 2:
        title = "Depth breaks a plain network. Shortcuts repair most of it."
    subtitle = f"{config(own)}. Test error after the last iteration; points are means, dashes single seeds."
    figure, axes = panels(len(lengths), shape, title, subtitle, sharey=True)
    for axis, length in zip(axes, lengths, strict=True):
        group = own[own["iterations"] == length]
        _draw_depths(axis, group)
        seeds = sorted(set(group.groupby("network")["seed"].nunique()))
        counts = (
            f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else "1 seed" if seeds == [1] else f"{seeds[0]} seeds"
        )
        axis.set_title(f"{length:,} iterations, {counts}")
    axes[0].set_ylabel("test error, %")
    return figure


def _rise(group) -> float:
    means = group.groupby("depth")["test_error"].mean()
    return means[means.index.max()] - means[means.index.min()]


def _draw_depths(axis, group) -> None:
    places = {depth: place for place, depth in enumerate(sorted(group["depth"].unique()))}
    axis.axhline(GUESSING, color=GREY, linestyle=(0, (3, 2)), linewidth=0.9)
    axis.text(0.02, GUESSING + 1, "guessing", transform=axis.get_yaxis_transform(), color=GREY, fontsize=8, va="bottom")
    for kind, rows in group.groupby("kind"):
        means, hue = rows.groupby("depth")["test_error"].mean(), HUES[kind]
        x = [places[depth] for depth in means.index]
        axis.plot(x, means, "o-", color=hue, linewidth=2, markersize=6)
        for row in rows.itertuples() if len(rows) > len(means) else ():
            place = places[row.depth]
            axis.plot([place - 0.12, place + 0.12], [row.test_error] * 2, color=hue, linewidth=0.8)
        for place, value in zip(x, means, strict=True):
            side = 12 if kind == "plain" else -12
            axis.annotate(
                text.number(value, 0),
                (place, value),
                xytext=(6, side),
                textcoords="offset points",
                color=hue,
                va="center",
                fontsize=9,
            )
        axis.annotate(
            kind,
            (x[-1], means.iloc[-1]),
            xytext=(9, 0),
            textcoords="offset points",
            color=hue,
            va="center",
            fontweight="bold",
            annotation_clip=False,
        )
    axis.set(ylim=(0, 100), xlabel="layers", xlim=(-0.4, len(places) - 0.6))
    axis.set_xticks(list(places.values()), [f"{depth:,}" for depth in places])


@styled
def curves(store, runs, shape: str = "wide"):
    """Training (dashed) and test error over iterations, plain and residual networks, seeds thin and their means bold."""
    import seaborn

    simple = runs[(runs["recipe"] == "") & runs["shortcut"].isin(["A", "none"])]
    own = best(simple, lambda group: group["network"].nunique() > 3)
    kinds = [kind for kind in ("plain", "residual") if kind in set(own["kind"])]
    if not kinds:
        return None
    table = histories(store, own).melt(
        ["run", "network", "kind", "depth", "shortcut", "iteration"], ["train_error", "test_error"], "which", "error"
    )
    table = table.dropna(subset="error")
    lines = {
        "data": table,
        "x": "iteration",
        "y": "error",
        "style": "which",
        "dashes": {"train_error": (3, 1.6), "test_error": ""},
        "legend": False,
    }
    subtitle = f"{config(own)}. Dashed: training error, with augmentation; solid: test error; dotted lines: the rate falls to a tenth."
    figure, axes = panels(len(kinds), shape, curves_title(own), subtitle, sharey=True)
    for axis, kind in zip(axes, kinds, strict=True):
        axis.set(ylim=(0, min(100, 2.2 * own["test_error"].max())), xlim=(0, own["iterations"].max()))
        ends = []
        for (name, level, shortcut), group in table[table["kind"] == kind].groupby(["network", "depth", "shortcut"]):
            hue = colour(kind, level)
            options = {**lines, "data": group, "color": hue, "ax": axis}
            if group["run"].nunique() > 1:
                seaborn.lineplot(**options, units="run", estimator=None, linewidth=0.6, alpha=0.5)
            seaborn.lineplot(**options, errorbar=None, linewidth=1.7)
            end = group[(group["which"] == "test_error") & (group["iteration"] == group["iteration"].max())][
                "error"
            ].mean()
            ends.append((end, f"{text.title(name, shortcut)}  {text.number(end, 1)}", hue))
        label_ends(axis, ends, own["iterations"].max())
        axis.set(
            xlabel="iteration", ylabel="error, %" if axis is axes[0] else "", title=f"{kind} networks".capitalize()
        )
        thousands(axis)
    _draw_drops(store, own, axes)
    return figure


def curves_title(runs) -> str:
    """What the errors of plain and residual networks of two depths or more show, as a title."""
    means = runs.groupby(["kind", "depth"])["train_error"].mean()
    ends = {kind: (means[kind].iloc[-1], means[kind].iloc[0]) for kind in means.index.levels[0] if len(means[kind]) > 1}
    if {"plain", "residual"} <= set(ends) and ends["plain"][0] > ends["plain"][1] + 3:
        gap, lag = (ends[kind][0] - ends[kind][1] for kind in ("plain", "residual"))
        if lag < gap / 2:
            return "More layers harm a plain network far more than a residual one"
    return "Training and test error over iterations"


def _draw_drops(store, runs, axes) -> None:
    rates = histories(store, runs.head(1))
    for drop in rates["iteration"].shift()[rates["learning_rate"].diff() < 0]:
        for axis in axes:
            axis.axvline(drop, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)


@styled
def shortcuts(store, runs, shape: str = "wide"):
    """Test error by shortcut option, a dot a seed, a bar at the mean, a panel a depth."""
    import seaborn

    simple = runs[(runs["recipe"] == "") & runs["kind"].isin(["plain", "residual"])]
    own = best(simple, lambda group: group.groupby("depth")["shortcut"].nunique().max() > 2)
    options = own.groupby("depth")["shortcut"].nunique()
    depths = [level for level in options.index if options[level] > 2]
    if not depths:
        return None
    names = {"none": "none (plain)", "A": "A  zeros", "B": "B  project where it grows", "C": "C  project everywhere"}
    own = own[own["depth"].isin(depths)].assign(option=lambda f: f["shortcut"].map(names))
    means = own.groupby(["depth", "shortcut"])["test_error"].mean().unstack()
    better = (means.drop(columns="none").max(axis=1) < means["none"]).all() if "none" in means else False
    title = "Any shortcut beats none; seeds hide what kind it is" if better else "Test error by shortcut option"
    figure, axes = panels(
        len(depths), shape, title, f"{config(own)}. A dot is a seed, a bar their mean.", 2.4, sharey=True
    )
    order = [name for key, name in names.items() if key in set(own["shortcut"])]
    for axis, level in zip(axes, depths, strict=True):
        group = own[own["depth"] == level]
        hues = {name: colour("plain" if key == "none" else "residual", 50) for key, name in names.items()}
        seaborn.stripplot(
            group,
            x="test_error",
            y="option",
            hue="option",
            palette=hues,
            order=order,
            size=8,
            alpha=0.6,
            jitter=False,
            ax=axis,
            legend=False,
        )
        for place, name in enumerate(order):
            values = group[group["option"] == name]["test_error"]
            if len(values):
                axis.plot([values.mean()] * 2, [place - 0.28, place + 0.28], color=hues[name], linewidth=2.5)
                words = f"{text.number(values.mean(), 1)}  ({len(values)} seed{'s' * (len(values) > 1)})"
                axis.annotate(
                    words,
                    (values.max(), place),
                    xytext=(8, 0),
                    textcoords="offset points",
                    va="center",
                    color=hues[name],
                    fontsize=8.5,
                    annotation_clip=False,
                )
        axis.set(xlim=(0, 100), xlabel="test error, %", ylabel="", title=f"{level} layers")
        axis.grid(axis="x")
        axis.grid(visible=False, axis="y")
    return figure


@styled
def precision(store, runs, shape: str = "wide"):
    """Test error in float32 and in bfloat16, a pair of dots a seed, a panel a network."""
    simple = runs[(runs["recipe"] == "") & runs["shortcut"].isin(["A", "none"])]
    own = best(simple, lambda group: group.groupby("network")["precision"].nunique().max() > 1, ("data", "iterations"))
    both = own.groupby("network")["precision"].nunique()
    networks = [name for name in dict.fromkeys(own["network"]) if both[name] == 2]
    if not networks:
        return None
    means = own[own["network"].isin(networks)].groupby(["network", "precision"])["test_error"].mean().unstack()
    gaps = [
        f"{means.loc[name, 'bfloat16'] - means.loc[name, 'float32']:+.1f} ({text.network_title(name)})"
        for name in networks
    ]
    title = f"bfloat16 less float32, points: {text.listing(gaps)}; seeds of one precision differ by more"
    spread = (
        own.groupby(["network", "precision"])["test_error"]
        .agg(lambda values: values.max() - values.min())
        .loc[networks]
        .min()
    )
    if (means["bfloat16"] - means["float32"]).abs().max() > spread:
        title = title.partition(";")[0]
    subtitle = f"{config(own)}. A line joins the two runs of a seed; bars are means."
    figure, axes = panels(len(networks), shape, title, subtitle, 2.8, sharey=True)
    for axis, name in zip(axes, networks, strict=True):
        group = own[own["network"] == name]
        hue = HUES[group.iloc[0]["kind"]]
        errors = group.pivot_table(index="seed", columns="precision", values="test_error")
        for _, pair in errors.iterrows():
            axis.plot(
                [0, 1], [pair["float32"], pair["bfloat16"]], "o-", color=hue, alpha=0.55, linewidth=1, markersize=6
            )
        for place, which in enumerate(("float32", "bfloat16")):
            axis.plot([place - 0.12, place + 0.12], [means.loc[name, which]] * 2, color=hue, linewidth=3)
        axis.set_xticks([0, 1], ["float32", "bfloat16"])
        axis.set(xlim=(-0.4, 1.4), title=text.network_title(name), ylabel="test error, %" if axis is axes[0] else "")
    return figure


@styled
def rate(store, runs, shape: str = "wide"):
    """Errors over the learning rate, a line a network, seeds as dots: training error and test error."""
    own = of_depths(finished(runs))
    own = own[own["recipe"].str.fullmatch(r"(learning_rate=[\d.]+)?") & own["data"].str.startswith("cifar10")]
    own = own[(own["precision"] == own["precision"].mode().squeeze()) & (own["scale"] == "short")] if len(own) else own
    if own["learning_rate"].nunique() < 2:
        return None
    means = own.groupby(["network", "learning_rate"])["train_error"].mean().unstack(0)
    best = means.get("resnet56", means.iloc[:, 0]).idxmin()
    title = "Errors by learning rate"
    if {"resnet20", "resnet56", "plain20", "plain56"} <= set(means):
        lag = {at: means.loc[at, "resnet56"] - means.loc[at, "resnet20"] for at in (best, 0.1) if at in means.index}
        title = "ResNet-56 less ResNet-20, training error: " + text.listing(
            [f"{gap:+.1f} points at rate {at:g}" for at, gap in lag.items()]
        )
    figure, axes = panels(2, shape, title, f"{config(own)}. Dots are seeds, lines join their means.", 2.9, sharey=True)
    for axis, (metric, heading) in zip(
        axes, (("train_error", "Training error"), ("test_error", "Test error")), strict=True
    ):
        ends = []
        for name, group in own.groupby("network", sort=False):
            hue, mean = (
                colour(group.iloc[0]["kind"], group.iloc[0]["depth"]),
                group.groupby("learning_rate")[metric].mean(),
            )
            axis.plot(group["learning_rate"], group[metric], "o", color=hue, markersize=4, alpha=0.6)
            axis.plot(mean.index, mean, color=hue, linewidth=1.7)
            ends.append((mean.iloc[-1], text.network_title(name), hue))
        axis.set(xscale="log", xlabel="learning rate", ylabel="error, %" if axis is axes[0] else "", title=heading)
        rates = sorted(own["learning_rate"].unique())
        axis.set_xticks(rates, [f"{value:g}" for value in rates])
        axis.set_xticks([], minor=True)
        label_ends(axis, ends, max(rates))
    return figure


@styled
def race(store, runs, frames: int = 40) -> bytes | None:
    """Plain-56 and ResNet-56 over their iterations as an animated GIF; None where either is missing."""
    import matplotlib.figure
    import numpy
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    own = of_depths(usual(runs), (56,))
    shared = [length for length, group in own.groupby("iterations") if group["kind"].nunique() == 2]
    if not shared:
        return None
    own = own[(own["iterations"] == max(shared)) & (own["seed"] == own["seed"].min())]
    table = histories(store, own)
    figure = matplotlib.figure.Figure(figsize=(6.4, 3.6), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes((0.11, 0.14, 0.87, 0.76))
    axis.set(xlim=(0, 1.3 * max(shared)), ylim=(0, 100), xlabel="iteration", ylabel="training error, %")
    axis.set_title("The same 56 layers, without shortcuts and with them", fontweight="bold")
    axis.set_xticks([tick for tick in axis.get_xticks() if tick <= max(shared)])
    thousands(axis)
    seaborn.despine(fig=figure)
    lines = {
        kind: (
            axis.plot([], [], color=HUES[kind], linewidth=2.2)[0],
            axis.text(0, 0, "", color=HUES[kind], fontweight="bold", va="center"),
        )
        for kind in ("plain", "residual")
    }
    pictures = []
    for number in range(1, frames + 1):
        for kind, (line, label) in lines.items():
            rows = table[(table["kind"] == kind) & (table["iteration"] <= max(shared) * number / frames)]
            line.set_data(rows["iteration"], rows["train_error"])
            if len(rows):
                x, y = rows["iteration"].iloc[-1], rows["train_error"].iloc[-1]
                label.set_position((x + 0.01 * max(shared), y))
                label.set_text(f"{'plain' if kind == 'plain' else 'ResNet'}-56  {text.number(y, 0)} %")
        canvas.draw()
        pictures.append(Image.fromarray(numpy.asarray(canvas.buffer_rgba())).convert("RGB").quantize(32))
    file = io.BytesIO()
    times = [90] * (len(pictures) - 1) + [2500]
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return file.getvalue()


@styled
def png(figure, dpi: int = 160) -> bytes:
    """The figure as PNG in 128 colours: 1,440 pixels wide where it is wide."""
    from PIL import Image

    file, small = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
