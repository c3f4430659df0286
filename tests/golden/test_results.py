"""The committed runs keep their names, and the result tables their numbers."""

import csv
import json
import re
import statistics

import pytest

from resnet_keras.data import Identity
from resnet_keras.report import runs, tables
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from tests.conftest import ROOT

RUNS = sorted(path.parent for path in (ROOT / "results" / "runs").glob("*/config.json"))
# A run that is made anew gets new numbers here; no other change of the code may touch this file.
FROZEN = list(csv.DictReader((ROOT / "tests" / "golden" / "errors.csv").open(encoding="utf-8")))
METRICS = ("train_error", "test_error")
GROUP = ("network", "shortcut", "batch_norm", "scale", "learning_rate", "data", "precision")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def number(text):
    return float(text) if text else None


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_a_runs_name_follows_from_its_configuration(folder):
    config = read(folder / "config.json")
    recipe = Recipe(**{**config["recipe"], "drops": tuple(config["recipe"]["drops"])})
    run = Run(config["network"], config["data"], recipe, config["seed"], config["shortcut"])
    identity = Identity(config["data"], config["data_version"], config["data_title"])
    assert run.name(identity) == folder.name
    again = run.config(identity)
    assert config["recipe"].items() <= again.pop("recipe").items()  # older runs lack the fields that came later
    assert again.items() <= config.items()


@pytest.mark.parametrize("row", FROZEN, ids=lambda row: row["run"])
def test_a_run_keeps_its_errors(row):
    folder = ROOT / "results" / "runs" / row["run"]
    summary, config = read(folder / "summary.json"), read(folder / "config.json")
    assert row["status"] == summary["status"]
    assert [number(row[metric]) for metric in METRICS] == [summary.get(metric) for metric in METRICS]
    config = {"batch_norm": True, **config["recipe"], **config}
    assert [row[key] for key in (*GROUP, "seed")] == [str(config[key]) for key in (*GROUP, "seed")]


def test_every_number_of_the_results_follows_from_the_runs():
    groups, shown = {}, set()
    for row in FROZEN:
        groups.setdefault(tuple(row[key] for key in GROUP), []).append(row)
    for row in csv.DictReader(tables.cells(runs.frame(Store(ROOT / "results"))).to_csv(index=False).splitlines()):
        row |= {"batch_norm": str("batch_norm=False" not in row["recipe"])}
        other = re.search(r"learning_rate=([\d.]+)", row["recipe"])
        rate = other[1] if other else "0.03" if row["scale"] == "smoke" else "0.1"
        row |= {"learning_rate": rate, "scale": "custom" if other else row["scale"]}
        key = tuple(row[column] for column in GROUP)
        finished = [run for run in groups[key] if run["status"] == "finished"]
        expected = {"seeds": len(finished), "diverged": len(groups[key]) - len(finished)}
        for metric in METRICS:
            values = [float(run[metric]) for run in finished]
            expected[f"{metric}_mean"] = statistics.fmean(values) if values else None
            expected[f"{metric}_std"] = statistics.stdev(values) if len(values) > 1 else None
        assert {column: number(row[column]) for column in expected} == pytest.approx(expected, abs=1e-4)
        shown.add(key)
    assert shown == set(groups)


def test_the_table_of_the_readme_is_that_of_the_results():
    cells = tables.cells(runs.frame(Store(ROOT / "results")))
    own = cells.query("scale == 'short' and precision == 'bfloat16' and recipe == '' and shortcut in ('A', 'none')")
    shown = {row.network: f"{tables.errors(row, 1)[1]} ({row.seeds})" for row in own.itertuples()}
    readme = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?\)).*? \| (.*?\)).*? \|", readme, re.MULTILINE)
    assert len(rows) == 5 and all([shown[f"plain{n}"], shown[f"resnet{n}"]] == errors for n, *errors in rows)
