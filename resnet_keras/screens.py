"""What the command line shows of its own: lists, tables, marks, and what to do next. All of it fits 80 columns."""

from __future__ import annotations

import collections
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import rich.box
from cyclopts.help import DefaultFormatter
from rich.console import Console
from rich.table import Table
from rich.text import Text

import resnet_keras
from resnet_keras.errors import UserError
from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.models.catalogue import architecture
from resnet_keras.report.text import plain
from resnet_keras.store import Store
from resnet_keras.training.recipe import PRESETS

SMALL_DISK = 5  # GB; CIFAR-10 takes 0.3 as it is downloaded and 0.2 decoded, the networks of all experiments less


def show(*renderables, style: str | None = None) -> None:
    """Print texts and tables, wrapped at words to the terminal's width; $NO_COLOR and $TERM decide about colour."""
    console = Console(highlight=False, markup=False, emoji=False)
    for renderable in renderables:
        console.print(renderable, style=style)


def show_next(*commands: str) -> None:
    """Say what to do next, where people read."""
    if sys.stdout.isatty():
        show(
            *(f"{'Next:' if not number else '     '} {command}" for number, command in enumerate(commands)), style="dim"
        )


def table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """An empty table without a frame; the columns named in `right` hold numbers."""
    empty = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, show_edge=False)
    for column in columns:
        empty.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return empty


def pairs(rows: Iterable[tuple[str, str]], style: str = "bold") -> Table:
    """Two columns, a name and what is said of it, which wraps below itself."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=style, no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


class Sections(DefaultFormatter):
    """Help as titled sections without frames, so that it fits 24 lines of 80 columns."""

    def __call__(self, console, options, panel):
        """Print one section: a line or more for each command or option."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="cyan", no_wrap=True, min_width=9 if panel.format == "command" else 23)
        grid.add_column()
        for entry in panel.entries:
            names = [*entry.positive_names, *entry.positive_shorts]
            if entry.negative_names and entry.default is None:  # left out, it is neither
                names = [name.replace("--", "--[no-]", 1) for name in names]
            notes = [f"{', '.join(entry.choices)}" if entry.choices else ""]
            notes += [f"default: {entry.default}" if entry.default not in (None, "False") else ""]
            notes = "; ".join(filter(None, notes))
            if notes and entry.description:
                entry.description.append(Text(f"[{notes}]", "dim"))
            grid.add_row(f"  {getattr(entry, 'positional_label', None) or ' '.join(names)}", entry.description)
        if panel.entries:
            console.print(Text(panel.title, "bold"), grid, sep="\n")


def overview(store: Store) -> Table:
    """Networks, experiments, scales and how many runs the results folder holds, in at most 20 lines."""
    cifar, imagenet = [], []
    for name in resnet_keras.names():
        (cifar if architecture(name).family == "cifar" else imagenet).append(name)
    scales = ", ".join(f"{name} {recipe.iterations:,}" for name, recipe in PRESETS.items())
    counted = collections.Counter(map(status, store.runs()))
    return pairs(
        [
            ("networks", f"CIFAR: {cifar[0]} to {cifar[-1]}, any depth 6n+2; ImageNet: {', '.join(imagenet)}"),
            ("bundled", ", ".join(plain(folder.name) for folder in store.models()) or "none"),
            *((f"  {each.name}", each.title.removeprefix("ImageNet: ")) for each in EXPERIMENTS.values()),
            ("scales", f"{scales} iterations"),
            ("runs", ", ".join(f"{count} {name}" for name, count in counted.most_common()) or "none"),
        ]
    )


def status(folder) -> str:
    """A run's status; a folder may have been copied from anywhere."""
    try:
        return plain(folder.status)
    except UserError:
        return "cannot be read"


def runs_tables(runs, names: bool = False) -> list[Table]:
    """Tables of `report.runs.frame`: one a scale, data set and precision, a row for runs that differ in the seed."""
    tables = []
    place = {name: number for number, name in enumerate(PRESETS)}
    runs = runs.assign(place=runs["scale"].map(place).fillna(len(place)))
    for (_, scale, length, data, precision), group in runs.groupby(
        ["place", "scale", "iterations", "data_title", "precision"]
    ):
        title = f"\n{scale} scale, {length:,} iterations, {data}, {precision}"
        numbers = ("seeds", "train %", "test %")
        rows = table("network", *numbers, "device", "weights", right=numbers, title=title)
        for (*_, state), cell in group.groupby(["kind", "depth", "shortcut", "recipe", "status"], sort=False):
            errors = [spread(cell[column]) for column in ("train_error", "test_error")]
            if state != "finished":
                errors = ["", state]
            device = ", ".join(sorted({short_device(name) for name in cell["device"]}))
            weights = {0: "no", 1: "yes"}.get(cell["weights"].mean(), "some")
            rows.add_row(network_title(cell.iloc[0]), str(len(cell)), *errors, device, weights)
        tables.append(rows)
    return tables


def network_title(run) -> str:
    """A network with what differs from the paper's: "resnet56 B", "plain20 no BN"."""
    option = run["shortcut"] if run["shortcut"] != architecture(run["network"]).shortcut else ""
    return " ".join(filter(None, [run["network"], option, run["recipe"].replace("batch_norm=False", "no BN")]))


def spread(errors) -> str:
    """Mean and standard deviation over seeds of errors in percent: "31.46 ± 1.25"; one seed has no deviation."""
    return f"{errors.mean():.2f}" + (f" ± {errors.std():.2f}" if len(errors) > 1 else "")


def short_device(name: str) -> str:
    """A device without its maker: "2 x Xeon" of "2 x Intel(R) Xeon(R) Processor (CPU)"."""
    return " ".join(re.sub(r"\(\w+\)|\b(Intel|AMD|NVIDIA|Processor)\b", "", name).split())


def names_table(runs) -> Table:
    """The name of each run, its errors or status, and whether its weights are here."""
    rows = table("run", "train %", "test %", "weights", right=("train %", "test %"))
    for run in runs.itertuples():
        errors = [f"{run.train_error:.2f}", f"{run.test_error:.2f}"] if run.status == "finished" else ["", run.status]
        rows.add_row(run.run, *errors, "yes" if run.weights else "no")
    return rows


def findings(facts: dict[str, str], store: Store) -> Table:
    """What the doctor says, each line with a mark: ✓, or ! for what limits this machine."""
    free = shutil.disk_usage(existing(store.root)).free / 1e9
    rows = [(True, *fact) for fact in facts.items()]
    if "(CPU)" in facts["device"]:
        rows.insert(2, (False, "GPU", "none: smoke scale takes minutes, short scale hours, the paper's days"))
    rows += [
        (free > SMALL_DISK, "disk", f"{free:,.0f} GB free where the results are"),
        (True, "runs", f"{len(store.runs())} here; bundled networks: {len(store.models())}"),
    ]
    good = "✓" if (sys.stdout.encoding or "").lower().startswith("utf") else "+"
    grid = Table.grid(padding=(0, 2, 0, 0))
    for style in ("green", "bold", ""):
        grid.add_column(style=style, no_wrap=bool(style), overflow="fold")
    for fine, name, text in rows:
        grid.add_row(good if fine else Text("!", "bold yellow"), name, text)
    return grid


def existing(path: Path) -> Path:
    """The path or the nearest folder above it that exists."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if place.exists()), path)
