"""Which runs count, and which may share a row."""

import dataclasses
import json

import pytest

from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import records, selection, tables
from resnet_keras.store import Store
from tests.report.synthetic import write_json, write_run

DEGRADATION = EXPERIMENTS["degradation"]


def select(root, experiment=DEGRADATION):
    found, problems = records.read(Store(root))
    settings, more = selection.select(experiment, found)
    return settings, problems + more


def rows(root, experiment=DEGRADATION):
    settings, problems = select(root, experiment)
    assert not problems
    return [row for groups in settings.values() for row in tables.table(groups)]


@pytest.mark.parametrize(
    "other",
    [
        {"scale": "smoke"},
        {"data": "cifar10_jpeg"},
        {"version": "9.9.9"},
        {"precision": "bfloat16"},
        {"config": {"protocol": 0}},
        {"network": "plain56"},
        {"network": "resnet20"},
    ],
    ids=str,
)
def test_what_differs_in_more_than_the_seed_never_shares_a_row(tmp_path, other):
    write_run(tmp_path, "plain20", seed=0, end=(30.0, 33.0))
    write_run(tmp_path, **{"network": "plain20", "seed": 1, "end": (50.0, 55.0), **other})
    found = rows(tmp_path)
    assert sorted(row["test_error_mean"] for row in found) == [33.0, 55.0]
    assert [row["seeds"] for row in found] == [1, 1]


def test_seeds_share_a_row(tmp_path):
    for seed in range(3):
        write_run(tmp_path, "plain20", seed=seed, end=(30.0, 33.0 + seed))
    (row,) = rows(tmp_path)
    assert (row["seeds"], row["test_error_mean"], row["test_error_std"]) == (3, 34.0, 1.0)


def test_another_recipe_is_another_experiment(tmp_path):
    write_run(tmp_path, "plain20", weight_decay=0.0)
    write_run(tmp_path, "resnet8")
    write_run(tmp_path, "resnet20", shortcut="B")
    assert not select(tmp_path)[0]
    (row,) = rows(tmp_path, EXPERIMENTS["shortcuts"])
    assert (row["network"], row["shortcut"]) == ("resnet20", "B")


def test_variants_of_a_network_have_rows_of_their_own(tmp_path):
    measured = dataclasses.replace(EXPERIMENTS["gradients"], measures=())
    write_run(tmp_path, "plain20", end=(30.0, 33.0))
    write_run(tmp_path, "plain20", batch_norm=False, end=(80.0, 81.0))
    assert [(row["recipe"], row["test_error_mean"]) for row in rows(tmp_path, measured)] == [
        ("", 33.0),
        ("batch_norm=False", 81.0),
    ]


def test_a_measured_experiment_waits_for_its_measurement(tmp_path):
    name = write_run(tmp_path, "plain20")
    assert not select(tmp_path, EXPERIMENTS["responses"])[0]
    (tmp_path / "runs" / name / "responses.csv").write_text("layer,place,std\n1,conv1,1.5\n")
    assert select(tmp_path, EXPERIMENTS["responses"])[0]


def test_runs_under_way_do_not_count_and_diverged_ones_are_counted_apart(tmp_path):
    write_run(tmp_path, "plain20", seed=0, status="running")
    write_run(tmp_path, "plain20", seed=1, status="interrupted")
    assert not select(tmp_path)[0]
    write_run(tmp_path, "plain20", seed=2, status="diverged", summary={"train_error": None, "test_error": None})
    write_run(tmp_path, "plain20", seed=3, end=(30.0, 33.0))
    (row,) = rows(tmp_path)
    assert (row["seeds"], row["diverged"], row["test_error_mean"]) == (1, 1, 33.0)


@pytest.mark.faults
def test_a_run_whose_configuration_was_changed_is_left_out(tmp_path):
    """A folder that is not what its name's hash says is a stale cache: its numbers are of something else."""
    name = write_run(tmp_path, "plain20", seed=0)
    path = tmp_path / "runs" / name / "config.json"
    write_json(path, {**json.loads(path.read_text()), "seed": 1})
    settings, problems = select(tmp_path)
    assert not settings
    assert len(problems) == 1 and name in problems[0]


@pytest.mark.faults
def test_a_copy_under_another_name_is_left_out(tmp_path):
    name = write_run(tmp_path, "plain20")
    (tmp_path / "runs" / name).rename(tmp_path / "runs" / "copy")
    settings, problems = select(tmp_path)
    assert not settings and "copy" in problems[0]


@pytest.mark.faults
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", "{"),
        ("config.json", "[]"),
        ("config.json", "{}"),
        ("config.json", '{"protocol": "1"}'),
        ("history.csv", ""),
        ("history.csv", "iteration,train_error,test_error\n1,2,x\n"),
        ("history.csv", "iteration,train_error\n1,2\n"),
        ("history.csv", "iteration,train_error,test_error\n1,2\n"),
        ("history.csv", "\x00\xff"),
    ],
)
def test_a_torn_file_costs_its_run_alone(tmp_path, file, content):
    torn = write_run(tmp_path, "plain20")
    write_run(tmp_path, "plain56")
    (tmp_path / "runs" / torn / file).write_text(content)
    settings, problems = select(tmp_path)
    assert [group.row.network for groups in settings.values() for group in groups] == ["plain56"]
    assert len(problems) == 1 and torn in problems[0] and problems[0].isprintable()


def test_the_setting_nearest_to_the_paper_comes_first(tmp_path):
    write_run(tmp_path, "plain20", scale="smoke", data="shapes32")
    write_run(tmp_path, "plain20", scale="short", precision="bfloat16")
    write_run(tmp_path, "plain20", scale="short")
    write_run(tmp_path, "plain20", scale="paper")
    assert [(s.scale, s.precision) for s in select(tmp_path)[0]] == [
        ("paper", "float32"),
        ("short", "float32"),
        ("short", "bfloat16"),
        ("smoke", "float32"),
    ]
