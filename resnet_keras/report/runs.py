"""One pandas frame of all runs, a row a run: what tables, claims, figures, `list` and estimates are made of.

Only this module reads the results folder. Columns, beside those of a run's configuration:

    kind ("plain", "residual" or "vgg"), scale (the preset of as many iterations, else "custom")
    recipe (what else differs from the scale's: "learning_rate=0.05"; "" for the paper's recipe)
    status ("finished", "diverged" or "interrupted")
    train_error, test_error (percent, after the last iteration), train_error_inference (of the trained network, by one
    pass over the training images as in testing)
    commit (eight digits, and + where files had changed), device, began_on (another one, for a run that moved)
    weights (whether the trained network is here)
    a column for each number of `NUMBERS`, such as responses_median

Runs that agree in all of `CELL` differ in the seed alone.
"""

import contextlib
import dataclasses
import functools
import math
import re

import pandas

from resnet_keras.errors import UserError
from resnet_keras.report.style import plain
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.recipe import OBSERVING, PRESETS, Recipe
from resnet_keras.training.run import described

CELL = ["data", "data_version", "data_title", "iterations", "recipe", "network", "shortcut", "precision"]
FROM_SUMMARY = [
    "train_error", "test_error", "train_error_inference", "warmup_end", "hours", "images_per_second", "parameters",
]  # fmt: skip
COLUMNS = [
    "run", "network", "kind", "depth", "shortcut", "batch_norm", "data", "data_version", "data_title", "scale",
    "iterations", "learning_rate", "recipe", "precision", "seed", "status", "commit", "device", "began_on", "cores",
    "cpu", "device_class", "weights",
]  # fmt: skip


def gradient_ratio(table, iteration: int, scaled: bool = False) -> float:
    """Gradient norm of the first layer over that of the last 3x3 layer; NaN for a dead network.

    `scaled` takes each norm times its kernel's: under BN a kernel's scale changes nothing but its own gradient, which
    shrinks as the kernel grows, and the product is free of that.
    """
    rows = table[table["iteration"] == iteration].sort_values("layer")
    values = rows["gradient_norm"] * (rows["weight_norm"] if scaled else 1.0)
    first, last = values.iloc[0], values.iloc[-2]  # after these comes the classifier
    return first / last if last else math.nan


def lesion_error(table, lesion: str) -> float:
    """Median error in percent over all lesions of this kind; "none" is the intact network."""
    return table[table["lesion"] == lesion]["error"].median()


# Measurement -> column -> (its table, the run's last iteration) -> number.
NUMBERS = {
    "responses": {"responses_median": lambda table, end: table["std"].median()},
    "gradients": {
        "gradients_start": lambda table, end: gradient_ratio(table, 0),
        "gradients_end_scaled": lambda table, end: gradient_ratio(table, end, scaled=True),
    },
    "lesion": {
        "lesion_intact": lambda table, end: lesion_error(table, "none"),
        "lesion_deleted": lambda table, end: lesion_error(table, "delete"),
        "lesion_added": lambda table, end: lesion_error(table, "delete") - lesion_error(table, "none"),
        "lesion_swapped": lambda table, end: lesion_error(table, "swap"),
    },
    "start": {"start_growth": lambda table, end: table["weight_norm"].max() / table["weight_norm"].iloc[0]},
    "surface": {"surface_median": lambda table, end: table["cross_entropy"].median()},
    "views": {
        f"top{k}_{by}": lambda rows, end, k=k, by=by: rows[f"top{k}_error"][rows["views"].astype(str) == by].item()
        for by in ("1", "10", "multiscale")
        for k in (1, 5)
    },
}
MEASURED = [column for columns in NUMBERS.values() for column in columns]
NUMERIC = [*FROM_SUMMARY, *MEASURED]  # NaN where they are unknown


def frame(store: Store):
    """All runs of the store as a DataFrame; ``attrs["problems"]`` has a line for each folder that is left out."""
    rows, problems = [], []
    for folder in store.runs():
        try:
            rows.append(_row(folder))
        except UserError as error:
            problems.append(plain(error))
    runs = pandas.DataFrame(rows, columns=COLUMNS + NUMERIC)
    numbers = runs[NUMERIC].apply(pandas.to_numeric, errors="coerce").astype(float)
    runs[NUMERIC] = numbers.replace([math.inf, -math.inf], math.nan)  # what is no finite number is none
    keys = ["data", "kind", "depth", "iterations", "shortcut", "recipe", "precision", "seed"]
    runs = runs.sort_values(keys, ignore_index=True)
    runs.attrs["problems"] = problems
    return runs


def finished(runs):
    """The runs that have a last error; a diverged or interrupted one has none."""
    return runs[runs["status"] == "finished"]


def commonest(runs, *columns: str):
    """The runs that share the most frequent value of each column in turn."""
    for column in columns:
        runs = runs[runs[column].isin(runs[column].mode().head(1))]
    return runs


def histories(store: Store, runs):
    """The histories of the finished runs, with what `runs` says of each; a validation error stands for a test error."""
    tables = {name: store.run(name).history for name in finished(runs)["run"]}
    tested = {name: table.get("validation_error", table["test_error"]) for name, table in tables.items()}
    return _joined(runs, {name: table.assign(test_error=tested[name]) for name, table in tables.items()})


def measurements(store: Store, runs, name: str):
    """A measurement of these runs, one table below the other, with what `runs` says of each run; maybe empty."""
    folders = [store.run(run) for run in runs["run"]]
    return _joined(runs, {folder.name: folder.measurement(name) for folder in folders if folder.has_measurement(name)})


def of_experiment(runs, experiment, scale: str, data: str | None = None):
    """The runs of an experiment at one scale, on one data set and, unless it compares precisions, in one precision.

    Those that most runs have, where no name or title of a data set is given. A run belongs to it if the catalogue lists
    its network, shortcut option and recipe, at any seed, and if what the experiment measures was measured on it.
    """
    planned = {(run.network, run.shortcut, variation(run.recipe)[1]) for run in experiment.runs(scale)}
    keys = zip(runs["network"], runs["shortcut"], runs["recipe"], strict=True)
    own = runs.loc[[key in planned for key in keys]]
    own = own[own["scale"] == scale]
    for measure in experiment.measures:
        own = own[own[list(NUMBERS[measure])].notna().any(axis=1)]
    if data is not None:
        own = own[(own["data"] == data) | (own["data_title"] == plain(data))]
    return commonest(own, "data", *(() if experiment.precisions else ("precision",)))


@functools.lru_cache(maxsize=1024)
def variation(recipe: Recipe) -> tuple[str, str]:
    """The scale of a recipe, by its length, and what else differs from that scale's, the precision left aside."""
    scale = next((name for name, preset in PRESETS.items() if preset.iterations == recipe.iterations), "custom")
    usual = PRESETS[scale] if scale in PRESETS else PRESETS["paper"].shortened(recipe.iterations)
    names = [field.name for field in dataclasses.fields(Recipe) if field.name not in (*OBSERVING, "precision")]
    differing = [name for name in names if getattr(recipe, name) != getattr(usual, name)]
    return scale, ", ".join(f"{name}={getattr(recipe, name)}" for name in differing)


def _row(folder: RunFolder) -> dict:
    run, summary, environment = described(folder), folder.summary, folder.environment
    scale, recipe = variation(run.recipe)
    if folder.status == "finished":
        _ = folder.history  # raises if it is not what the summary vouches for
    measured = {}
    for name in filter(folder.has_measurement, NUMBERS):
        table = folder.measurement(name)
        for column, number in NUMBERS[name].items():
            with contextlib.suppress(KeyError, IndexError, TypeError, ValueError):  # a table of another making
                measured[column] = number(table, run.recipe.iterations)
    device = plain(summary.get("device") or environment.get("device") or "")[:100]
    cores = re.match(r"(\d+) x ", device)
    settings = {**vars(run), **vars(run.recipe)}
    return {
        **{name: value for name, value in settings.items() if name in COLUMNS},
        "run": folder.name,
        "kind": run.network.rstrip("0123456789").replace("resnet", "residual"),
        "depth": run.depth,
        "data_version": plain(folder.config["data_version"]),
        "data_title": plain(folder.config["data_title"]),
        "scale": scale,
        "recipe": recipe,
        "status": folder.status,
        "commit": plain(environment.get("commit") or "")[:8] + "+" * bool(environment.get("dirty")),
        "device": device,
        "began_on": plain(environment.get("device") or ""),
        "cores": int(cores[1]) if cores else None,
        "cpu": re.sub(r"^\d+ x | \(CPU\)$", "", device),
        "device_class": plain(environment.get("kind") or ""),
        "weights": folder.network_file.is_file(),
        **{name: summary.get(name) for name in FROM_SUMMARY},
        **measured,
    }


def _joined(runs, tables: dict):
    if not tables:
        return pandas.DataFrame(columns=[*runs.columns, "iteration"])
    rows = pandas.concat([table.assign(run=run) for run, table in tables.items()], ignore_index=True)
    return rows.merge(runs[["run", *runs.columns.difference(rows.columns)]], on="run", how="left")
