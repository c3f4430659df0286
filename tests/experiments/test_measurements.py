"""Measurements are taken once, kept with the run, and outlive the network's weights."""

import dataclasses

import numpy as np
import pytest

from resnet_keras import data
from resnet_keras.errors import UserError
from resnet_keras.evaluation import inside
from resnet_keras.experiments import measurements, runner
from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.store import MEASUREMENTS, Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from resnet_keras.training.trainer import train
from tests.models.reference import array

RECIPE = Recipe(iterations=6, batch_size=16, drops=(3,), log_interval=3, test_interval=6)


@pytest.fixture(autouse=True)
def from_memory(tiny, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_, **__: tiny)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A store with one run that is done, the run, and its folder."""
    store, run = Store(tmp_path_factory.mktemp("results")), Run("resnet8", "tiny", RECIPE)
    return store, run, train(run, store=store, dataset=tiny)


def test_measurements_come_back_and_are_not_repeated(trained, tiny, capsys, monkeypatch):
    monkeypatch.setattr(inside.surface, "__defaults__", (3, 0))  # points and seed
    assert set(measurements.MEASURES) == set(MEASUREMENTS)
    assert {name for experiment in EXPERIMENTS.values() for name in experiment.measures} <= set(MEASUREMENTS)
    store, run, folder = trained
    names = sorted(set(MEASUREMENTS) - {"views"})  # those are of ImageNet networks alone
    assert [name for name, *_ in runner.unmeasured(names, [run], tiny.identity, store)] == list(names)
    runner.measure(names, [run], tiny.identity, store=store)
    out = capsys.readouterr().out
    images = {"responses": 300, "gradients": 300, "lesion": 90, "surface": 300}
    for name in names:
        table = folder.measurement(name)
        assert f"measuring {name} of resnet8" in out and len(table) >= 4
        assert not table.drop(columns="place", errors="ignore").isna().any(axis=None)
        assert name == "start" or (table["images"] == images[name]).all()
    runner.measure(names, [run], tiny.identity, store=store)
    assert not capsys.readouterr().out


def test_responses_to_the_images_as_they_are_and_to_their_crops(trained, tiny):
    _, run, folder = trained
    rows, network = measurements.measure_responses(run, folder, tiny), folder.load_network()
    plan = data.augment.Plan(*(field[0] for field in data.augment.draw_plan(0, 0, 1, 300, 300, pad=1)))
    crops = array(data.augment.apply(tiny.train.images, tiny.train.labels, plan)[0])
    for column, images in (("std", tiny.train.images), ("std_augmented", crops)):
        assert [row[column] for row in rows] == [row["std"] for row in inside.responses(network, images)]


def test_training_the_beginning_again_takes_the_runs_own_steps_and_writes_nothing(trained, tiny):
    store, run, folder = trained
    before = sorted(store.root.rglob("*"))
    *_, (iteration, network) = measurements.trained_again(run, tiny, (0, 1, 4, 6))
    pairs = list(zip(network.variables, folder.load_network().variables, strict=True))
    assert iteration == 6 and all(np.array_equal(array(a), array(b)) for a, b in pairs)
    assert sorted(store.root.rglob("*")) == before


def test_gradients_and_first_steps_are_those_of_the_run(trained, tiny):
    _, run, folder = trained
    rows = measurements.measure_gradients(run, folder, tiny)
    assert sorted({row["iteration"] for row in rows}) == [0, 1, 4, 6]
    assert [row["layer"] for row in rows if row["iteration"] == 4] == list(range(1, 9))
    start = next(row["weight_norm"] for row in rows if row["place"] == "conv1")
    assert start == pytest.approx(np.sqrt(2 / 27 * 432), rel=0.1)  # He: variance 2 / fan-in
    rows = measurements.measure_start(run, folder, tiny)
    assert [row["iteration"] for row in rows] == list(range(7))
    rates = [row["effective_rate"] * row["weight_norm"] ** 2 for row in rows]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])  # the rate drops after 3 iterations
    kernel = array(folder.load_network().stages["conv1"][0].kernel)
    assert rows[6]["weight_norm"] == pytest.approx(np.linalg.norm(kernel), rel=1e-6)


def test_without_its_weights_or_with_a_broken_measurement_a_run_says_so(trained, tiny, tmp_path, capsys):
    store, run = Store(tmp_path), trained[1]
    folder = store.run(run.name(tiny.identity))
    folder.begin(run.config(tiny.identity))
    folder.write_summary({"status": "finished"})
    folder.write_table("lesion", [{"lesion": "none", "error": 12.5}])
    runner.measure(["lesion", "responses"], [run], tiny.identity, store=store)
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "no network.keras to measure responses on" in out
    (folder.path / "lesion.csv").write_text("")
    with pytest.raises(UserError, match=r"lesion\.csv cannot be read"):
        folder.measurement("lesion")


def test_a_run_that_diverges_is_followed_up_to_there(tiny, tmp_path):
    wild = dataclasses.replace(RECIPE, learning_rate=100.0, batch_norm=False)
    store, run = Store(tmp_path), Run("resnet8", "tiny", wild)
    folder = train(run, store=store, dataset=tiny)
    assert folder.status == "diverged" and "-nobn-" in folder.name
    possible = runner.unmeasured(["responses", "gradients"], [run], tiny.identity, store)
    assert [name for name, *_ in possible] == ["gradients"]
    runner.measure(["gradients"], [run], tiny.identity, store=store)
    table = folder.measurement("gradients")
    assert table["iteration"].iloc[0] == 0 and np.isfinite(table["gradient_norm"]).all()
    assert table["iteration"].max() < 6
