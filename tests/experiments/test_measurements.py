"""Measurements are taken once, kept with the run, and outlive the network's weights."""

import dataclasses
import types

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.experiments import measurements, runner  # noqa: E402
from resnet_keras.experiments.catalogue import EXPERIMENTS, Experiment  # noqa: E402
from resnet_keras.store import MEASUREMENTS, Store  # noqa: E402
from resnet_keras.training.recipe import Recipe  # noqa: E402
from resnet_keras.training.run import Run  # noqa: E402
from resnet_keras.training.trainer import train  # noqa: E402

RECIPE = Recipe(iterations=6, batch_size=16, drops=(3,), log_interval=3, test_interval=6)


@pytest.fixture(autouse=True)
def from_memory(tiny, monkeypatch):
    from resnet_keras import data

    monkeypatch.setattr(data, "load", lambda *_, **__: tiny)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A store with one run that is done, and the run."""
    store, run = Store(tmp_path_factory.mktemp("results")), Run("resnet8", "tiny", RECIPE)
    train(run, store=store, dataset=tiny)
    return store, run


def test_the_tables_of_names_agree():
    assert set(measurements.MEASURES) == set(MEASUREMENTS)
    assert {name for experiment in EXPERIMENTS.values() for name in experiment.measures} <= set(MEASUREMENTS)


@pytest.mark.parametrize("name", sorted(set(MEASUREMENTS) - {"views"}))  # those are of ImageNet networks alone
def test_a_measurement_comes_back_and_is_not_repeated(name, trained, tiny, capsys):
    store, run = trained
    folder = store.run(run.name(tiny.identity))
    assert folder.measurement(name) is None and not folder.has_measurement(name)
    assert measurements.unmeasured([name], [run], tiny.identity, store) == [(name, run)]
    measurements.complete([name], [run], tiny.identity, store=store)
    assert f"measuring {name} of resnet8" in capsys.readouterr().out
    table = folder.measurement(name)
    assert len(table) >= 4 and not table.drop(columns="place", errors="ignore").isna().any(axis=None)
    images = {"responses": 300, "gradients": 300, "lesion": 90, "surface": 300}
    assert name == "start" or (table["images"] == images[name]).all()
    written = (folder.path / f"{name}.csv").stat().st_mtime_ns
    measurements.complete([name], [run], tiny.identity, store=store)
    assert (folder.path / f"{name}.csv").stat().st_mtime_ns == written and not capsys.readouterr().out


def test_gradients_are_taken_at_the_start_on_the_way_and_at_the_end(trained, tiny):
    store, run = trained
    folder = store.run(run.name(tiny.identity))
    rows = measurements.measure_gradients(run, folder, tiny)
    assert sorted({row["iteration"] for row in rows}) == [0, 1, 4, 6]
    assert [row["layer"] for row in rows if row["iteration"] == 4] == list(range(1, 9))
    start = next(row["weight_norm"] for row in rows if row["place"] == "conv1")
    assert start == pytest.approx(np.sqrt(2 / 27 * 432), rel=0.1)  # He: variance 2 / fan-in


def test_the_first_steps_are_those_of_the_run(trained, tiny):
    store, run = trained
    folder = store.run(run.name(tiny.identity))
    rows = measurements.measure_start(run, folder, tiny)
    assert [row["iteration"] for row in rows] == list(range(7))
    kernel = np.array(folder.load_network().stages["conv1"][0].kernel)
    assert rows[6]["weight_norm"] == pytest.approx(np.linalg.norm(kernel), rel=1e-6)
    rates = [row["effective_rate"] * row["weight_norm"] ** 2 for row in rows]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])  # the rate drops after 3 iterations


def test_training_the_beginning_again_gives_the_same_bits(trained, tiny):
    store, run = trained
    first = store.run(run.name(tiny.identity)).load_network()
    before = sorted(store.root.rglob("*"))
    *_, (iteration, network) = measurements.trained_again(run, tiny, (0, 1, 4, 6))
    assert iteration == 6 and sorted(store.root.rglob("*")) == before
    pairs = zip(network.variables, first.variables, strict=True)
    assert all(np.array_equal(np.array(a), np.array(b)) for a, b in pairs)


def test_without_its_weights_a_run_says_so_and_what_is_stored_is_read(tiny, tmp_path, capsys):
    store, run = Store(tmp_path), Run("plain8", "tiny", RECIPE)
    folder = train(run, store=store, dataset=tiny)
    folder.network_file.unlink()
    folder.write_measurement("lesion", [{"lesion": "none", "error": 12.5}])
    capsys.readouterr()
    measurements.complete(["lesion", "responses"], [run], tiny.identity, store=store)
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "no network.keras to measure responses on" in out
    assert folder.measurement("lesion")["error"].tolist() == [12.5]


def test_a_run_that_diverges_is_followed_up_to_there(tiny, tmp_path):
    wild = dataclasses.replace(RECIPE, learning_rate=100.0, batch_norm=False)
    store, run = Store(tmp_path), Run("resnet8", "tiny", wild)
    folder = train(run, store=store, dataset=tiny)
    assert folder.status == "diverged" and "-nobn-" in folder.name
    assert measurements.unmeasured(["responses", "lesion"], [run], tiny.identity, store) == []
    measurements.complete(["gradients"], [run], tiny.identity, store=store)
    table = folder.measurement("gradients")
    assert table["iteration"].iloc[0] == 0 and np.isfinite(table["gradient_norm"]).all()
    assert table["iteration"].max() < 6


def test_a_repeat_measures_again(tiny, tmp_path):
    folder = Store(tmp_path).run("tiny-plain8-s0-00000000")
    folder.begin({})
    for name in MEASUREMENTS:
        folder.write_measurement(name, [{"error": 1.0}])
    folder.clear()
    assert not any(folder.has_measurement(name) for name in MEASUREMENTS)


@pytest.mark.parametrize("name", ["response", "../config", ""])
def test_an_unknown_measurement_is_refused(tmp_path, name):
    folder = Store(tmp_path).run("tiny-plain8-s0-00000000")
    with pytest.raises(UserError, match="use one of responses, gradients, lesion"):
        folder.measurement(name)


def test_a_broken_measurement_is_named_in_one_line(tmp_path):
    folder = Store(tmp_path).run("tiny-plain8-s0-00000000")
    folder.begin({})
    (folder.path / "lesion.csv").write_text("")
    with pytest.raises(UserError, match=r"lesion\.csv cannot be read.*measure again"):
        folder.measurement("lesion")


def test_nothing_is_trained_or_measured_unasked(trained, tiny, tmp_path, monkeypatch, capsys):
    store, run = trained
    other = Run("plain8", "tiny", dataclasses.replace(RECIPE, batch_norm=False))
    probe = Experiment("probe", "Probe", "nowhere", "nothing", {"smoke": ()}, measures=("responses",))
    folder = store.run(run.name(tiny.identity))
    (folder.path / "responses.csv").unlink(missing_ok=True)
    before = sorted(store.root.rglob("*"))
    said = runner.describe_missing(probe, [run, other], tiny.identity, store)
    assert "1 of 2 runs are done" in said
    assert "Not run: plain8 without BN, responses of resnet8." in said
    assert "resnet-keras run probe" in said and "--data tiny" in said
    assert sorted(store.root.rglob("*")) == before


def test_views_are_the_errors_of_each_way_of_testing(tmp_path, monkeypatch):
    """Against scores that are made up: three of four right in one view, all in ten, the last in the five best alone."""
    from resnet_keras.evaluation import views as ways

    right = {"1": [0, 1, 2, 9], "10": [0, 1, 2, 3], "multiscale": [0, 1, 2, 3]}

    def evaluated(network, split, mode):
        scores = np.full((4, 10), 0.01)
        scores[np.arange(4), right[mode]] = 0.9
        scores[3, 3] = max(scores[3, 3], 0.5)
        yield scores[:3], np.arange(3)
        yield scores[3:], np.array([3])

    monkeypatch.setattr(ways, "evaluated", evaluated)
    folder = types.SimpleNamespace(load_network=lambda: None)
    rows = measurements.measure_views(None, folder, types.SimpleNamespace(test=None))
    assert [(row["views"], row["top1_error"], row["top5_error"], row["images"]) for row in rows] == [
        ("1", 25.0, 0.0, 4), ("10", 0.0, 0.0, 4), ("multiscale", 0.0, 0.0, 4),
    ]  # fmt: skip
