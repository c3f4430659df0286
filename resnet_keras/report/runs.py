"""One pandas frame of all runs, a row a run: what tables, claims, figures and `list` are made of.

Only this module reads the results folder. Columns, beside those of a run's configuration:

    kind ("plain", "residual" or "vgg"), scale (the preset of as many iterations, else "custom")
    recipe (what else differs from the scale's: "learning_rate=0.05"; "" for the paper's recipe)
    status ("finished", "diverged" or "interrupted")
    train_error, test_error (percent, after the last iteration), train_error_inference (of the trained network, by one
    pass over the training images as in testing)
    commit (eight digits, and + where files had changed), device, began_on (another one, for a run that moved)
    weights (whether the trained network is here)
    a column for each number of `NUMBERS`, such as responses_median
"""

import contextlib
import functools
import math
import re

import pandas

from resnet_keras.errors import UserError
from resnet_keras.report.style import plain
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.recipe import OBSERVING, PRESETS, Recipe
from resnet_keras.training.run import described

# Runs that agree in all of these differ in the seed alone.
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

    `scaled` takes each norm times its kernel's, because under BN a gradient shrinks as its kernel grows.
    """
    rows = table[table["iteration"] == iteration].sort_values("layer")
    values = rows["gradient_norm"] * (rows["weight_norm"] if scaled else 1.0)
    first, last = values.iloc[0], values.iloc[-2]  # after these comes the classifier
    return first / last if last else math.nan


# Measurement -> column -> (its table, the run's last iteration) -> number.
NUMBERS = {
    "responses": {
        "responses_median": lambda table, end: table["std"].median(),
        "responses_augmented": lambda table, end: table["std_augmented"].median(),
        "responses_image": lambda table, end: table["std_image"].median(),
    },
    "gradients": {
        "gradients_start": lambda table, end: gradient_ratio(table, 0),
        "gradients_end_scaled": lambda table, end: gradient_ratio(table, end, scaled=True),
    },
    "lesion": {  # medians over all lesions of a kind
        "lesion_intact": lambda table, end: table.groupby("lesion")["error"].median()["none"],
        "lesion_deleted": lambda table, end: table.groupby("lesion")["error"].median()["delete"],
        "lesion_added": lambda table, end: table.groupby("lesion")["error"].median()[["none", "delete"]].diff().iloc[1],
        "lesion_swapped": lambda table, end: table.groupby("lesion")["error"].median()["swap"],
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
    """The runs that share the value of each column in turn that most cells have and, among these, most runs."""
    for column in columns:
        counts = runs.groupby(CELL).ngroup().groupby(runs[column]).agg(["nunique", "size"])
        runs = runs[runs[column].isin(counts.sort_values(["nunique", "size"], ascending=False).index[:1])]
    return runs


def histories(store: Store, runs):
    """The histories of the finished runs, with what `runs` says of each; a validation error stands for a test error."""
    tables = ((name, store.run(name).history) for name in finished(runs)["run"])
    tested = {name: rows.assign(test_error=rows.get("validation_error", rows["test_error"])) for name, rows in tables}
    return _joined(runs, tested)


def measurements(store: Store, runs, name: str):
    """A measurement of these runs, one table below the other, with what `runs` says of each run; maybe empty."""
    folders = [store.run(run) for run in runs["run"]]
    return _joined(runs, {folder.name: folder.measurement(name) for folder in folders if folder.has_measurement(name)})


def of_experiment(runs, experiment, scale: str, data: str | None = None):
    """The runs of an experiment at one scale, on one data set and, unless it compares or mixes them, in one precision.

    Those with most networks, where no name or title of a data set is given. A run belongs to it if the catalogue lists
    its network, shortcut option and recipe, at any seed, and if what the experiment measures was measured on it.
    """
    planned = {(run.network, run.shortcut, variation(run.recipe)[1], scale) for run in experiment.runs(scale)}
    keys = runs[["network", "shortcut", "recipe", "scale"]].itertuples(index=False)
    own = runs.loc[[tuple(key) in planned for key in keys]]
    for measure in experiment.measures:
        own = own[own[list(NUMBERS[measure])].notna().any(axis=1)]
    if data is not None:
        own = own[(own["data"] == data) | (own["data_title"] == plain(data))]
    return commonest(own, "data", *(() if experiment.precisions or experiment.mixed else ("precision",)))


@functools.lru_cache(maxsize=1024)
def variation(recipe: Recipe) -> tuple[str, str]:
    """The scale of a recipe, by its length, and what else differs from that scale's, the precision left aside."""
    scale = next((name for name, preset in PRESETS.items() if preset.iterations == recipe.iterations), "custom")
    usual = vars(PRESETS.get(scale) or PRESETS["paper"].shortened(recipe.iterations))
    fields = [(name, value) for name, value in vars(recipe).items() if name not in (*OBSERVING, "precision")]
    return scale, ", ".join(f"{name}={value}" for name, value in fields if value != usual[name])


def _row(folder: RunFolder) -> dict:
    run, summary, environment, measured = described(folder), folder.summary, folder.environment, {}
    scale, recipe = variation(run.recipe)
    if folder.status == "finished":
        _ = folder.history  # raises if it is not what the summary vouches for
    for name in filter(folder.has_measurement, NUMBERS):
        table = folder.measurement(name)
        for column, number in NUMBERS[name].items():
            with contextlib.suppress(KeyError, IndexError, TypeError, ValueError):  # a table of another making
                measured[column] = number(table, run.recipe.iterations)
    device = plain(summary.get("device") or environment.get("device") or "")[:100]
    cores = re.match(r"(\d+) x ", device)
    return {
        **{name: value for name, value in {**vars(run), **vars(run.recipe)}.items() if name in COLUMNS},
        **{name: plain(folder.config[name]) for name in ("data_version", "data_title")},
        "run": folder.name, "depth": run.depth, "scale": scale, "recipe": recipe, "status": folder.status,
        "kind": run.network.rstrip("0123456789").replace("resnet", "residual"),
        "commit": plain(environment.get("commit") or "")[:8] + "+" * bool(environment.get("dirty")),
        "device": device, "began_on": plain(environment.get("device") or ""),
        "device_class": plain(environment.get("kind") or ""), "cpu": re.sub(r"^\d+ x | \(CPU\)$", "", device),
        "cores": int(cores[1]) if cores else None, "weights": folder.network_file.is_file(),
        **{name: summary.get(name) for name in FROM_SUMMARY}, **measured,
    }  # fmt: skip


def _joined(runs, tables: dict):
    if not tables:
        return pandas.DataFrame(columns=[*runs.columns, "iteration"])
    rows = pandas.concat([table.assign(run=run) for run, table in tables.items()], ignore_index=True)
    return rows.merge(runs[["run", *runs.columns.difference(rows.columns)]], on="run", how="left")
