"""What the command line shows of its own: lists, tables, and what to do next. All of it fits 80 columns."""

import os
import re
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
from resnet_keras.report.style import plain, spread, title
from resnet_keras.store import Store
from resnet_keras.training.recipe import PRESETS

QUIET = {"highlight": False, "markup": False, "emoji": False}


def show(*renderables, style: str | None = None) -> None:
    """Print texts and tables, wrapped at words to the terminal's width; $NO_COLOR and $TERM decide about colour."""
    Console(**QUIET).print(*renderables, sep="\n", style=style)


def show_next(*commands: str) -> None:
    """Say what to do next, where people read."""
    if sys.stdout.isatty():
        show("Next: " + "\n      ".join(commands), style="dim")


def show_error(message: str) -> None:
    """Print one line to standard error, which a terminal gets wrapped at words; names in it may be anybody's."""
    console = Console(stderr=True, **QUIET)
    console.print(f"resnet-keras: {plain(message)}", soft_wrap=not console.is_terminal)


def explained(error: Exception, words: list[str]) -> str:
    """What to say of an error that ends a command of these words."""
    if isinstance(error, UnicodeEncodeError):
        return "a name holds bytes that are no UTF-8 text: rename the file or folder."
    if isinstance(error, CycloptsError):
        files = [word for word in words if word.startswith("-") and os.path.isfile(word)]
        return str(error) + (f" The file {files[0]} is meant? Write ./{files[0]}" if files else "")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    return f"{error}: install it, or `make` once more." if isinstance(error, ImportError) else str(error)


def plain_table(heading: str, headers: list[str], rows: Iterable) -> Table:
    """A table without a frame; its first column is never broken, the others are set to the right."""
    frame = {"box": rich.box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    table = Table(title=heading, title_justify="left", title_style="bold", **frame)
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


def runs_tables(runs, names: bool = False) -> list:
    """A table of each length, scale, data set and precision: a row for all seeds, or each run by its name."""
    tables = []
    headers = [*(["run"] if names else ["network", "seeds"]), "train %", "test %", "device", "weights"]
    same = ["run"] if names else ["kind", "depth", "shortcut", "recipe", "status"]
    for (length, scale, data, precision), group in runs.groupby(["iterations", "scale", "data_title", "precision"]):
        rows = []
        for _, equal in group.groupby(same, sort=False):
            run = equal.iloc[0]
            errors = [spread(equal[column].mean(), equal[column].std()) for column in ("train_error", "test_error")]
            errors = errors if run["status"] == "finished" else ["", run["status"]]
            # Devices without their maker: "2 x Xeon" of "2 x Intel(R) Xeon(R) Processor (CPU)"; "1, 2 x EPYC" of two.
            makers = r"\(\w+\)|\b(Intel|AMD|NVIDIA|Processor)\b"
            words = equal["device"].str.replace(makers, "", regex=True).str.split().str.join(" ")
            devices = re.sub(r" x (\w+), (?=\d+ x \1)", ", ", ", ".join(sorted(set(words))))
            weights = {0: "no", 1: "yes"}.get(equal["weights"].mean(), "some")
            first = [run["run"]] if names else [title(run["network"], run["shortcut"], run["recipe"]), str(len(equal))]
            rows.append([*first, *errors, devices, weights])
        tables.append(plain_table(f"\n{scale} scale, {length:,} iterations, {data}, {precision}", headers, rows))
    return tables or ["No such runs here."]


def show_results(store: Store, name: str, scale: str, data_title: str) -> None:
    """Show an experiment's table and finding, where its files are, and what to do next."""
    from resnet_keras.report import claims, runs, tables

    frame, entry = runs.frame(store), EXPERIMENTS[name]
    own = runs.of_experiment(frame, entry, scale, data_title)
    headers, rows = tables.experiment_table(own, entry.measures)
    heading = f"{entry.title}: {plain(data_title)}, {scale} scale"
    figure = store.root / "figures" / f"{'smoke' if scale == 'smoke' else report.FIGURES.get(name)}.png"
    places = [f"Figure: {relpath(figure)}"] * figure.is_file() + [f"Page:   {relpath(store.root / 'README.md')}"]
    show("", plain_table(heading, headers, rows), "", claims.answer(entry, own), "", *places)
    longer = [other for other in entry.networks if list(PRESETS).index(other) > list(PRESETS).index(scale)]
    show_next("make lab (the notebooks)", *(f"resnet-keras run {name} --scale {other}" for other in longer[:1]))
