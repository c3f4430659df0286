"""The runner trains what is missing and nothing else."""

import dataclasses
import io
import os
import time

import pytest
import rich.console

from resnet_keras import data
from resnet_keras.experiments import runner
from resnet_keras.experiments.catalogue import experiment
from resnet_keras.quiet import backend
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run, is_done
from tests.conftest import write_images


@pytest.fixture
def runs(tiny, monkeypatch):
    """Two runs that take eight seconds each."""
    monkeypatch.setattr(data, "load", lambda *_, **__: tiny)
    monkeypatch.setattr(runner, "seconds", lambda runs, *_: [8.0] * len(runs))
    recipe = Recipe(iterations=6, batch_size=16, drops=(3,), log_interval=3, test_interval=6)
    return [Run(name, "tiny", recipe) for name in ("plain8", "resnet8")]


def finish(store, run, tiny, **summary):
    """A folder as of a run that is done."""
    folder = store.run(run.name(tiny.identity))
    folder.begin(run.config(tiny.identity))
    folder.write_environment({"backend": backend()})
    folder.write_summary({"status": "finished", **summary})
    return folder


def test_trains_the_missing_ones(runs, tiny, tmp_path, capsys):
    store = Store(tmp_path)
    finish(store, runs[0], tiny)
    runner.train_here(runs, tiny.identity, store=store)
    out = capsys.readouterr().out
    assert "1 of 2 runs to train" in out and "about 8 s" in out and "resnet8" in out and "plain8" not in out
    assert store.run(runs[1].name(tiny.identity)).network_file.is_file()
    runner.train_here(runs, tiny.identity, store=store)
    assert "All 2 runs are done" in capsys.readouterr().out


def test_other_processes_train_too_in_silence_and_the_longest_runs_first(tmp_path, monkeypatch, capfd):
    """This one trains nothing here, and waits for what the other one does."""
    for name, value in {"RESNET_KERAS_DATA": str(tmp_path), "TF_NUM_INTRAOP_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    recipe = Recipe(iterations=2, batch_size=8, drops=(1,), log_interval=1, test_interval=2)
    images = f"{write_images(tmp_path / 'images')}{os.sep}"
    (tmp_path / "images" / "train" / "notes.txt").touch()  # is said to be left out, by this process alone
    runs, store, labels = [Run(name, images, recipe) for name in ("plain8", "resnet14")], Store(tmp_path), []
    identity = data.identify(images)

    def wait(run, *, label, later, **_):
        labels.append((label, later))
        end = time.monotonic() + 200
        while not is_done(store.run(run.name(identity))):
            assert time.monotonic() < end, "nobody trains it"
            time.sleep(0.1)

    monkeypatch.setattr(runner, "train", wait)
    monkeypatch.setattr(runner, "seconds", lambda *_: [9.0, 5.0])
    runner.train_here(runs, identity, store=store, jobs=2)
    assert labels == [("[1/2] resnet14", 0.0), ("[2/2] plain8", pytest.approx(2 / 5))]
    said = capfd.readouterr()
    assert said.out.startswith("2 of 2 runs to train on 1 x ") and said.out.endswith(", 2 at a time: about 9 s.\n")
    assert said.err == ""


def test_the_timetable_has_times_and_a_total(runs, tiny, tmp_path):
    finish(Store(tmp_path), runs[0], tiny)
    screen = rich.console.Console(file=io.StringIO(), width=80)
    screen.print(runner.timetable(runs, tiny.identity, Store(tmp_path)))
    table = [line.split() for line in screen.file.getvalue().splitlines()]
    assert table[1:3] == [["plain8", "finished"], ["resnet8", "not", "run", "8", "s"]]
    assert table[-1][-6:] == ["1", "to", "train", "about", "8", "s"]


def test_auto_precision_follows_the_runs_that_are_done(tmp_path):
    degradation, store = experiment("degradation"), Store(tmp_path)
    identity = runner.find_identity("shapes16", None, store)
    for precision in ("float32", "bfloat16"):
        folder = store.run(degradation.runs("smoke", precision=precision)[0].name(identity))
        folder.begin({})
        folder.write_summary({"status": "finished"})
        runs, _ = runner.plan(degradation, "smoke", None, None, 1, "auto", store)
        assert {run.recipe.precision for run in runs} == {precision}
        folder.clear()


RECIPE = Recipe(iterations=1000, batch_size=16, drops=(), test_interval=500)


def test_an_estimate_follows_the_speed_of_the_nearest_earlier_run(tiny, tmp_path, monkeypatch):
    store, run = Store(tmp_path), Run("plain20", "tiny", RECIPE)
    monkeypatch.setattr(runner.device, "name", lambda: "a machine")
    work = runner.multiply_adds("plain20", "none")
    monkeypatch.setattr(runner, "timed_speed", lambda run: {work: 50 * work})
    testing = 2 * 10_000 / 3
    assert runner.seconds([run], tiny.identity, store) == pytest.approx([10 + (16_000 + testing) / 50], rel=1e-3)
    for earlier, rate in ((Run("resnet20", "tiny", RECIPE), 100.0), (Run("resnet110", "tiny", RECIPE), 1.0)):
        finish(store, earlier, tiny, device="a machine", images_per_second=rate)
    assert runner.seconds([run], tiny.identity, store) == pytest.approx([10 + (16_000 + testing) / 100], rel=1e-3)
    path = store.run(run.name(tiny.identity)).path / "checkpoint-00000500.safetensors"
    path.parent.mkdir()
    path.touch()
    assert runner.seconds([run], tiny.identity, store) == pytest.approx([10 + (8_000 + testing / 2) / 100], rel=1e-3)
    monkeypatch.setattr(runner.device, "name", lambda: "another machine")
    assert runner.earlier_speeds(store, "tiny", 16, "float32") == {}


def test_a_few_steps_are_timed():
    run = Run("plain8", "nowhere", dataclasses.replace(RECIPE, validation=10))
    ((work, speed),) = runner.timed_speed(run).items()
    assert work == runner.multiply_adds("plain8", "none") and 1e6 < speed < 1e13
