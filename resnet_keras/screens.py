"""What the command line shows of its own: lists, tables, marks, and what to do next. All of it fits 80 columns."""

import collections
import contextlib
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import rich.box
import rich.progress
from cyclopts import CycloptsError
from rich.console import Console
from rich.table import Table
from rich.text import Text

import resnet_keras
from resnet_keras import report
from resnet_keras.errors import UserError, first_line
from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.models.catalogue import architecture
from resnet_keras.report.style import plain, spread, title
from resnet_keras.store import Store
from resnet_keras.training.device import has_driver
from resnet_keras.training.recipe import PRESETS

SMALL_DISK = 5  # GB; CIFAR-10 takes 0.3 as it is downloaded and 0.2 decoded, the networks of all experiments less
QUIET = {"highlight": False, "markup": False, "emoji": False}


def show(*renderables, style: str | None = None) -> None:
    """Print texts and tables, wrapped at words to the terminal's width; $NO_COLOR and $TERM decide about colour."""
    console = Console(**QUIET)
    for renderable in renderables:
        console.print(renderable, style=style)


def show_error(message: str) -> None:
    """Print one line to standard error, which a terminal gets wrapped at words; names in it may be anybody's."""
    console = Console(stderr=True, **QUIET)
    console.print(f"resnet-keras: {plain(message)}", soft_wrap=not console.is_terminal)


def show_next(*commands: str) -> None:
    """Say what to do next, where people read."""
    if sys.stdout.isatty():
        show("Next: " + "\n      ".join(commands), style="dim")


def explained(error: Exception, words: list[str]) -> str:
    """What to say of an error that ends a command of these words."""
    if isinstance(error, UnicodeEncodeError):
        return "a name holds bytes that are no UTF-8 text: rename the file or folder."
    if isinstance(error, CycloptsError):
        files = [word for word in words if word.startswith("-") and os.path.isfile(word)]
        return str(error) + (f" The file {files[0]} is meant? Write ./{files[0]}" if files else "")
    if isinstance(error, ImportError):
        return f"the module {error.name} cannot be imported ({first_line(error)}): install it, or `make` once more."
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return str(error)


@contextlib.contextmanager
def progress(label: str):
    """Show in a terminal, and nowhere else, how far a test is; yields what `evaluate` calls with its tally."""
    stderr = Console(stderr=True, **QUIET)  # results go to the other stream
    with rich.progress.Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda tally, total: bar.update(task, completed=tally.images, total=total)


def path(place: Path) -> str:
    """A path for people: relative to the working directory, where it lies below."""
    place, here = Path(place).resolve(), Path.cwd()
    return str(place.relative_to(here)) if place.is_relative_to(here) else str(place)


def plain_table(heading: str, columns: list[str], rows: Iterable, numbers: list[str]) -> Table:
    """A table without a frame; those of its columns that are named in `numbers` are set to the right."""
    table = Table(title=heading, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def two_columns(rows: Iterable[tuple]) -> Table:
    """Two columns, a name and what is said of it, which wraps below itself."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


def overview(store: Store) -> Table:
    """Networks, experiments, scales and how many runs the results folder holds, in at most 20 lines."""
    names = resnet_keras.names()
    cifar = [name for name in names if architecture(name).family == "cifar"]
    kinds = itertools.groupby(names[len(cifar) :], lambda name: name.rstrip("0123456789"))
    imagenet = ", ".join(f"{kind}{'/'.join(name[len(kind) :] for name in several)}" for kind, several in kinds)
    statuses = sorted(collections.Counter(map(status, store.runs())).items(), reverse=True)
    line = {"no_wrap": True, "overflow": "ellipsis"}
    rows = [
        ("networks", f"CIFAR: {cifar[0]} to {cifar[-1]}, any depth 6n+2; ImageNet: {imagenet}"),
        ("bundled", ", ".join(plain(folder.name) for folder in store.models()) or "none"),
        *((f"  {each.name}", Text(each.title.removeprefix("ImageNet: "), **line)) for each in EXPERIMENTS.values()),
        ("scales", ", ".join(f"{name} {recipe.iterations:,}" for name, recipe in PRESETS.items()) + " iterations"),
        ("runs", ", ".join(f"{count} {name}" for name, count in statuses) or "none"),
    ]
    return two_columns(rows)


def status(folder) -> str:
    """A run's status; a folder may have been copied from anywhere."""
    try:
        return plain(folder.status)
    except UserError:
        return "cannot be read"


def runs_tables(runs, names: bool = False) -> list:
    """A table of each scale, data set and precision: a row for all seeds, or each run by its name."""
    numbers = ["train %", "test %"] if names else ["seeds", "train %", "test %"]
    cell = ["run"] if names else ["kind", "depth", "shortcut", "recipe", "status"]
    place = {name: number for number, name in enumerate(PRESETS)}
    setting = [runs["scale"].map(place).fillna(len(place)), "scale", "iterations", "data_title", "precision"]
    tables = []
    for (_, scale, iterations, data, precision), group in runs.groupby(setting):
        heading, rows = f"\n{scale} scale, {iterations:,} iterations, {data}, {precision}", []
        for _, equal in group.groupby(cell, sort=False):
            run = equal.iloc[0]
            errors = [spread(equal[column].mean(), equal[column].std()) for column in ("train_error", "test_error")]
            errors = errors if run["status"] == "finished" else ["", run["status"]]
            # A device without its maker: "2 x Xeon" of "2 x Intel(R) Xeon(R) Processor (CPU)".
            words = equal["device"].str.replace(r"\(\w+\)|\b(Intel|AMD|NVIDIA|Processor)\b", "", regex=True).str.split()
            devices = ", ".join(sorted(set(words.str.join(" "))))
            devices = re.sub(r" x (\w+), (?=\d+ x \1)", ", ", devices)  # 1, 2 x EPYC
            weights = {0: "no", 1: "yes"}.get(equal["weights"].mean(), "some")
            first = [run["run"]] if names else [title(run["network"], run["shortcut"], run["recipe"]), str(len(equal))]
            rows.append([*first, *errors, devices, weights])
        columns = ["run" if names else "network", *numbers, "device", "weights"]
        tables.append(plain_table(heading, columns, rows, numbers))
    return tables or ["No such runs here."]


def diagnosis(facts: dict[str, str], store: Store) -> Table:
    """What the doctor says, a line each; ! marks what limits this machine."""
    root = store.root.absolute()
    free = shutil.disk_usage(next(place for place in (root, *root.parents) if place.exists())).free / 1e9
    rows = [(f"  {name}", fact) for name, fact in facts.items()]
    if "(CPU)" in facts["device"]:
        unseen = has_driver() and sys.platform == "linux"
        why = "not seen by the backend: pip install 'tensorflow[and-cuda]', or 'jax[cuda12]'" if unseen else "none"
        rows.insert(2, ("! GPU", f"{why}; on a CPU smoke scale takes minutes, short hours, paper days"))
    rows.append((f"{' ' if free > SMALL_DISK else '!'} disk", f"{free:,.0f} GB free where the results are"))
    rows.append(("  runs", f"{len(store.runs())} here; bundled networks: {len(store.models())}"))
    return two_columns(rows)


def show_results(store: Store, name: str, scale: str, data_title: str) -> None:
    """Show an experiment's table and finding, where its files are, and what to do next."""
    from resnet_keras.report import claims, runs, tables

    frame, entry = runs.frame(store), EXPERIMENTS[name]
    own = runs.of_experiment(frame, entry, scale, data_title)
    headers, rows = tables.experiment_table(own, entry.measures)
    heading = f"{entry.title}: {plain(data_title)}, {scale} scale"
    show("", plain_table(heading, headers, rows, headers[1:]), "", claims.answer(entry, own), "")
    figure = store.root / "figures" / f"{'smoke' if scale == 'smoke' else report.FIGURES.get(name)}.png"
    show(*[f"Figure: {path(figure)}"] * figure.is_file(), f"Page:   {path(store.root / 'README.md')}")
    longer = [other for other in entry.networks if list(PRESETS).index(other) > list(PRESETS).index(scale)]
    show_next("make lab (the notebooks)", *(f"resnet-keras run {name} --scale {other}" for other in longer[:1]))
