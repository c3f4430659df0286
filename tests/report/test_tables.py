"""Tables: means over seeds, and how they are shown."""

import csv

import pytest

from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import runs, tables
from resnet_keras.store import Store
from tests.report.synthetic import write_run


def test_a_mean_and_its_interval(tmp_path):
    for seed, error in enumerate([10.0, 12.0, 14.0]):
        write_run(tmp_path, "plain20", seed=seed, end=(1.5, error), scale="paper")
    write_run(tmp_path, "plain20", seed=3, scale="paper", status="diverged")
    (row,) = csv.DictReader(tables.cells(runs.frame(Store(tmp_path))).to_csv(index=False).splitlines())
    assert (row["seeds"], row["diverged"], row["iterations"]) == ("3", "1", "64000")
    assert (row["test_error_mean"], row["test_error_std"]) == ("12.0", "2.0")
    # t(2) = 4.303, and the standard error is 2 / sqrt(3)
    assert float(row["test_error_high"]) == pytest.approx(12 + 4.303 * 2 / 3**0.5, abs=1e-3)


def test_the_master_table_is_network_by_length(tmp_path):
    for seed, error in enumerate([30.05, 31.05, 32.05]):
        write_run(tmp_path, "resnet20", seed=seed, end=(error, error - 1))
    write_run(tmp_path, "plain20", scale="medium", end=(20.25, 21.25))
    write_run(tmp_path, "plain20", precision="bfloat16", end=(40, 41))
    write_run(tmp_path, "resnet20", learning_rate=0.05, end=(26, 27))
    write_run(tmp_path, "resnet20", batch_norm=False, status="diverged")
    headers, rows = tables.networks_by_length(tables.cells(runs.frame(Store(tmp_path))))
    assert headers[:4] == ["Network", "2,000", "6,400", "Paper, 64,000"]
    assert {row[0]: row[1:4] for row in rows} == {
        "plain-20": ["", "20.3 / 21.3 (1)", "≈ 9.5"],
        "plain-20, bfloat16": ["40.0 / 41.0 (1)", "", "≈ 9.5"],
        "ResNet-20": ["31.1 ± 1.0 / 30.1 ± 1.0 (3)", "", "8.75"],
        "ResNet-20 rate 0.05": ["26.0 / 27.0 (1)", "", ""],
        "ResNet-20 without BN": ["diverged", "", ""],
    }


def test_an_experiments_table_shows_what_was_measured(tmp_path):
    for network, std in (("plain20", 2.0), ("resnet20", 1.0)):
        name = write_run(tmp_path, network, end=(30.125, 33.456))
        (tmp_path / "runs" / name / "responses.csv").write_text(f"layer,std,std_image\n1,{std},{std / 4}\n")
    write_run(tmp_path, "resnet56")  # on which nothing was measured
    entry = EXPERIMENTS["responses"]
    own = runs.of_experiment(runs.frame(Store(tmp_path)), entry, "short")
    headers, rows = tables.experiment_table(own, entry.measures)
    assert headers[:5] == ["Network", "Seeds", "Training error, %", "Test error, %", "Paper"]
    assert headers[5:] == ["Median response", "to augmented images", "within the median image"]
    assert rows == [
        ["plain-20", "1", "30.13", "33.46", "≈ 9.5", "2.00", "", "0.500"],
        ["ResNet-20", "1", "30.13", "33.46", "8.75", "1.00", "", "0.250"],
    ]
