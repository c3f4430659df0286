"""One run from end to end: history, no-op, exact resume after each kind of stop, divergence."""

import dataclasses
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras.store import Store  # noqa: E402
from resnet_keras.training.run import Run  # noqa: E402
from resnet_keras.training.trainer import Trainer, train  # noqa: E402

MEASURED = ["images_per_second", "elapsed_seconds"]  # these two columns are of the clock, not of the run


def weights(folder):
    return [keras.ops.convert_to_numpy(variable) for variable in folder.load_network().variables]


def assert_same_result(one, other):
    assert one.history.drop(columns=MEASURED).equals(other.history.drop(columns=MEASURED))
    assert all(np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module")
def recipe():
    from resnet_keras.training.recipe import Recipe

    return Recipe(
        iterations=45, batch_size=32, drops=(20, 32), log_interval=10, test_interval=20, checkpoint_interval=10,
        steps_per_call=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(recipe):
    return Run("resnet8", "tiny", recipe)


@pytest.fixture(scope="module")
def unbroken(tiny, run, tmp_path_factory):
    return train(run, store=Store(tmp_path_factory.mktemp("unbroken")), dataset=tiny)


def test_an_error_of_zero_is_told(tiny, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Trainer, "_evaluate", lambda self, split: (0.0, 0.0))
    recipe = dataclasses.replace(run.recipe, iterations=4, drops=())
    train(dataclasses.replace(run, recipe=recipe), store=Store(tmp_path), dataset=tiny)
    assert re.search(
        r"finished: training error [\d.]+ %, test error 0\.0 % after 4 iterations", capsys.readouterr().out
    )


def test_the_history_has_a_row_per_interval_and_ends_with_a_test(unbroken):
    history = unbroken.history
    assert list(history.iteration) == [10, 20, 30, 40, 45]
    assert list(history.test_error.notna()) == [False, True, False, True, True]
    assert list(history.learning_rate) == [0.1, 0.1, 0.01, 0.001, 0.001]
    assert history.train_error.iloc[-1] < history.train_error.iloc[0]


def test_the_summary_is_the_last_iteration(unbroken):
    summary, last = unbroken.summary, unbroken.history.iloc[-1]
    assert summary["status"] == "finished" and summary["iterations"] == 45
    assert summary["train_error"] == last.train_error and summary["test_error"] == last.test_error
    assert summary["parameters"] == 75_290 - 6 * 65  # resnet8 of Sec. 4.2, with 4 classes for 10
    assert summary["wall_seconds"] > 0 and summary["peak_memory_mb"] > 100 and summary["device"]


def test_what_lies_in_the_directory_is_whole_and_names_no_place(unbroken):
    assert sorted(path.name for path in unbroken.path.iterdir()) == [
        "config.json", "environment.json", "history.csv", "network.keras", "summary.json",
    ]  # fmt: skip
    for name in ("config.json", "environment.json", "summary.json"):
        text = (unbroken.path / name).read_text()
        json.loads(text)
        assert os.path.expanduser("~") not in text and str(unbroken.path.parent) not in text


def test_again_is_a_no_op_that_says_so(tiny, run, unbroken, capsys):
    before = {path: path.stat().st_mtime_ns for path in unbroken.path.iterdir()}
    train(run, store=Store(unbroken.path.parents[1]), dataset=tiny)
    assert {path: path.stat().st_mtime_ns for path in unbroken.path.iterdir()} == before
    assert "finished already" in capsys.readouterr().out


def test_force_repeats_to_the_same_bits(tiny, run, unbroken, tmp_path):
    once = train(run, store=Store(tmp_path), dataset=tiny)
    train(run, store=Store(tmp_path), dataset=tiny, force=True)
    assert_same_result(once, unbroken)


def test_looking_and_saving_more_often_changes_no_weight(tiny, run, unbroken, tmp_path):
    looks = dataclasses.replace(run.recipe, log_interval=3, test_interval=3, checkpoint_interval=7, steps_per_call=1)
    other = train(dataclasses.replace(run, recipe=looks), store=Store(tmp_path), dataset=tiny)
    assert other.name == unbroken.name
    assert all(np.array_equal(a, b) for a, b in zip(weights(other), weights(unbroken), strict=True))


def test_another_seed_is_another_run(tiny, run, unbroken, tmp_path):
    other = train(dataclasses.replace(run, seed=1), store=Store(tmp_path), dataset=tiny)
    assert other.name != unbroken.name
    assert not np.array_equal(other.history.train_error, unbroken.history.train_error)


CHILD = """
import pickle, sys
from resnet_keras.store import Store
from resnet_keras.training import trainer
from resnet_keras.training.interruption import Interrupted
with open(sys.argv[1], "rb") as file:
    run, tiny = pickle.load(file)
save = trainer.Trainer._save
def announced(self):
    save(self)
    print("saved", self.iteration, flush=True)
trainer.Trainer._save = announced
try:
    trainer.train(run, store=Store(sys.argv[2]), dataset=tiny)
except Interrupted as stop:
    sys.exit(128 + stop.signal)
"""


def begin(tiny, run, folder):
    (folder / "what.pickle").write_bytes(pickle.dumps((run, tiny)))
    command = [sys.executable, "-c", CHILD, str(folder / "what.pickle"), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stop_after(child, saves, number):
    """Send a signal some way beyond the given number of checkpoints."""
    for line in child.stdout:
        saves -= line.startswith("saved")
        if not saves:
            break
    time.sleep(0.02)
    child.send_signal(number)
    child.wait(timeout=120)
    return child.returncode


@pytest.mark.parametrize("saves", [1, 2, 4])
def test_killed_it_goes_on_to_the_same_bits(tiny, run, unbroken, tmp_path, saves):
    assert stop_after(begin(tiny, run, tmp_path), saves, signal.SIGKILL) == -signal.SIGKILL
    folder = Store(tmp_path).run(unbroken.name)
    assert folder.status == "interrupted"
    assert_same_result(train(run, store=Store(tmp_path), dataset=tiny), unbroken)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_first(tiny, run, unbroken, tmp_path, number):
    assert stop_after(begin(tiny, run, tmp_path), 1, number) == 128 + number
    summary = Store(tmp_path).run(unbroken.name).summary
    assert summary["status"] == "interrupted" and summary["iterations"] >= 10
    assert_same_result(train(run, store=Store(tmp_path), dataset=tiny), unbroken)


def test_a_loss_that_is_not_a_number_ends_the_run(tiny, run, tmp_path):
    wild = dataclasses.replace(run.recipe, learning_rate=100.0, momentum=0.99, weight_decay=0.9)
    folder = train(Run("plain8", "tiny", wild), store=Store(tmp_path), dataset=tiny)
    assert folder.status == "diverged"
    assert not (folder.path / "network.keras").exists()


@pytest.fixture
def fast(run):
    """A function of recipe fields: a short run whose history has a row for every iteration."""
    settings = {"iterations": 10, "drops": (), "log_interval": 1, "test_interval": 10, "warmup": "never"}
    return lambda **fields: Run("plain8", "tiny", dataclasses.replace(run.recipe, **{**settings, **fields}))


def test_a_sound_run_has_no_problem(unbroken):
    assert unbroken.summary["problem"] is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"learning_rate": 100.0, "momentum": 0.99}, "finished"),
        ({"learning_rate": 100.0, "batch_norm": False}, "diverged"),
    ],
)
def test_an_exploding_loss_is_named_with_its_iteration(tiny, fast, tmp_path, fields, status):
    """The iteration by the history, which has a row for each: 100 times log 4 is the bound, for four classes."""
    folder = train(fast(**fields), store=Store(tmp_path), dataset=tiny)
    history = folder.history
    wild = history.iteration[~(history.train_cross_entropy <= 100 * np.log(4))]
    assert folder.status == status
    assert folder.summary["problem"] == f"exploding loss at iteration {wild.iloc[0]}"


def test_a_loss_that_is_not_a_number_is_named_with_its_iteration(tiny, fast, tmp_path, monkeypatch):
    """One of the network's weights is not a number after the third iteration."""
    rates = Trainer._rates

    def spoil(self, steps):
        if self.iteration == 3:
            self.engine.network.trainable_variables[-1].assign(np.full(4, np.nan, np.float32))
        return rates(self, steps)

    monkeypatch.setattr(Trainer, "_rates", spoil)
    folder = train(fast(), store=Store(tmp_path), dataset=tiny)
    assert folder.status == "diverged"
    assert folder.summary["problem"] == "the loss is not a number at iteration 4"


def test_the_warm_up_switches_where_the_trace_says(tiny, run, tmp_path, capsys):
    warm = dataclasses.replace(run.recipe, warmup="always", warmup_window=5, warmup_error=60.0, log_interval=5)
    warm = dataclasses.replace(warm, test_interval=45, drops=(44,))
    folder = train(dataclasses.replace(run, recipe=warm), store=Store(tmp_path), dataset=tiny)
    history, end = folder.history, folder.summary["warmup_end"]
    assert 0 < end < 45 and f"warm-up over at iteration {end}" in capsys.readouterr().out
    below = history[history.train_error < 60].iteration.iloc[0]
    assert end == below
    assert set(history[history.iteration <= end].learning_rate) == {0.01}
    assert set(history[(history.iteration > end) & (history.iteration < 45)].learning_rate) == {0.1}


def test_a_validation_split_is_looked_at_instead_of_the_test_split(tiny, run, tmp_path):
    held_out = dataclasses.replace(tiny, validation=tiny.train[:50], train=tiny.train[50:])
    recipe = dataclasses.replace(run.recipe, validation=50)
    folder = train(dataclasses.replace(run, recipe=recipe), store=Store(tmp_path), dataset=held_out)
    assert "validation_error" in folder.history and "test_error" not in folder.history
    assert folder.summary["test_error"] is not None


def test_a_row_for_every_iteration_the_first_without_a_speed(tiny, recipe, tmp_path, capsys):
    every = dataclasses.replace(recipe, iterations=2, log_interval=1, test_interval=2)
    folder = train(Run("plain8", "tiny", every), store=Store(tmp_path), dataset=tiny)
    assert list(folder.history.images_per_second.notna()) == [False, True]
    first, second, *_ = [line for line in capsys.readouterr().out.splitlines() if "iteration" in line]
    assert "images/s" not in first and "images/s" in second


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet18", "plain18", "vgg16"])
def test_the_networks_of_table_1_and_vgg_train_on_a_set_in_memory(recipe, tmp_path, network):
    """Their mean is one colour, that of all pixels."""
    from resnet_keras.data import Dataset, Identity, Split

    draw = np.random.default_rng(0)
    split = Split(draw.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), np.arange(12, dtype=np.int32) % 3)
    dataset = Dataset(Identity("noise", "1", "noise"), ("a", "b", "c"), split, split)
    short = dataclasses.replace(
        recipe, iterations=2, batch_size=4, drops=(), log_interval=2, test_interval=2, checkpoint_interval=2,
        learning_rate=1e-4,
    )  # fmt: skip
    folder = train(Run(network, "noise", short), store=Store(tmp_path), dataset=dataset)
    assert folder.status == "finished"
    mean = keras.ops.convert_to_numpy(folder.load_network().mean.mean)
    assert np.allclose(mean, split.images.mean(axis=(0, 1, 2)), rtol=1e-6)
