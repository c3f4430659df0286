"""Experiments name runs that exist, in an order of worth."""

import pytest

from resnet_keras.data import Identity
from resnet_keras.errors import UserError
from resnet_keras.experiments.catalogue import EXPERIMENTS, experiment
from resnet_keras.training.recipe import PRESETS


def test_every_run_can_be_named_and_differs():
    identity = Identity("cifar10", "3.0.2", "CIFAR-10")
    for name, scale in [(each.name, scale) for each in EXPERIMENTS.values() for scale in each.networks]:
        runs = experiment(name).runs(scale, "cifar10", seeds=2)
        assert len({run.name(identity) for run in runs}) == len(runs)
        assert [run.seed for run in runs] == sorted(run.seed for run in runs)
        assert {run.config(identity)["scale"] for run in runs} <= {scale, "custom"}
    assert {scale for each in EXPERIMENTS.values() for scale in each.networks} == set(PRESETS)
    for name, scale in (("imagenet-depth", "short"), ("degradation", "imagenet")):
        with pytest.raises(UserError, match=f"{name} has no scale '{scale}'"):
            experiment(name).runs(scale)


def test_degradation_compares_twins_of_the_papers_depths_at_the_ends_first():
    names = {run.network for run in experiment("degradation").runs("paper")}
    assert names == {f"{kind}{depth}" for kind in ("plain", "resnet") for depth in (20, 32, 44, 56)}
    first = experiment("degradation").runs("short")[:4]
    assert [run.network for run in first] == ["plain20", "resnet20", "plain56", "resnet56"]


def test_precision_and_rate_share_runs_with_degradation():
    usual = experiment("degradation").runs("short", seeds=3, precision="bfloat16")
    runs = experiment("precision").runs("short", seeds=3, precision="float32")  # whatever is asked for
    pairs = {(run.network, run.seed): set() for run in runs}
    for run in runs:
        pairs[run.network, run.seed].add(run.recipe.precision)
    assert len(pairs) == 12 and all(pair == {"bfloat16", "float32"} for pair in pairs.values())
    assert {run for run in runs if run.recipe.precision == "bfloat16"} <= set(usual)
    runs = experiment("rate").runs("short", precision="bfloat16")
    assert {run.recipe.learning_rate for run in runs} == {0.1, 0.05, 0.02, 0.01} and len(runs) == 16
    assert set(runs[:4]) == set(usual[:4])


def test_imagenet_experiments_hold_the_networks_of_tables_2_and_3():
    runs = {name: experiment(name).runs("imagenet") for name in EXPERIMENTS if name.startswith("imagenet-")}
    assert {name: {run.title for run in several} for name, several in runs.items()} == {
        "imagenet-depth": {"plain18", "resnet18", "plain34", "resnet34"},
        "imagenet-shortcuts": {"plain34", "resnet34", "resnet34 option B", "resnet34 option C"},
        "imagenet-bottleneck": {"resnet50", "resnet101", "resnet152"},
    }
    assert {run.data for several in runs.values() for run in several} == {"imagenet2012"}
