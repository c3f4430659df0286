"""Networks of 56 layers over their iterations: against those of 20, and plain against residual; as in `figures`."""

import io

import numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from resnet_keras.report import paper, style
from resnet_keras.report.figures import LENGTH, Unanswered, longest, usual
from resnet_keras.report.runs import commonest, histories
from resnet_keras.report.statistics import ENOUGH, difference
from resnet_keras.report.style import GREY, HUES, INK, note, panels, thousands

WINDOW = 391  # iterations: a pass over 50,000 images
# Where the names of others' curves stand.
NAMED_AT = {"a-martyn plain": (9_000, 34), "a-martyn residual": (6_900, 5.5), "gluon-cv residual": (1_100, 1.6)}
POINTS = {-5: "-5", -2: "-2", 0: "0", 2: "+2", 5: "+5", 10: "+10", 20: "+20", 40: "+40"}


def pairs(runs):
    """The finished runs of 20 and of 56 layers on CIFAR-10, of the paper's recipe and in one precision."""
    own = usual(runs)
    return commonest(own[own["depth"].isin([20, 56]) & own["data"].str.startswith("cifar10")], "precision")


def gaps(runs) -> dict[tuple[str, int], tuple]:
    """(Kind, length) -> test error of 56 layers less that of 20: as an estimate, and of each seed that both have."""
    differences = {}
    for key, group in pairs(runs).groupby(["kind", "iterations"]):
        deep, shallow = (group[group["depth"] == depth].set_index("seed")["test_error"] for depth in (56, 20))
        if len(deep) and len(shallow):
            differences[key] = difference(deep, shallow), (deep - shallow).dropna()
    return differences


def gap_while_training(store, runs):
    """A running mean of the training error of 56 layers less that of 20, in points, while the rate is highest."""
    table = histories(store, longest(runs, lambda group: group["depth"].nunique() == 2, LENGTH))
    table = table[table["learning_rate"] == table["learning_rate"].max()]
    errors = table.pivot_table(index="iteration", columns="depth", values="train_error").dropna()
    return (errors[56] - errors[20]).rolling(max(1, round(WINDOW / errors.index[0]))).mean().dropna()


def crossing(store, runs, shape: str = "wide"):
    """Error of 56 layers less that of 20: over iterations at rate 0.1, and at the end of schedules of each length."""
    own, ends = pairs(runs), gaps(runs)
    if own["network"].nunique() < 4:
        raise Unanswered("20 and 56 layers of both kinds are needed")
    title = "Too early to tell: in public logs, too, ResNet-56 starts behind; it first passes after "
    title += "{:,} to {:,} iterations".format(*(round(n, -2) for n in paper.crossings()))
    if any(gap.mean < 0 for (kind, _), (gap, _) in ends.items() if kind == "residual"):
        title = "ResNet-56 is behind ResNet-20 in short schedules and ahead in long ones"
    data = f"{style.listing(sorted(own['data_title'].unique()))}, {own['precision'].iloc[0]}"
    small = f"{data}, the paper's recipe. Left: training error, mean over {WINDOW} iterations, a line a seed; grey: "
    small += "public logs, on CIFAR-10 itself. Right: test error, a dot a seed, open below three seeds; bar: 95 % "
    small += "interval of the difference of the means; cross: the paper, on CIFAR-10."
    headings = dict.fromkeys(["While the learning rate is 0.1", "At the end of a schedule of this length"])
    figure, ((left, _), (right, _)) = panels(headings, shape, title, small, 3.3, sharey=True)
    for (source, kind), log in paper.others().query("metric == 'train_error'").groupby(["source", "kind"]):
        left.plot(log["iteration"], log["gap"], color=GREY, linewidth=1, zorder=2)
        note(left, f"{source}, {kind}", NAMED_AT[f"{source} {kind}"], (0, 0), GREY, fontsize=8)
    both = own.groupby([*LENGTH, "kind", "seed"]).filter(lambda rows: rows["depth"].nunique() == 2)
    for (kind, _), group in both.groupby(["kind", "seed"]):
        left.plot(gap_while_training(store, group), color=HUES[kind], linewidth=1.4, alpha=0.85, zorder=3)
    for (kind, length), (gap, points) in ends.items():
        hue, enough = HUES[kind], gap.n >= ENOUGH
        right.plot([length] * len(points), points, "o", color=hue, mfc=hue if enough else "white", markersize=5.5)
        if enough:
            reach = gap.interval()[1] - gap.mean
            right.errorbar(length * 1.12, gap.mean, reach, fmt="_", color=hue, linewidth=2, markersize=8)
    for kind, name, option in (("plain", "plain", "none"), ("residual", "resnet", "A")):
        deep, shallow = (float(paper.shown("cifar10", f"{name}{n}", option).strip("≈ ")) for n in (56, 20))
        right.plot(64_000, deep - shallow, "x", color=HUES[kind], markersize=9, markeredgewidth=2)
        note(right, kind, (64_000, deep - shallow), (-8, 8), HUES[kind], ha="right", fontweight="bold")
    for axis in (left, right):
        axis.axhline(0, color=INK, linewidth=1.6, zorder=1)
        axis.set(xscale="log", xlabel="iterations", ylim=(-8, 60))
        axis.set_yscale("symlog", linthresh=2, linscale=0.6)
        axis.set_yticks(list(POINTS), list(POINTS.values()))
        axis.set_yticks([], minor=True)
    note(left, "deeper is worse", (400, 0), (0, 7), INK, fontsize=8)
    note(left, "deeper is better", (400, 0), (0, -7), INK, fontsize=8)
    left.set(ylabel="error of 56 layers less 20, points", xlim=(370, 33_000))
    right.set_xlim(1600, 80_000)
    thousands(left, [500, 1000, 2000, 5000, 10_000, 30_000])
    thousands(right, [2000, 4000, 8000, 16_000, 32_000, 64_000])
    return figure


def race(store, runs, frames: int = 40) -> bytes:
    """Plain-56 and ResNet-56 over their iterations as an animated GIF."""
    own = usual(runs)
    own = longest(own[own["depth"] == 56], lambda group: group["kind"].nunique() > 1)
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
            note(axis, f"{names[kind]}  {style.number(y, 0)} %", (x, y), (6, 0), HUES[kind], fontweight="bold")
        canvas.draw()
        pictures.append(Image.fromarray(numpy.asarray(canvas.buffer_rgba())).convert("RGB").quantize(32))
        for mark in (*axis.lines, *axis.texts):
            mark.remove()
    file, times = io.BytesIO(), [90] * (frames - 1) + [2500]
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return file.getvalue()
