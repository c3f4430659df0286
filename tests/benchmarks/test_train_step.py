"""The benchmark of steps: equal networks, fair turns, and rows that compare medians."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks import __main__ as command
from benchmarks import figure, records, train_step
from benchmarks.contenders import CONTENDERS, Contender, make
from benchmarks.workers import Skipped, Worker

PARAMETERS = 269_722  # of ResNet-20, trainable; option A has none


def test_the_peers_are_the_same_network():
    bare = make("bare_tensorflow", "resnet20", "float32", 4)
    assert sum(int(np.prod(v.shape)) for v in bare.trainable) == PARAMETERS
    from benchmarks.contenders.stock_keras import model

    assert sum(int(np.prod(v.shape)) for v in model("resnet20").trainable_variables) == PARAMETERS


def test_the_peer_in_pytorch_is_the_same_network():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    twin = make("pytorch", "resnet20", "float32", 4, compiled=False)
    assert sum(p.numel() for p in twin.network.parameters()) == PARAMETERS


def test_stock_fit_stands_still_between_turns():
    """A fit that ran on in the background would take the processor from whoever's turn it is."""
    stock = make("stock_keras", "resnet8", "float32", 4)
    for steps, total in ((1, 1), (2, 3)):
        assert stock.take(steps) > 0
        time.sleep(0.3)
        assert int(stock.model.optimizer.iterations) == total


class Fake:
    """A worker whose steps take a known time, and which notes its turns."""

    def __init__(self, name, seconds, log):
        self.contender, self.seconds, self.log = Contender(name, "float32", "none"), seconds, log
        self.started = {"build": 1.0, "first_step": 2.0, "versions": {"a": "1"}}

    def take(self, steps):
        self.log.append((self.contender.name, steps))
        return steps * self.seconds


def test_turns_are_interleaved_and_of_equal_length():
    log = []
    times = train_step.take_turns([Fake("a", 0.1, log), Fake("b", 0.3, log)], rounds=3, turn=1.0)
    assert log[-6:] == [("a", 10), ("b", 3)] * 3
    assert times == [pytest.approx([0.1] * 3), pytest.approx([0.3] * 3)]


def test_the_ratio_is_that_of_medians():
    ours, theirs = Fake("resnet_keras", 1, []), Fake("Keras fit", 1, [])
    times = [[1.0, 2.0, 1.0], [3.0, 3.0, 9.0]]
    rows = train_step.rows_of("resnet8", [ours, theirs], times, SimpleNamespace(batch_size=12, rounds=3))
    assert [row["images_per_second"] for row in rows] == [12.0, 4.0]
    assert [row["ours_faster"] for row in rows] == [1.0, 3.0]
    assert rows[1]["lower_quartile"] < 4.0 <= rows[1]["upper_quartile"]


def test_a_contender_that_cannot_run_says_why():
    with pytest.raises(Skipped, match=r"No module named 'benchmarks\.contenders\.abacus'"):
        Worker(Contender("abacus", "float32", "abacus"), "resnet8", 4)
    with pytest.raises(Skipped, match="torch-python"):
        train_step._check(CONTENDERS[-1], "/bin/false")


@pytest.mark.slow
def test_smoke_measures_each_kind_of_contender_and_writes_nothing(capsys, tmp_path):
    command.main(["--smoke", "train_step", "--output", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert all(name in out for name in ("resnet_keras", "Keras fit", "tf.function", "PyTorch compiled"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["trian_step"], ["--networks", "resnet21"]])
def test_a_mistake_is_refused(capsys, arguments):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert "error:" in capsys.readouterr().err


def rows_of(network, speed, **more):
    row = {"network": network, "contender": "resnet_keras", "precision": "bfloat16", "images_per_second": speed}
    row |= {"lower_quartile": speed - 5, "upper_quartile": speed + 5, "ours_faster": 1.0, "device": "test CPU"}
    return [dict.fromkeys(records.ENVIRONMENT, "0") | row | {"measured": records.now()} | more]


def test_what_was_just_measured_is_resumed_not_repeated(tmp_path, monkeypatch, capsys):
    asked = []

    def measure(options):
        for network in options.networks:
            asked.append(network)
            yield rows_of(network, 100)

    monkeypatch.setattr(train_step, "measure", measure)
    command.main(["train_step", "--networks", "resnet20", "--output", str(tmp_path)])
    command.main(["train_step", "--networks", "resnet20", "resnet56", "--resume", "--output", str(tmp_path)])
    assert asked == ["resnet20", "resnet56"]
    command.main(["train_step", "--networks", "resnet20", "resnet56", "--resume", "--output", str(tmp_path)])
    assert asked == ["resnet20", "resnet56"] and "already" in capsys.readouterr().out
    assert [row["network"] for row in records.read(tmp_path / "train_step.csv")] == ["resnet20", "resnet56"]
    assert (tmp_path / "train_step.png").stat().st_size > 10_000
    assert "## train_step" in (tmp_path / "README.md").read_text()
    old = rows_of("resnet20", 100, measured="2020-01-01T00:00+00:00")
    assert records.age_hours(old[0]) > records.FRESH_HOURS


def test_a_skipped_contender_is_in_the_table_and_not_in_the_figure(tmp_path):
    skipped = {"network": "resnet20", "contender": "PyTorch", "precision": "float32", "note": "skipped: not installed"}
    records.write(tmp_path / "train_step.csv", [*rows_of("resnet20", 100), skipped])
    assert figure.draw(tmp_path / "train_step.csv").exists()
    assert records.read(tmp_path / "train_step.csv")[1]["note"] == "skipped: not installed"
