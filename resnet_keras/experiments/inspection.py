"""Whether the files of a run that was made elsewhere are whole, belong together and are what the run's name says."""

from __future__ import annotations

import csv
import math
import zipfile

from resnet_keras.errors import UserError
from resnet_keras.store import MEASUREMENTS, RunFolder
from resnet_keras.training.checkpoint import load_checkpoint
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import demand, described

REPEATED = ("train_error", "test_error", "validation_error")  # of the history, in the summary


def inspect(folder: RunFolder) -> str:
    """Check a run.

    Args:
        folder: Its folder, wherever that is; its name is to be the run's.

    Returns:
        "finished", "diverged", or "interrupted", for a run that can be gone on with.

    Raises:
        UserError: Something is missing, damaged, or does not fit the rest; says what.
    """
    run = described(folder)
    status = folder.status
    if status == "interrupted":
        found = load_checkpoint(folder.path, warn=lambda _: None)
        demand(found is not None, folder, "it is interrupted and has no whole checkpoint to go on from")
        return status
    demand(status in ("finished", "diverged"), folder, f"summary.json has the status {status!r}")
    demand(bool(folder.environment), folder, "environment.json is missing")
    early = status == "diverged" and not (folder.path / "history.csv").exists()  # before its first row
    rows = [] if early else _table(folder, "history")
    _check_iterations(folder, run.recipe, rows)
    _check_summary(folder, rows)
    for name in MEASUREMENTS:
        if folder.has_measurement(name):
            _table(folder, name)
    if folder.network_file.is_file():
        _check_network(folder)
    return status


def _table(folder: RunFolder, name: str) -> list[dict[str, str]]:
    """The rows of one of the run's CSV files."""
    try:
        with open(folder.path / f"{name}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, restval=None, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{folder.name}: {name}.csv cannot be read ({error}); copy the run again.") from None
    whole = all(None not in row and None not in row.values() for row in rows)
    demand(bool(rows) and whole, folder, f"{name}.csv is cut off or empty")
    return rows


def _check_iterations(folder: RunFolder, recipe: Recipe, rows: list[dict[str, str]]) -> None:
    """A row for each log interval, up to the last iteration; of a run that diverged, up to some iteration."""
    due = [*range(recipe.log_interval, recipe.iterations, recipe.log_interval), recipe.iterations]
    if folder.status == "diverged":
        due = due[: len(rows)]
    there = [_number(row.get("iteration")) for row in rows]
    demand(there == due, folder, f"history.csv has {len(rows)} rows, and not one for each log interval to the end")
    done = folder.summary.get("iterations")
    least = recipe.iterations if folder.status == "finished" else max(due, default=0)
    fits = least <= _number(done) <= recipe.iterations
    demand(fits, folder, f"summary.json has {done!r} iterations of {recipe.iterations}")


def _check_summary(folder: RunFolder, rows: list[dict[str, str]]) -> None:
    """The summary repeats the history's last row."""
    if folder.status != "finished":
        return
    last = rows[-1]
    for name in REPEATED:
        if name in last:
            here, there = _number(last[name]), _number(folder.summary.get(name))
            demand(here == there, folder, f"{name} is {last[name]} in history.csv and {there:g} in summary.json")
    errors = [_number(last[name]) for name in last if name.endswith("_error")]
    demand(all(0 <= error <= 100 for error in errors), folder, "history.csv ends with an error that is no percentage")


def _check_network(folder: RunFolder) -> None:
    try:
        with zipfile.ZipFile(folder.network_file) as file:
            broken = file.testzip()
            whole = broken is None and {"config.json", "model.weights.h5"} <= set(file.namelist())
    except (OSError, zipfile.BadZipFile):
        whole = False
    demand(whole, folder, "network.keras is damaged")


def _number(value) -> float:
    """A number, or NaN, which is equal to none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
