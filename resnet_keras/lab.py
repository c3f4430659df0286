"""For notebooks: figures, tables and findings of experiments from the results folder, and pictures of networks at work.

    from resnet_keras import lab
    residual = lab.experiment("residual", scale="short")
    residual.figure()

Nothing is written into the results folder, and nothing is trained unless `train=True`.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from resnet_keras import report
from resnet_keras.experiments.catalogue import experiment as catalogue
from resnet_keras.report import text
from resnet_keras.report.style import png, shade
from resnet_keras.store import Store

# ---------------------------------------------------------------- experiments


def experiment(name: str, scale: str = "short", *, data=None, train: bool = False, store=None, **options) -> Experiment:
    """An experiment of the catalogue at one scale.

    Args:
        name: Such as "degradation".
        scale: "smoke", "short", "medium" or "paper".
        data: A data set's name; None for the one that most of its runs are on.
        train: Whether to train and measure what is missing first.
        store: Default: the default results folder.
        options: For the training, as `resnet_keras.experiments.runner.run` takes them: data_dir, seeds, precision.

    Raises:
        UserError: There is no such experiment, scale or data set.
    """
    store = store or Store()
    if train:
        from resnet_keras.experiments import runner

        runner.run(name, scale=scale, data=data, store=store, **options)
    return Experiment(name, scale, data, store)


class Experiment:
    """The runs of an experiment at one scale; `runs` is a frame of them (`resnet_keras.report.runs`)."""

    def __init__(self, name: str, scale: str, data: str | None, store: Store):
        """Read the results folder."""
        from resnet_keras.report import runs

        self.entry, self.store, self.scale = catalogue(name), store, scale
        self.runs = runs.of_experiment(runs.frame(store), self.entry, scale, data)
        absent = sorted({run.network for run in self.entry.runs(scale)} - set(self.runs["network"]))
        if absent:
            print(f"Not run: {', '.join(map(text.network_title, absent))}. To run: {self.command}")

    @property
    def command(self) -> str:
        """The command line that makes what is missing."""
        return f"resnet-keras run {self.entry.name} --scale {self.scale}"

    def figure(self) -> None:
        """Show the figure, titled by what it shows."""
        figure = report.draw(self.store, self.runs, report.FIGURES.get(self.entry.name, ""))
        if figure is None:
            print(f"These runs make no figure yet. To run: {self.command}")
        else:
            _show(figure)

    def table(self):
        """The table, folded, a row a network: Markdown, which needs no style and no trust."""
        from resnet_keras.report import tables

        return _table(*tables.experiment_table(self.runs, self.entry.measures), "The numbers")

    def finding(self):
        """What the numbers say, in sentences made of them."""
        from IPython.display import Markdown

        return Markdown(text.markdown(report.finding(self.entry, self.runs)))


def gradients_over_time(experiment: Experiment):
    """Show the gradients of the deepest networks with BN, with a slider over the iterations they were measured at."""
    from resnet_keras.report import profiles

    table = profiles.measured(experiment.store, experiment.runs, "gradients")
    table = table[table["batch_norm"] & (table["depth"] == table["depth"].max())]

    def picture(iteration: int) -> bytes:
        figure, (axis,) = _figure(3, f"After {iteration:,} iterations" if iteration else "Before training")
        for name, rows in profiles.by_network(table[table["iteration"] == iteration]):
            norms = rows.groupby("layer")["gradient_norm"].mean()
            axis.plot(norms, color=shade(rows["kind"].iloc[0], rows["depth"].iloc[0]), label=name)
        axis.set(yscale="log", ylim=(1e-4, 1e3), xlabel="layer, from the image on", ylabel="norm of the gradient")
        axis.yaxis.set_major_formatter("{x:,g}")
        axis.legend(frameon=False)
        return _bytes(figure)

    _slider("iteration", sorted(table["iteration"].unique()), picture)


def reproductions(*networks: str):
    """The paper's CIFAR-10 test errors of these networks, in percent, and those of others who repeated it, folded."""
    from resnet_keras.report import paper

    rows = [list(row.values()) for row in paper.reproductions(networks)]
    titles = [*map(text.network_title, networks)]
    return _table(["who", "how reported", *titles], rows, f"Test errors of {titles[0]} to {titles[-1]}")


def imagenet_table(place: str, store: Store | None = None):
    """One of the paper's Tables 2 to 4, such as "Table 2": its errors beside those of our runs, in percent; folded."""
    from resnet_keras.report import paper, runs

    own, rows = runs.frame(store or Store()), []
    own = own[own["data"] == "imagenet2012"]
    for row in paper.imagenet(place):
        mine = own[(own["network"] == row["network"]) & (own["shortcut"] == row["shortcut"])]
        ours = [text.number(mine[f"top{k}_{row['views']}"].mean()) or "not run" for k in (1, 5)]
        rows.append([text.title(row["network"], row["shortcut"]), row["top-1"], ours[0], row["top-5"], ours[1]])
    return _table(
        ["network", "paper, top-1", "ours, top-1", "paper, top-5", "ours, top-5"], rows, f"{place}: errors in percent"
    )


# ---------------------------------------------------------------- networks at work


def watch(run, **options):
    """Train a run, as `trainer.train` does, while its curve grows under the cell; return the run's folder."""
    from IPython.display import Image, display

    from resnet_keras.training.progress import Progress
    from resnet_keras.training.trainer import train

    rows, handle = [], display(Image(_bytes(_curve([], run))), display_id=True)

    class Curve(Progress):
        def row(self, row):
            rows.append(row)
            handle.update(Image(_bytes(_curve(rows, run)), alt="Training and test error so far", width=700))

        def note(self, text):
            """Nothing: the curve says it."""

    return train(run, progress=Curve, **options)


def _curve(rows: list[dict], run):
    figure, (axis,) = _figure(3, text.network_title(run.network))
    color = shade("plain" if run.shortcut == "none" else "residual", run.depth)
    for column, marker, label in (("train_error", "-", "training"), ("test_error", "o", "test")):
        points = [(row["iteration"], row[column]) for row in rows if row[column] is not None]
        axis.plot(*np.reshape(points, (-1, 2)).T, marker, color=color, label=label, clip_on=False)
    axis.set(xlim=(0, run.recipe.iterations), ylim=(0, 100), xlabel="iteration", ylabel="error, %")
    axis.legend(frameon=False)
    return figure


def guesses(trained, *files) -> None:
    """Show what a network (see `predict.find`) makes of six drawings, of a photograph and of your image files."""
    from IPython.display import Image, display

    from resnet_keras.data.images import decode

    named = {"Grace Hopper": photograph(), **{Path(file).stem: file for file in files}}
    views = {name: trained.view(decode(file)) for name, file in named.items()}
    display(Image(_sheet(trained, _drawings(trained) | views, trained.network.predict_on_batch), width=900))


def photograph() -> str:
    """The path of the photograph that comes with matplotlib, of Grace Hopper."""
    from matplotlib import cbook

    return cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def without_block(name: str, store: Store | None = None) -> None:
    """Show what a trained network makes of six drawings, with a slider for the block that is left out."""
    from resnet_keras.evaluation.predict import find

    trained = find(name, store=store)
    from resnet_keras.evaluation import inside

    drawn, chain = _drawings(trained), trained.network.chain()
    places = [chain.index(block) for block in trained.network.blocks]

    def picture(block: int) -> bytes:
        layers = inside.without(chain, places[block - 1]) if block else chain
        return _sheet(trained, drawn, lambda views: inside.logits(trained.network, layers, views))

    _slider("without block", range(len(places) + 1), picture)


def _drawings(trained) -> dict:
    from resnet_keras.evaluation.sheet import DRAWINGS, draw

    return {f"drawn {name}": trained.view(draw(name)) for name in DRAWINGS}


def _sheet(trained, views: dict, logits) -> bytes:
    """A sheet of the three most probable classes of each view; `logits` is a function of all views."""
    from resnet_keras.evaluation.accuracy import softmax
    from resnet_keras.evaluation.predict import Prediction
    from resnet_keras.evaluation.sheet import sheet

    shares = softmax(logits(np.stack(list(views.values()))))
    tops = [[(i, trained.classes[i], row[i]) for i in np.argsort(-row)[:3]] for row in shares]
    return sheet([Prediction(name, view, top) for (name, view), top in zip(views.items(), tops, strict=True)])


def confusion(classes, guesses, labels) -> None:
    """Show what the images of each class were taken for; `guesses` and `labels` are numbers of classes [n]."""
    counts = np.zeros((len(classes), len(classes)), int)  # true class, class it was taken for
    np.add.at(counts, (labels, guesses), 1)
    row, column = np.unravel_index(np.argmax(counts - np.diag(counts.diagonal())), counts.shape)
    finding = f"Most frequent mistake: {classes[row]} taken for {classes[column]}, {counts[row, column]} times"
    figure, (axis,) = _figure(4.4, finding)
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares.round().astype(int)):
        color = "white" if share > 55 else "#333333"
        axis.text(column, row, share or "", ha="center", va="center", color=color, fontsize=8)
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(classes)), classes)
    axis.set(xlabel="taken for, % of the class", ylabel="is")
    _show(figure)


# ---------------------------------------------------------------- what they share


def images(arrays, titles, columns: int, finding: str = "") -> None:
    """Show images [h, w, 3] of values 0 to 255 in rows, each under its title; their sizes are in proportion."""
    rows, widths = -(-len(arrays) // columns), [array.shape[1] for array in arrays[:columns]]
    height = 9 * max(array.shape[0] for array in arrays) / sum(widths)  # inches
    figure, axes = _figure(rows * (height + 0.25), finding, rows, columns, width_ratios=widths)
    for axis, array, title in zip(axes, arrays, titles, strict=False):
        axis.imshow(np.clip(array, 0, 255).astype(np.uint8), interpolation="nearest" if widths[0] < 64 else None)
        axis.set_title(title, fontsize=8)
    for axis in axes:
        axis.set_axis_off()
    _show(figure, "png" if widths[0] < 64 else "jpeg")


def _figure(height: float, finding: str, rows: int = 1, columns: int = 1, **options):
    """A figure nine inches wide with a finding for its title, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure((9, height + 0.4 * bool(finding)), layout="constrained")
    figure.suptitle(finding, x=0.01, ha="left", fontsize=11, fontweight="bold")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bytes(figure, form: str = "png") -> bytes:
    if form == "png":
        return png(figure)
    file = io.BytesIO()
    figure.savefig(file, format=form, dpi=144)
    return file.getvalue()


def _show(figure, form: str = "png") -> None:
    from IPython.display import Image, display

    display(Image(_bytes(figure, form), alt=figure.get_suptitle().replace("\n", " "), width=900))


def _slider(label: str, values, picture) -> None:
    """Show `picture(value)`, a PNG, under a slider; where no kernel runs, the first one as a still picture."""
    import base64

    import ipywidgets
    from IPython.display import display

    slider = ipywidgets.SelectionSlider(options=[(f"{value:,}", value) for value in values], description=label)
    image = ipywidgets.Image(value=picture(slider.value), format="png", width=900)
    slider.observe(lambda change: setattr(image, "value", picture(change["new"])), "value")
    still = {"image/png": base64.b64encode(image.value).decode()}
    display({**ipywidgets.VBox([slider, image])._repr_mimebundle_(), **still}, raw=True)


def _table(headers, rows, summary: str = ""):
    """A Markdown table, folded under its summary where it has one."""
    from IPython.display import Markdown

    from resnet_keras.report.tables import markdown_table

    table = markdown_table(headers, rows)
    return Markdown(f"<details><summary>{summary}</summary>\n\n{table}\n</details>" if summary else table)
