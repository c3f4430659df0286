"""Whether the files of a run that was made elsewhere are whole, belong together and are what the run's name says."""

from __future__ import annotations

import csv
import dataclasses
import math
import zipfile

from resnet_keras.data import Identity
from resnet_keras.errors import UserError
from resnet_keras.store import MEASUREMENTS, RunFolder
from resnet_keras.training.checkpoint import load_checkpoint
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import PROTOCOL, Run

STATED = {"network": str, "shortcut": str, "data": str, "data_version": str, "data_title": str, "seed": int}
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
    run = _run(folder)
    status = folder.status
    if status == "interrupted":
        found = load_checkpoint(folder.path, warn=lambda _: None)
        _demand(found is not None, folder, "it is interrupted and has no whole checkpoint to go on from")
        return status
    _demand(status in ("finished", "diverged"), folder, f"summary.json has the status {status!r}")
    _demand(bool(folder.environment), folder, "environment.json is missing")
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


def _demand(holds: bool, folder: RunFolder, problem: str) -> None:
    if not holds:
        raise UserError(f"{folder.name}: {problem}; copy the run again from where it was made, or repeat it.")


def _run(folder: RunFolder) -> Run:
    """The run that the configuration describes, whose name is to be the folder's."""
    config = folder.config
    _demand(bool(config), folder, "config.json is missing")
    protocol = config.get("protocol")
    _demand(protocol == PROTOCOL, folder, f"it was made by other code (protocol {protocol!r}, here {PROTOCOL})")
    for field, kind in STATED.items():
        value = config.get(field)
        _demand(isinstance(value, kind) and not isinstance(value, bool), folder, f"config.json has no usable {field}")
    recipe = config.get("recipe")
    known = {field.name for field in dataclasses.fields(Recipe)}
    strange = sorted(recipe.keys() - known) if isinstance(recipe, dict) else ["recipe"]
    _demand(not strange, folder, f"config.json is of other code, with {', '.join(strange)}")
    try:
        run = Run(config["network"], config["data"], Recipe(**recipe), config["seed"], config["shortcut"])
    except (UserError, TypeError) as error:
        raise UserError(f"{folder.name}: config.json describes no run ({error}).") from None
    name = run.name(Identity(config["data"], config["data_version"], config["data_title"]))
    _demand(name == folder.name, folder, f"config.json is that of {name}")
    return run


def _table(folder: RunFolder, name: str) -> list[dict[str, str]]:
    """The rows of one of the run's CSV files."""
    try:
        with open(folder.path / f"{name}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, restval=None, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{folder.name}: {name}.csv cannot be read ({error}); copy the run again.") from None
    whole = all(None not in row and None not in row.values() for row in rows)
    _demand(bool(rows) and whole, folder, f"{name}.csv is cut off or empty")
    return rows


def _check_iterations(folder: RunFolder, recipe: Recipe, rows: list[dict[str, str]]) -> None:
    """A row for each log interval, up to the last iteration; of a run that diverged, up to some iteration."""
    due = [*range(recipe.log_interval, recipe.iterations, recipe.log_interval), recipe.iterations]
    if folder.status == "diverged":
        due = due[: len(rows)]
    there = [_number(row.get("iteration")) for row in rows]
    _demand(there == due, folder, f"history.csv has {len(rows)} rows, and not one for each log interval to the end")
    done = folder.summary.get("iterations")
    least = recipe.iterations if folder.status == "finished" else max(due, default=0)
    fits = least <= _number(done) <= recipe.iterations
    _demand(fits, folder, f"summary.json has {done!r} iterations of {recipe.iterations}")


def _check_summary(folder: RunFolder, rows: list[dict[str, str]]) -> None:
    """The summary repeats the history's last row."""
    if folder.status != "finished":
        return
    last = rows[-1]
    for name in REPEATED:
        if name in last:
            here, there = _number(last[name]), _number(folder.summary.get(name))
            _demand(here == there, folder, f"{name} is {last[name]} in history.csv and {there:g} in summary.json")
    errors = [_number(last[name]) for name in last if name.endswith("_error")]
    _demand(all(0 <= error <= 100 for error in errors), folder, "history.csv ends with an error that is no percentage")


def _check_network(folder: RunFolder) -> None:
    try:
        with zipfile.ZipFile(folder.network_file) as file:
            broken = file.testzip()
            whole = broken is None and {"config.json", "model.weights.h5"} <= set(file.namelist())
    except (OSError, zipfile.BadZipFile):
        whole = False
    _demand(whole, folder, "network.keras is damaged")


def _number(value) -> float:
    """A number, or NaN, which is equal to none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
