"""Figures of errors: functions of the store, a frame of runs (`runs.frame`) and a shape, "wide" or "tall".

They draw the longest runs that can answer the question, as a matplotlib `Figure`, or raise `Unanswered`.
"""

import pandas
import seaborn

from resnet_keras.errors import UserError
from resnet_keras.report import style
from resnet_keras.report.runs import commonest, finished, histories
from resnet_keras.report.statistics import ENOUGH

LENGTH = ["data", "iterations"]


class Unanswered(UserError):
    """No run can answer the question."""


def usual(runs):
    """The finished runs of the paper's recipe, with the paper's shortcuts."""
    own = finished(runs)
    return own[(own["recipe"] == "") & own["shortcut"].isin(["A", "none"]) & own["kind"].isin(list(style.HUES))]


def longest(runs, answers, keys=(*LENGTH, "precision")):
    """The longest runs that share these columns and for which `answers(runs)` is true, or `Unanswered`."""
    groups = [group for _, group in runs.groupby(list(keys)) if answers(group)]
    if not groups:
        raise Unanswered("no run can answer this question yet")
    return sorted(groups, key=lambda group: (group["iterations"].iloc[0], len(group)))[-1]


def varied(runs, column: str, by: str = "network", least: int = 2) -> list:
    """The networks, or depths, of which these runs have several values of a column."""
    counts = runs.groupby(by, sort=False)[column].nunique()
    return list(counts.index[counts >= least])


def repaired(runs) -> bool:
    """Whether depth harms plain networks, and residual ones by less than half as much, by their test errors."""
    means = runs.groupby(["kind", "depth"])["test_error"].mean()
    rise = {kind: rows.iloc[-1] - rows.iloc[0] for kind, rows in means.groupby("kind")}
    return len(rise) > 1 and rise["plain"] > 3 and rise["residual"] < rise["plain"] / 2


def over(axis, runs, column: str, order: list, hue: str, palette: dict, metric: str = "test_error") -> None:
    """Draw an error over the values of a column, evenly spaced: means as joined points, single seeds as dashes."""
    shared = {"data": runs, "x": column, "y": metric, "hue": hue, "palette": palette, "ax": axis}
    seaborn.stripplot(**shared, order=order, marker="_", size=14, linewidth=0.8, jitter=False, legend=False)
    shared["data"] = runs.assign(**{column: runs[column].map(order.index)})  # so that lines bridge a missing value
    seaborn.lineplot(**shared, errorbar=None, linewidth=2, marker="o", markersize=6, markeredgewidth=0, legend=False)
    axis.set_xlim(-0.4, len(order) - 0.6)


def depth(store, runs, shape: str = "wide"):
    """Test error over depth, plain and residual, a panel for each length that has several depths of both."""
    own = commonest(usual(runs), "precision")
    lengths = [n for n, group in own.groupby("iterations") if len(varied(group, "depth", "kind")) > 1]
    if not lengths:
        raise Unanswered("no length has several depths of both kinds")
    own = own[own["iterations"].isin(lengths[:1] + lengths[1:][-2:])]
    broken = repaired(own[own["iterations"] == lengths[-1]])
    title = "Depth breaks a plain network. Shortcuts repair most of it." if broken else "Test error over depth"
    small = f"{style.setting(own)}. Test error after the last iteration; points are means, dashes single seeds."
    parts = {}
    for n, rows in own.groupby("iterations"):
        counts = rows.groupby("network")["seed"].nunique()
        seeds = " to ".join(map(str, sorted({counts.min(), counts.max()})))
        parts[f"{n:,} iterations, {seeds} seed{'s' * bool(counts.max() > 1)}"] = rows
    figure, panels = style.panels(parts, shape, title, small, sharey=True)
    for axis, rows in panels:
        style.level(axis, style.GUESSING, "guessing", linestyle=style.DASHES)
        order = sorted(rows["depth"].unique())
        over(axis, rows, "depth", order, "kind", style.HUES)
        for kind, errors in rows.groupby("kind"):
            extreme, side = ("max", 1) if kind == "plain" else ("min", -1)
            for level, values in errors.groupby("depth")["test_error"]:
                place, words = (order.index(level), values.agg(extreme)), style.number(values.mean(), 0)
                style.note(axis, words, place, (0, 10 * side), style.HUES[kind], ha="center")
                if level == errors["depth"].min():
                    style.note(axis, kind, place, (0, 22 * side), style.HUES[kind], ha="center", fontweight="bold")
        axis.set(ylim=(0, 100), xlabel="layers", ylabel="test error, %")
    return figure


def rate(store, runs, shape: str = "wide"):
    """Training and test error over the learning rate, a line a network; each rate in its commonest precision."""
    own = finished(runs)
    own = own[own["recipe"].str.fullmatch(r"(learning_rate=[\d.]+)?") & own["shortcut"].isin(["A", "none"])]
    own = longest(own, lambda group: varied(group, "learning_rate"), LENGTH)
    own = own[own["network"].isin(varied(own, "learning_rate"))]
    own = pandas.concat([commonest(rows, "precision") for _, rows in own.groupby("learning_rate")])
    common = own[own["precision"] == own["precision"].iloc[-1]]  # that of the largest rate
    title, rates = "Errors by learning rate", sorted(set(own["learning_rate"]))
    if {"resnet20", "resnet56"} <= set(own["network"]):
        errors = own.pivot_table("train_error", ["learning_rate", "seed"], "network")
        gaps = (errors["resnet56"] - errors["resnet20"]).dropna().groupby("learning_rate").agg(["mean", "size"])
        gaps = gaps[gaps["size"] >= min(ENOUGH, gaps["size"].max())]
        if len(gaps):
            means = [f"{style.number(gap, 1, '+')} at {at:g} ({n})" for at, gap, n in gaps[::-1].itertuples()]
            title = f"ResNet-56 less ResNet-20, points of training error (seeds): {style.listing(means)}"
    small = f"{style.setting(common)}. Points are means, dashes single seeds."
    for which, rows in own.drop(common.index).groupby("precision"):
        small += f" In {which}: at {style.listing([f'{rate:g}' for rate in sorted(rows['learning_rate'].unique())])}."
    parts = {"Training error": "train_error", "Test error": "test_error"}
    figure, panels = style.panels(parts, shape, title, small, 2.9, sharey=True)
    palette = {row.network: style.shade(row.kind, row.depth) for row in own.drop_duplicates("network").itertuples()}
    for axis, metric in panels:
        over(axis, own, "learning_rate", rates, "network", palette, metric)
        last = own[own["learning_rate"] == rates[-1]].groupby("network")[metric].mean()
        style.label_ends(axis, [(last[n], style.network_title(n), palette[n]) for n in last.index], len(rates) - 0.85)
        axis.set(xlabel="learning rate", ylabel="error, %")
    return figure


def curves(store, runs, shape: str = "wide"):
    """Training and test error over iterations, plain and residual networks, seeds thin and their means bold."""
    own = longest(usual(runs), lambda group: group["network"].nunique() > 3)
    tables, end, top = histories(store, own), own["iterations"].iloc[0], min(100, 2.2 * own["test_error"].max())
    keep = ["run", "kind", "depth", "network", "iteration"]
    table = tables.melt(keep, ["train_error", "test_error"], "which", "error").dropna(subset="error")
    title = "Training and test error over iterations"
    if repaired(own):
        title = "More layers harm a plain network far more than a residual one"
    small = f"{style.setting(own)}. Dashed: training error; solid: test error; dotted: the rate falls to a tenth."
    parts = {f"{kind.capitalize()} networks": (kind, rows) for kind, rows in table.groupby("kind")}
    figure, panels = style.panels(parts, shape, title, small, sharey=True)
    first = tables[tables["run"] == own["run"].iloc[0]]
    for axis, (kind, rows) in panels:
        levels = own[own["kind"] == kind].groupby("depth")["test_error"].mean()
        palette = {level: style.shade(kind, level) for level in levels.index}
        line = {"data": rows, "x": "iteration", "y": "error", "hue": "depth", "palette": palette, "ax": axis}
        line |= {"style": "which", "dashes": {"train_error": (3, 1.6), "test_error": ""}, "legend": False}
        seaborn.lineplot(**line, units="run", estimator=None, linewidth=0.6, alpha=0.5)
        seaborn.lineplot(**line, errorbar=None, linewidth=1.7)
        for drop in first["iteration"].shift()[first["learning_rate"].diff() < 0]:
            axis.axvline(drop, color=style.GREY, linewidth=0.8, linestyle=style.DOTS, zorder=0)
        axis.set(xlim=(0, end), ylim=(0, top), xlabel="iteration", ylabel="error, %")
        name = "ResNet" if kind == "residual" else kind
        ends = [(error, f"{name}-{n}  {style.number(error, 1)}", palette[n]) for n, error in levels.items()]
        style.label_ends(axis, ends, end)
        style.thousands(axis)
    return figure


def shortcuts(store, runs, shape: str = "wide"):
    """Test error by shortcut option, a dot a seed, a bar at the mean, a panel a depth."""
    own = finished(runs)
    own = own[(own["recipe"] == "") & own["kind"].isin(list(style.HUES))]
    own = longest(own, lambda group: varied(group, "shortcut", "depth", 3))
    own = own[own["depth"].isin(varied(own, "shortcut", "depth", 3))]
    means = own.groupby(["depth", "shortcut"])["test_error"].mean().unstack()
    title = "Test error by shortcut option"
    if "none" in means and means.drop(columns="none").max(axis=1).lt(means["none"]).all():
        title = "Any shortcut beats none; seeds hide what kind it is"
    parts = {f"{depth} layers": rows for depth, rows in own.groupby("depth", sort=False)}
    return dots(own, parts, "shortcut", ["none", "A", "B", "C"], shape, title, sharex=True)


def precision(store, runs, shape: str = "wide"):
    """Test error in float32 and bfloat16, at the commonest length: a dot a seed, a bar a mean, a panel a network."""
    own = longest(commonest(usual(runs), "iterations"), lambda group: varied(group, "precision"), LENGTH)
    own = own[own["network"].isin(varied(own, "precision"))]
    counted = own.groupby("network").filter(lambda rows: rows["precision"].value_counts().min() >= ENOUGH)
    groups = (counted if len(counted) else own).groupby(["network", "precision"], sort=False)["test_error"]
    gaps = groups.mean().unstack().eval("bfloat16 - float32")
    words = [f"{style.number(gap, 1, '+')} ({style.network_title(name)})" for name, gap in gaps.items()]
    title = f"bfloat16 less float32, points: {style.listing(words)}"
    title += "; seeds overlap" * bool(groups.min().unstack().max(axis=1).le(groups.max().unstack().min(axis=1)).all())
    parts = {style.network_title(name): rows for name, rows in own.groupby("network", sort=False)}
    return dots(own, parts, "precision", ["float32", "bfloat16"], shape, title)


def dots(runs, parts: dict, column: str, order: list[str], shape: str, title: str, **options):
    """Test errors along the x axis, a line for each value of a column, a panel for each part of these runs."""
    small = f"{style.setting(runs)}. A dot is a seed, a bar their mean; in brackets how many."
    figure, panels = style.panels(parts, shape, title, small, 0.8 + 0.4 * len(order), sharey=True, **options)
    for axis, own in panels:
        line = {"data": own, "x": "test_error", "y": column, "hue": "kind", "palette": style.HUES}
        line |= {"order": order, "ax": axis, "legend": False}
        seaborn.stripplot(**line, size=8, alpha=0.6, jitter=False)
        seaborn.pointplot(**line, marker="|", markersize=22, markeredgewidth=2.5, linestyle="", errorbar=None)
        for (value, kind), errors in own.groupby([column, "kind"])["test_error"]:
            words = f"{style.number(errors.mean(), 1)} ({len(errors)})"
            style.note(axis, words, (errors.max(), order.index(value)), (8, 0), style.HUES[kind], fontsize=8.5)
        axis.set(xlabel="test error, %", ylabel="")
        axis.grid(visible=False, axis="y")
        axis.grid(axis="x")
    return figure
