"""The runner trains what is missing and nothing else."""

import dataclasses
import itertools

import pytest

pytest.importorskip("keras")

from resnet_keras.errors import UserError
from resnet_keras.experiments import cost, runner
from resnet_keras.experiments.catalogue import experiment
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run


@pytest.fixture
def runs(tiny, monkeypatch):
    from resnet_keras import data

    monkeypatch.setattr(data, "load", lambda *_, **__: tiny)
    recipe = Recipe(iterations=6, batch_size=16, drops=(3,), log_interval=3, test_interval=6)
    return [Run(name, "tiny", recipe) for name in ("plain8", "resnet8")]


def test_trains_the_missing_ones(runs, tiny, tmp_path, capsys):
    store = Store(tmp_path)
    runner.execute(runs[:1], tiny.identity, store=store)
    assert [folder.name for folder in store.runs()] == [runs[0].name(tiny.identity)]
    capsys.readouterr()
    runner.execute(runs, tiny.identity, store=store)
    out = capsys.readouterr().out
    assert "1 of 2 runs to train" in out and "resnet8" in out and "plain8" not in out
    runner.execute(runs, tiny.identity, store=store)
    assert "All 2 runs are there already" in capsys.readouterr().out


def test_auto_precision_follows_the_runs_that_are_there(tiny, tmp_path, monkeypatch):
    chosen, store = experiment("degradation"), Store(tmp_path)
    for precision in ("float32", "bfloat16"):
        folder = store.run(chosen.runs("smoke", precision=precision)[0].name(tiny.identity))
        folder.begin({})
        folder.write_summary({"status": "finished"})
        found = runner.resolve_precision(chosen, "smoke", None, store, tiny.identity, 1)
        assert found == precision
        folder.clear()


@pytest.mark.parametrize(
    ("network", "millions"),
    [("plain20", 40.55), ("resnet32", 68.86), ("resnet44", 97.17), ("resnet56", 125.49), ("resnet110", 252.89)],
)
def test_the_arithmetic_behind_the_estimate_is_the_papers(network, millions):
    assert cost.multiply_adds(network) / 1e6 == pytest.approx(millions, abs=0.05)


def test_an_estimate_follows_the_measured_speed(runs, tiny, tmp_path):
    store = Store(tmp_path)
    assert cost.measured_speed(store, "a machine", "float32") is None
    folder = store.run("tiny-plain20-s0-00000000")
    folder.begin({"network": "plain20", "recipe": {"precision": "float32"}})
    folder.write_summary({"status": "finished", "device": "a machine", "images_per_second": 100.0})
    assert cost.measured_speed(store, "a machine", "float32") == pytest.approx(100 * 40.55e6, rel=1e-4)
    assert cost.measured_speed(store, "a machine", "bfloat16") is None
    long = dataclasses.replace(runs[0].recipe, iterations=1000, test_interval=999)
    slow = cost.seconds(dataclasses.replace(runs[0], network="plain20", recipe=long), 100 * 40.55e6)
    training, testing = 1000 * 16 / 100, 2 * 10_000 / 3 / 100
    assert training + testing < slow < training + testing + 30


def test_shares_are_disjoint_and_whole():
    runs = list(range(7))
    shares = [runner.share(runs, f"{k}/3") for k in (1, 2, 3)]
    assert (
        sorted(itertools.chain(*shares)) == runs
        and runner.share(runs, None) == runs
        and runner.share(runs, "9/9") == []
    )
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0", "-1/3"):
        with pytest.raises(UserError, match="K/N"):
            runner.share(runs, wrong)
