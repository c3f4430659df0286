"""What the command line shows of its own: lists, tables and marks. All of it fits 80 columns."""

import os
import sys
from collections.abc import Iterable
from os.path import relpath

import rich.box
from cyclopts import CycloptsError
from rich.console import Console
from rich.table import Column, Table

import resnet_keras
from resnet_keras import report
from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.models.catalogue import architecture
from resnet_keras.report.style import number, plain, title
from resnet_keras.store import Store
from resnet_keras.training.recipe import PRESETS


def show(*renderables) -> None:
    """Print texts and tables, wrapped at words to the terminal's width; $NO_COLOR and $TERM decide about colour."""
    Console(highlight=False, markup=False, emoji=False).print(*renderables, sep="\n")


def show_error(message: str) -> None:
    """Print one line to standard error; names in it may be anybody's."""
    print(f"resnet-keras: {plain(message)}", file=sys.stderr)


def explained(error: Exception, words: list[str]) -> str:
    """What to say of an error that ends a command of these words."""
    if isinstance(error, UnicodeEncodeError):
        return "a name holds bytes that are no UTF-8 text: rename the file or folder."
    if isinstance(error, CycloptsError):
        files = [word for word in words if word.startswith("-") and os.path.isfile(word)]
        return str(error) + (f" The file {files[0]} is meant? Write ./{files[0]}" if files else "")
    return f"{error}: install it, or `make` once more." if isinstance(error, ImportError) else str(error)


def plain_table(heading: str, headers: list[str], rows: Iterable) -> Table:
    """A table without a frame; its first column is never broken, the others are set to the right."""
    table = Table(title=heading, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, show_edge=False)
    for header in headers:
        first = not table.columns
        table.add_column(header, justify="left" if first else "right", no_wrap=first, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def two_columns(rows: Iterable[tuple]) -> Table:
    """Two columns, a name and what is said of it, which wraps below itself."""
    grid = Table.grid(Column(style="bold", no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for row in rows:
        grid.add_row(*row)
    return grid


def overview(store: Store) -> Table:
    """Networks, experiments, scales and how many runs the results folder holds, in at most 20 lines."""
    names = resnet_keras.names()
    cifar = [name for name in names if architecture(name).family == "cifar"]
    rows = [
        ("networks", f"{cifar[0]} to {cifar[-1]}, any depth 6n+2; {', '.join(names[len(cifar) :])}"),
        ("bundled", ", ".join(plain(folder.name) for folder in store.models()) or "none"),
        *((f"  {each.name}", each.title) for each in EXPERIMENTS.values()),
        ("scales", ", ".join(f"{name} {recipe.iterations:,}" for name, recipe in PRESETS.items()) + " iterations"),
        ("runs", f"{len(store.runs())} here: resnet-keras list runs"),
    ]
    return two_columns(rows)


def runs_tables(runs) -> list:
    """A table of each length, scale, data set and precision of a frame of runs: a row a run."""
    headers, tables = ["run", "recipe", "train %", "test %", "weights"], []
    for (length, scale, data, precision), group in runs.groupby(["iterations", "scale", "data_title", "precision"]):
        rows = []
        for run in group.itertuples():
            errors = number(run.train_error), number(run.test_error)
            errors = errors if run.status == "finished" else ("", run.status)
            rows.append((run.run, title("", recipe=run.recipe), *errors, "yes" if run.weights else "no"))
        tables.append(plain_table(f"\n{scale} scale, {length:,} iterations, {data}, {precision}", headers, rows))
    return tables or ["No runs here."]


def show_results(store: Store, name: str, scale: str, data_title: str) -> None:
    """Show an experiment's table and finding, and where its files are."""
    from resnet_keras.report import claims, runs, tables

    frame, entry = runs.frame(store), EXPERIMENTS[name]
    own = runs.of_experiment(frame, entry, scale, data_title)
    headers, rows = tables.experiment_table(own, entry.measures)
    heading = f"{entry.title}: {plain(data_title)}, {scale} scale"
    figure = store.root / "figures" / f"{'smoke' if scale == 'smoke' else report.FIGURES.get(name)}.png"
    places = [f"Figure: {relpath(figure)}"] * figure.is_file() + [f"Page:   {relpath(store.root / 'README.md')}"]
    show("", plain_table(heading, headers, rows), "", claims.answer(entry, own), "", *places)
