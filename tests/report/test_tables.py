"""Tables as CSV and Markdown."""

import csv
import io

from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import records, selection, tables
from resnet_keras.store import Store
from tests.report.synthetic import write_run

ASKED = (
    "network,shortcut,depth,scale,data,seeds,iterations,train_error_mean,train_error_std,test_error_mean,"
    "test_error_std,parameters,hours,device"
)


def table(root):
    settings, _ = selection.select(EXPERIMENTS["degradation"], records.read(Store(root))[0])
    return [row for groups in settings.values() for row in tables.table(groups)]


def test_columns_and_numbers(tmp_path):
    for seed, error in enumerate([10.0, 12.0, 14.0]):
        write_run(tmp_path, "plain20", seed=seed, end=(1.5, error), scale="paper", summary={"hours": 1.0 + seed})
    write_run(tmp_path, "resnet20", scale="paper", end=(1.0, 9.0))
    text = tables.csv_text(table(tmp_path))
    assert text.splitlines()[0].startswith(ASKED + ",precision,commit")
    plain, residual = csv.DictReader(io.StringIO(text))
    assert (plain["test_error_mean"], plain["test_error_std"], plain["seeds"]) == ("12.0", "2.0", "3")
    assert (plain["hours"], plain["iterations"], plain["commit"]) == ("2.0", "64000", "01234567")
    # t(2) = 4.303, and the standard error is 2 / sqrt(3)
    assert abs(float(plain["test_error_high"]) - (12 + 4.303 * 2 / 3**0.5)) < 1e-3
    assert (residual["test_error_std"], residual["test_error_low"]) == ("", "")
    assert (residual["depth"], residual["shortcut"]) == ("20", "A")


def test_markdown_has_the_same_rows(tmp_path):
    write_run(tmp_path, "plain20", end=(30.123, 33.456))
    head, rule, row = tables.markdown_text(table(tmp_path)).splitlines()
    assert head.strip("| ").split(" | ") == list(tables.MAIN)
    assert len(row.split("|")) == len(head.split("|")) == len(rule.split("|"))
    assert "| 30.12 |" in row and "| 33.46 |" in row


def test_numbers_that_are_none_leave_a_blank(tmp_path):
    write_run(tmp_path, "plain20", summary={"test_error": float("nan"), "parameters": "many", "hours": None})
    (row,) = table(tmp_path)
    assert row["test_error_mean"] is row["parameters"] is row["hours"] is None
    assert row["train_error_mean"] == 1.6


def test_a_spreadsheet_runs_nothing(tmp_path):
    write_run(tmp_path, "plain20", summary={"device": "=HYPERLINK(1)"})
    (row,) = csv.DictReader(io.StringIO(tables.csv_text(table(tmp_path))))
    assert row["device"] == "'=HYPERLINK(1)"
