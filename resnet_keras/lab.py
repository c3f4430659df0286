"""For notebooks: an experiment's figure, table and finding, read from the results folder and drawn on the spot.

    from resnet_keras import lab
    residual = lab.experiment("residual", scale="short")
    residual.figure()

Nothing is written into the results folder, and nothing is trained unless `train=True`.
"""

from __future__ import annotations

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
