"""For notebooks: figures, tables and findings of experiments from the results folder, and pictures of networks at work.

Nothing is written into the results folder, and nothing is trained unless `train=True`.
"""

import base64
import io
from pathlib import Path

import ipywidgets
import numpy as np
import pandas
import seaborn
from IPython import display as cell
from matplotlib import cbook
from matplotlib.figure import Figure

from resnet_keras import report
from resnet_keras.data.images import decode
from resnet_keras.evaluation import predict
from resnet_keras.experiments import runner
from resnet_keras.experiments.catalogue import experiment
from resnet_keras.report import claims, paper, profiles, runs, style, tables
from resnet_keras.store import Store
from resnet_keras.training.progress import Progress
from resnet_keras.training.trainer import train as train_run

PHOTOGRAPH = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)  # a path; of Grace Hopper, with matplotlib


class Experiment:
    """The runs of an experiment at one scale; `runs` is a frame of them (`resnet_keras.report.runs`).

    `train` trains what is missing first, with other options as `runner.run` takes them; `store` is the results folder;
    `data` names a data set, by default the one that most networks are on.
    """

    def __init__(self, name: str, scale: str = "short", *, data=None, train: bool = False, store=None, **options):
        self.entry, self.store = experiment(name), store or Store()
        self.command = f"resnet-keras run {name} --scale {scale}"
        if train:
            runner.run(name, scale=scale, data=data, store=self.store, **options)
        self.runs = runs.of_experiment(runs.frame(self.store), self.entry, scale, data)
        absent = sorted({run.network for run in self.entry.runs(scale)} - set(self.runs["network"]))
        if absent:
            print(f"Not run: {', '.join(map(style.network_title, absent))}. To run: {self.command}")

    def figure(self) -> None:
        """Show the figure, titled by what it shows."""
        if figure := report.draw_figure(self.store, self.runs, report.FIGURES.get(self.entry.name)):
            return _show(figure)
        print(f"These runs make no figure yet. To run: {self.command}")

    def table(self):
        """The table, folded, a row a network: Markdown, which needs no style and no trust."""
        return _folded("The numbers", *tables.experiment_table(self.runs, self.entry.measures))

    def finding(self):
        """What the numbers say, in sentences made of them."""
        return cell.Markdown(style.markdown(claims.answer(self.entry, self.runs)))


def gradients_over_time(experiment: Experiment):
    """Show the gradients of the deepest networks with BN, with a slider over the iterations they were measured at."""
    table = profiles.measured(experiment.store, experiment.runs, "gradients")
    table = table[table["batch_norm"] & (table["depth"] == table["depth"].max())]

    @style.styled()
    def picture(iteration: int) -> bytes:
        title = f"After {iteration:,} iterations" if iteration else "Before training"
        figure, ((axis, rows),) = style.panels({"": table[table["iteration"] == iteration]}, "wide", title)
        profiles.lines(axis, rows, "gradient_norm")
        axis.set(yscale="log", ylim=(1e-4, 1e3), xlabel="layer, from the image on", ylabel="norm of the gradient")
        axis.yaxis.set_major_formatter("{x:,g}")
        axis.legend()
        return style.png(figure)

    _slider("iteration", sorted(table["iteration"].unique()), picture)


def reproductions(*networks: str):
    """The paper's CIFAR-10 test errors of these networks, in percent, and those of others who repeated it, folded."""
    headers, rows = paper.reproduction_rows(networks)
    return _folded(f"Test errors of {headers[2]} to {headers[-1]}", headers, rows)


def imagenet_table(place: str, store: Store | None = None):
    """One of the paper's Tables 2 to 4, such as "Table 2": its errors beside those of our runs, in percent; folded."""
    own, rows = runs.frame(store or Store()), []
    own = own[own["data"] == "imagenet2012"]
    for (network, shortcut, views), printed in paper.imagenet(place).items():
        mine = own[(own["network"] == network) & (own["shortcut"] == shortcut)]
        top1, top5 = (style.number(mine[f"{k}_{views}"].mean()) or "not run" for k in ("top1", "top5"))
        rows.append([style.title(network, shortcut), printed.get("top1", ""), top1, printed.get("top5", ""), top5])
    headers = ["network", "paper, top-1", "ours, top-1", "paper, top-5", "ours, top-5"]
    return _folded(f"{place}: errors in percent", headers, rows)


def watch(run, **options):
    """Train a run, as `trainer.train` does, while its curve grows under the cell; return the run's folder."""
    rows, handle = [], cell.display(display_id=True)
    look = {"color": style.shade("plain" if run.shortcut == "none" else "residual", run.depth), "clip_on": False}
    axes = {"xlim": (0, run.recipe.iterations), "ylim": (0, 100), "xlabel": "iteration", "ylabel": "error, %"}

    class Curve(Progress):
        @style.styled()
        def row(self, row):
            rows.append([row["iteration"], row["train_error"], row["test_error"]])
            figure, ((axis, _),) = style.panels({"": rows}, "wide", style.network_title(run.network))
            table = pandas.DataFrame(rows, columns=["iteration", "training", "test"], dtype=float)
            table.plot("iteration", ax=axis, style=["-", "o"], **look, **axes)
            axis.grid(visible=False, axis="x")
            handle.update(cell.Image(style.png(figure), alt="Training and test error so far", width=700))

        def note(self, text):
            """Nothing: the curve says it."""

    return train_run(run, progress=Curve, **options)


def guesses(trained, *files) -> None:
    """Show what a network (see `predict.find`) makes of six drawings, of a photograph and of your image files."""
    named = {"Grace Hopper": PHOTOGRAPH, **{Path(file).stem: file for file in files}}
    views = {name: trained.view(decode(file)) for name, file in named.items()}
    cell.display(cell.Image(_sheet(trained, views, trained.network.predict_on_batch), width=900))


def without_block(name: str) -> None:
    """Show what a trained network makes of six drawings, with a slider for the block that is left out."""
    trained = predict.find(name)  # loads Keras without its chatter: before what imports it
    from resnet_keras.evaluation import inside

    chain, blocks = trained.network.chain(), trained.network.blocks

    def picture(number: int) -> bytes:
        layers = inside.without(chain, chain.index(blocks[number - 1])) if number else chain
        return _sheet(trained, {}, lambda views: inside.logits(trained.network, layers, views))

    _slider("without block", range(len(blocks) + 1), picture)


def _sheet(trained, views: dict, logits) -> bytes:
    """A sheet of the most probable classes of six drawings and of these views; `logits` is a function of all views."""
    views = {f"drawn {name}": trained.view(predict.draw(name)) for name in predict.DRAWINGS} | views
    rows = zip(views.items(), logits(np.stack(list(views.values()))), strict=True)
    return predict.sheet([predict.Prediction(*item, predict.most_probable(trained, row)) for item, row in rows])


@style.styled()
def confusion(classes, guesses, labels) -> None:
    """Show what the images of each class were taken for; `guesses` and `labels` are numbers of classes [n]."""
    counts = np.zeros((len(classes), len(classes)), int)  # true class, class it was taken for
    np.add.at(counts, (labels, guesses), 1)
    row, column = np.unravel_index(np.argmax(counts - np.diag(counts.diagonal())), counts.shape)
    finding = f"Most frequent mistake: {classes[row]} taken for {classes[column]}, {counts[row, column]} times"
    shares = (100 * counts / counts.sum(axis=1, keepdims=True)).round().astype(int)
    figure, ((axis, _),) = style.panels({"": shares}, "wide", finding, height=4.4)
    options = {"vmin": 0, "vmax": 100, "cmap": "Blues", "cbar": False, "xticklabels": classes, "yticklabels": classes}
    seaborn.heatmap(shares, annot=np.where(shares, shares, ""), fmt="", ax=axis, **options)
    axis.set(xlabel="taken for, % of the class", ylabel="is")
    _show(figure)


def images(arrays, titles, columns: int, finding: str = "") -> None:
    """Show images [h, w, 3] of values 0 to 255 in rows, each under its title; their sizes are in proportion."""
    rows, widths = -(-len(arrays) // columns), [array.shape[1] for array in arrays[:columns]]
    height = 9 * max(array.shape[0] for array in arrays) / sum(widths)  # inches
    figure = Figure((9, rows * (height + 0.25) + 0.4 * bool(finding)), layout="constrained")
    figure.suptitle(finding, x=0.01, ha="left", fontsize=11, fontweight="bold")
    axes, pixels = figure.subplots(rows, columns, squeeze=False, width_ratios=widths).ravel(), widths[0] < 64
    for axis in axes:
        axis.set_axis_off()
    for axis, array, title in zip(axes, arrays, titles, strict=False):
        axis.imshow(np.clip(array, 0, 255).astype(np.uint8), interpolation="nearest" if pixels else None)
        axis.set_title(title, fontsize=8)
    _show(figure, photographs=not pixels)


def _show(figure, photographs: bool = False) -> None:
    file = io.BytesIO()
    if photographs:
        figure.savefig(file, format="jpeg", dpi=144)
    content = file.getvalue() or style.png(figure)
    cell.display(cell.Image(content, alt=figure.get_suptitle().replace("\n", " "), width=900))


def _slider(label: str, values, picture) -> None:
    """Show `picture(value)`, a PNG, under a slider; where no kernel runs, the first one as a still picture."""
    slider = ipywidgets.SelectionSlider(options=[(f"{value:,}", value) for value in values], description=label)
    image = ipywidgets.Image(value=picture(slider.value), format="png", width=900)
    slider.observe(lambda change: setattr(image, "value", picture(change["new"])), "value")
    still = {"image/png": base64.b64encode(image.value).decode()}
    cell.display({**ipywidgets.VBox([slider, image])._repr_mimebundle_(), **still}, raw=True)


def _folded(summary: str, headers, rows):
    """A Markdown table under its summary."""
    return cell.Markdown(f"<details><summary>{summary}</summary>\n\n{tables.markdown_table(headers, rows)}\n</details>")
