"""For notebooks: an experiment's figure, table and finding, read from the results folder and drawn on the spot.

    from resnet_keras import lab
    residual = lab.experiment("residual", scale="short")
    residual.figure()

Nothing is written into the results folder, and nothing is trained unless `train=True`.
"""

from __future__ import annotations

import typing

from resnet_keras import report
from resnet_keras.experiments.catalogue import experiment as catalogue
from resnet_keras.report import text
from resnet_keras.store import Store


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
        from IPython.display import Image, display

        from resnet_keras.report.style import png

        figure = report.draw(self.store, self.runs, report.FIGURES.get(self.entry.name, ""))
        if figure is None:
            print(f"These runs make no figure yet. To run: {self.command}")
        else:
            display(Image(data=png(figure), alt=figure.get_suptitle().replace("\n", " "), width=900))

    def table(self):
        """The table as Markdown, a row a network: it needs no style and no trust."""
        from resnet_keras.report import tables

        return _shown(tables.of_experiment(self.runs, self.entry.measures))

    def finding(self):
        """What the numbers say, in sentences made of them."""
        from IPython.display import Markdown

        return Markdown(text.markdown(report.finding(self.entry, self.runs)))


def watch(run, **options):
    """Train a run, as `trainer.train` does, while its curve grows under the cell; return the run's folder."""
    from IPython.display import Image, display

    from resnet_keras.report.style import png
    from resnet_keras.training.progress import Progress
    from resnet_keras.training.trainer import train

    handle = display(Image(data=png(_curve([], run))), display_id=True)

    class Curve(Progress):
        rows: typing.ClassVar = []

        def row(self, row):
            self.rows.append(row)
            handle.update(Image(data=png(_curve(self.rows, run)), alt="Training and test error so far", width=700))

        def note(self, text):
            """Nothing: the curve says it."""

    return train(run, progress=Curve, **options)


def _curve(rows: list[dict], run):
    from matplotlib.figure import Figure

    from resnet_keras.report.style import shade
    from resnet_keras.report.text import network_title

    figure = Figure((7, 3), layout="constrained")
    axis, colour = figure.subplots(), shade("plain" if run.shortcut == "none" else "residual", run.depth)
    tested = [row for row in rows if row["test_error"] is not None]
    axis.plot([r["iteration"] for r in rows], [r["train_error"] for r in rows], color=colour, label="training")
    axis.plot([r["iteration"] for r in tested], [r["test_error"] for r in tested], "o", color=colour, label="test")
    axis.set(xlim=(0, run.recipe.iterations), ylim=(0, 100), xlabel="iteration", ylabel="error, %")
    axis.set_title(network_title(run.network), loc="left")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def gradients_over_time(experiment: Experiment):
    """Show the gradients of the deepest networks with BN, with a slider over the iterations they were measured at."""
    from matplotlib.figure import Figure

    from resnet_keras.report import profiles
    from resnet_keras.report.style import png, shade

    table = profiles.measured(experiment.store, experiment.runs, "gradients")
    table = table[table["batch_norm"] & (table["depth"] == table["depth"].max())]

    def picture(iteration: int) -> bytes:
        figure = Figure((8, 3), layout="constrained")
        axis = figure.subplots()
        for name, rows in profiles.by_network(table[table["iteration"] == iteration]):
            norms = rows.groupby("layer")["gradient_norm"].mean()
            axis.plot(norms, color=shade(rows["kind"].iloc[0], rows["depth"].iloc[0]), label=name)
        axis.set(yscale="log", ylim=(1e-4, 1e3), xlabel="layer, from the image on", ylabel="norm of the gradient")
        axis.set_title(f"After {iteration:,} iterations", loc="left")
        axis.legend(frameon=False)
        return png(figure)

    _slider("iteration", sorted(table["iteration"].unique()), picture)


def without_block(name: str, store: Store | None = None) -> None:
    """Show what a trained network makes of six drawings, with a slider for the block that is left out."""
    import numpy as np

    from resnet_keras.quiet import load_keras

    load_keras()
    from resnet_keras.evaluation import inside, predict
    from resnet_keras.evaluation.accuracy import softmax
    from resnet_keras.evaluation.sheet import DRAWINGS, draw, sheet

    trained = predict.find(name, store=store)
    views, chain = np.stack([trained.view(draw(drawing)) for drawing in DRAWINGS]), trained.network.chain()
    places = [chain.index(block) for block in trained.network.blocks]

    def picture(block: int) -> bytes:
        layers = inside.without(chain, places[block - 1]) if block else chain
        shares = softmax(inside.logits(trained.network, layers, views))
        tops = [[(i, trained.classes[i], row[i]) for i in np.argsort(-row)[:3]] for row in shares]
        return sheet([predict.Prediction(f"drawn {d}", v, t) for d, v, t in zip(DRAWINGS, views, tops, strict=True)])

    _slider("without block", range(len(places) + 1), picture)


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


def reproductions(*networks: str):
    """The paper's CIFAR-10 test errors of these networks, in percent, and those of others who repeated it."""
    from resnet_keras.report import paper

    rows = [list(row.values()) for row in paper.reproductions(networks)]
    return _shown((["who", "how reported", *map(text.network_title, networks)], rows))


def imagenet_table(place: str, store: Store | None = None):
    """One of the paper's Tables 2 to 4, such as "Table 2": its errors beside those of our runs, in percent."""
    from resnet_keras.report import paper, runs

    own, rows = runs.frame(store or Store()), []
    own = own[own["data"] == "imagenet2012"]
    for row in paper.imagenet(place):
        mine = own[(own["network"] == row["network"]) & (own["shortcut"] == row["shortcut"])]
        ours = [text.number(mine[f"top{k}_{row['views']}"].mean()) or "not run" for k in (1, 5)]
        rows.append([text.title(row["network"], row["shortcut"]), row["top-1"], ours[0], row["top-5"], ours[1]])
    return _shown((["network", "paper, top-1", "ours, top-1", "paper, top-5", "ours, top-5"], rows))


def _shown(content):
    from IPython.display import Markdown

    from resnet_keras.report.tables import escaped_table

    return Markdown(escaped_table(*content))
