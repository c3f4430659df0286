"""The frame of runs: what is in it, what is left out, and which runs agree in all but the seed."""

import dataclasses
import math

import pytest

from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import claims, profiles, runs
from resnet_keras.store import MEASUREMENTS, Store
from resnet_keras.training.recipe import preset
from tests.report.synthetic import write_run


def test_a_row_says_what_its_files_say(tmp_path):
    name = write_run(tmp_path, "resnet56", shortcut="B", seed=2, precision="bfloat16", end=(30.5, 33.25))
    (row,) = runs.frame(Store(tmp_path)).to_dict("records")
    expected = {
        "run": name, "network": "resnet56", "kind": "residual", "depth": 56, "shortcut": "B", "batch_norm": True,
        "data": "cifar10", "data_title": "CIFAR-10", "scale": "short", "iterations": 2000, "learning_rate": 0.1,
        "recipe": "", "precision": "bfloat16", "seed": 2, "status": "finished", "train_error": 30.5,
        "test_error": 33.25, "parameters": 269722, "commit": "01234567", "device": "2 x test CPU", "cores": 2,
        "cpu": "test CPU", "weights": False,
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert math.isnan(row["train_error_inference"]) and math.isnan(row["responses_median"])


def test_what_differs_from_a_scales_recipe_is_said():
    expected = [
        ({"precision": "bfloat16", "test_interval": 500}, ("short", "")),
        ({"decay_on": "all", "bn_batch": 64}, ("short", "decay_on=all, bn_batch=64")),
        ({"iterations": 4000, "drops": (2000, 3000)}, ("custom", "")),
        ({"iterations": 4000}, ("custom", "drops=(1000, 1500)")),
    ]
    for changes, words in expected:
        assert runs.variation(dataclasses.replace(preset("short"), **changes)) == words


def test_runs_that_differ_in_more_than_the_seed_never_share_a_cell(tmp_path):
    others = [
        {"scale": "medium"}, {"data": "cifar10_jpeg"}, {"version": "9.9.9"}, {"precision": "bfloat16"},
        {"network": "resnet20"}, {"network": "resnet20", "shortcut": "B"}, {"learning_rate": 0.05},
    ]  # fmt: skip
    for seed, other in enumerate([{}, {}, *others]):
        write_run(tmp_path, **{"network": "plain20", "seed": seed, **other})
    assert sorted(runs.frame(Store(tmp_path)).groupby(runs.CELL).size()) == [1] * len(others) + [2]


def test_an_experiment_takes_one_data_set_and_one_precision(tmp_path):
    made = [("plain20", "bfloat16", 0), ("plain56", "bfloat16", 0), ("resnet20", "bfloat16", 0)]
    for network, which, seed in made + [("plain20", "float32", seed) for seed in range(4)]:  # more, of one network
        write_run(tmp_path, network, precision=which, seed=seed)
    write_run(tmp_path, "plain20", data="cifar10_jpeg", learning_rate=0.05)
    write_run(tmp_path, "plain20", data="cifar10_jpeg")
    all_runs, entry = runs.frame(Store(tmp_path)), EXPERIMENTS["degradation"]
    assert set(runs.of_experiment(all_runs, entry, "short")["precision"]) == {"bfloat16"}
    assert len(runs.of_experiment(all_runs, entry, "short", "CIFAR-10 (JPEG)")) == 1
    assert len(runs.of_experiment(all_runs, EXPERIMENTS["precision"], "short", "cifar10")) == 7
    assert len(runs.of_experiment(all_runs, EXPERIMENTS["rate"], "short", "cifar10")) == 7  # what there is, in either
    assert len(runs.of_experiment(all_runs, entry, "smoke")) == 0


def test_measurements_count_in_any_precision_and_twins_are_drawn_in_the_one_in_which_they_share_most_seeds(tmp_path):
    for network, count in {"plain20": 4, "resnet20": 4, "plain56": 3, "resnet56": 1}.items():
        for number in range(count):  # bfloat16: seed 0; float32: seeds 1, 2, 0
            run = write_run(tmp_path, network, precision="float32" if number else "bfloat16", seed=number % 3)
            error = 60 + number % 3 - 40 * ("resnet" in network)
            (tmp_path / "runs" / run / "lesion.csv").write_text(f"lesion,error\nnone,9\ndelete,{error}\nswap,{error}\n")
    own = runs.of_experiment(runs.frame(Store(tmp_path)), EXPERIMENTS["lesion"], "short")
    assert len(own) == 12 and "(12.0 against 52.0 points, 3 and 3" in claims.answer(EXPERIMENTS["lesion"], own)
    drawn = profiles.measured(Store(tmp_path), own, "lesion").groupby("network")["precision"].unique().str.join("")
    assert list(drawn) == ["float32", "bfloat16"] * 2, "plain and residual networks of 20 and 56 layers"


def test_a_run_under_way_and_a_diverged_one_are_told_apart_and_numbers_that_are_none_are_nan(tmp_path):
    write_run(tmp_path, "plain20", status="running")
    write_run(tmp_path, "plain20", seed=1, status="diverged", summary={"test_error": None, "parameters": "many"})
    table = runs.frame(Store(tmp_path))
    assert list(table["status"]) == ["interrupted", "diverged"]
    assert len(runs.finished(table)) == 0 == len(runs.histories(Store(tmp_path), table))
    assert list(table[["train_error", "test_error", "parameters"]].iloc[1].isna()) == [False, True, True]


def test_histories_stand_below_each_other(tmp_path):
    names = [write_run(tmp_path, "plain20", seed=seed, end=(30.0 + seed, 33.0)) for seed in range(2)]
    table = runs.histories(Store(tmp_path), runs.frame(Store(tmp_path)))
    last = table[table["iteration"] == 2000]
    assert list(last["run"]) == names and list(last["train_error"]) == [30.0, 31.0] and len(table) == 80


MEASURED = {
    "responses": "layer,std,std_augmented,std_image\n1,1.0,3,5\n2,2.0,4,6\n3,6.0,1,7\n",
    # The last layer of each iteration is the classifier.
    "gradients": "iteration,layer,gradient_norm,weight_norm\n0,1,8,5\n0,2,6,5\n0,3,2,5\n0,4,9,1\n16,1,100,5\n"
    "2000,4,9,1\n2000,3,4,2\n2000,2,3,2\n2000,1,1,40\n",
    "lesion": "lesion,error\nnone,10\ndelete,12\ndelete,90\ndelete,14\nswap,11\nswap,13\n",
    "start": "iteration,weight_norm\n0,5\n1,20\n2,10\n",
    "surface": "x,y,cross_entropy\n-1,0,2.5\n0,0,0.5\n1,0,1.5\n",
    "views": "views,top1_error,top5_error\n1,30,10\n10,28,9\nmultiscale,25,7\n",
}


def test_numbers_of_measurements(tmp_path):
    expected = {
        "responses_median": 2.0, "responses_augmented": 3.0, "responses_image": 6.0, "gradients_start": 4.0,
        "gradients_end_scaled": 5.0, "lesion_intact": 10.0, "lesion_deleted": 14.0, "lesion_added": 4.0,
        "lesion_swapped": 12.0, "start_growth": 4.0, "surface_median": 1.5, "top1_1": 30.0, "top5_1": 10.0,
        "top1_10": 28.0, "top5_10": 9.0, "top1_multiscale": 25, "top5_multiscale": 7,
    }  # fmt: skip
    name = write_run(tmp_path, "plain20")
    for measurement, content in MEASURED.items():
        (tmp_path / "runs" / name / f"{measurement}.csv").write_text(content)
    table = runs.frame(Store(tmp_path))
    assert table[list(expected)].iloc[0].to_dict() == pytest.approx(expected)
    assert set(runs.NUMBERS) == set(MEASUREMENTS) == set(MEASURED)
    assert len(runs.measurements(Store(tmp_path), table, "lesion")) == 6


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "std\nhigh\n", "std\n", "std\ninf\n"])
def test_a_measurement_of_another_making_or_time_gives_nan(tmp_path, content):
    name = write_run(tmp_path, "plain20", status="diverged")
    (tmp_path / "runs" / name / "responses.csv").write_text(content)
    (tmp_path / "runs" / name / "gradients.csv").write_text(MEASURED["gradients"].replace("2000,", "64,"))
    row = runs.frame(Store(tmp_path)).iloc[0]
    assert row[["responses_median", "responses_augmented", "responses_image"]].isna().all()
    assert row["gradients_start"] == 4.0 and math.isnan(row["gradients_end_scaled"]), "measured before the end alone"
