"""The benchmark runs, compares like with like, and writes what it measured."""

import csv

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks import __main__ as command
from benchmarks import train_step
from benchmarks.contenders import StockKeras


def test_the_peer_is_the_same_network():
    """Equal trainable parameters: option A has none, so only the layers count."""
    peer = StockKeras("resnet20", "float32", 4)
    assert sum(int(np.prod(v.shape)) for v in peer.model.trainable_variables) == 269_722


def test_smoke_prints_every_contender_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    command.main(["--smoke"])
    out = capsys.readouterr().out
    assert "ours" in out and "stock Keras fit" in out and "Written" not in out
    assert not list(tmp_path.iterdir())


def test_ratios_are_taken_within_a_round(tmp_path):
    """A machine that halves its speed between two rounds changes no ratio."""
    seconds = {("ours", "float32"): [1.0, 2.0, 1.0], ("stock Keras fit", "float32"): [3.0, 6.0, 3.0]}
    rows = train_step._rows("resnet8", seconds, dict.fromkeys(seconds, 1.0), 3, 1, 12)
    assert [row["ours_is_faster_by"] for row in rows] == [1.0, 3.0]
    assert [row["images_per_second"] for row in rows] == [12.0, 4.0]
    train_step.write(rows, tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        assert [row["contender"] for row in csv.DictReader(file)] == ["ours", "stock Keras fit"]


def test_a_mistake_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--rounds", "0"])
    assert "1 or more" in capsys.readouterr().err
