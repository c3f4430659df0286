"""One run from end to end: history, no-op, exact resume, divergence. Kills and signals are in `tests/faults`."""

import dataclasses
import os
import re
import signal

import keras
import numpy as np
import pytest

from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.errors import Interrupted
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.record import Record
from resnet_keras.training.run import Run
from resnet_keras.training.trainer import Trainer, interruption, train
from tests.faults.conftest import length
from tests.faults.results import assert_same, weights

RECIPE = Recipe(
    iterations=45, batch_size=32, drops=(20, 32), log_interval=10, test_interval=20, checkpoint_interval=10,
    steps_per_call=4,
)  # fmt: skip
RUN = Run("resnet8", "tiny", RECIPE)


def short(network="plain8", **fields):
    """A short run whose history has a row for every iteration, with these fields of its recipe."""
    settings = {"iterations": 6, "drops": (), "log_interval": 1, "test_interval": 6, "warmup": "never"}
    return Run(network, "tiny", dataclasses.replace(RECIPE, **{**settings, **fields}))


@pytest.fixture(scope="module")
def unbroken(tiny, tmp_path_factory):
    return train(RUN, store=Store(tmp_path_factory.mktemp("unbroken")), dataset=tiny)


def test_the_history_has_a_row_per_interval_and_the_summary_is_its_last(unbroken, tiny):
    history, summary = unbroken.history, unbroken.summary
    assert list(history.iteration) == [10, 20, 30, 40, 45]
    assert list(history.test_error.notna()) == [False, True, False, True, True]
    assert list(history.learning_rate) == [0.1, 0.1, 0.01, 0.001, 0.001]
    last = history.iloc[-1]
    assert (summary["train_error"], summary["test_error"]) == (last.train_error, last.test_error)
    assert (summary["status"], summary["iterations"], summary["problem"]) == ("finished", 45, None)
    network = unbroken.load_network()
    for split, key in ((tiny.test, "test_error"), (tiny.train, "train_error_inference")):
        guesses = np.argmax(np.array(network(split.images, training=False)), axis=1)
        assert 100 * np.mean(guesses != split.labels) == pytest.approx(summary[key], abs=1e-4)


def test_the_environment_says_where_and_names_nobody(unbroken):
    text = (unbroken.path / "environment.json").read_text()
    assert f'"backend": "{keras.config.backend()}"' in text and unbroken.config["classes"] == ["a", "b", "c", "d"]
    assert os.path.expanduser("~") not in text and str(unbroken.path.parent) not in text


def test_halted_and_forced_it_ends_in_the_same_bits_and_then_is_done(tiny, unbroken, tmp_path, capsys):
    folder = Store(tmp_path).run(unbroken.name)
    halted = Trainer(RUN, folder, tiny, "halted")
    halted.announce()
    halted.advance(24)
    assert folder.status == "interrupted" and list(folder.path.glob("checkpoint-*"))
    for force in (False, True):
        train(RUN, store=Store(tmp_path), dataset=tiny, force=force)
        assert_same(folder.path, unbroken.path)
    assert capsys.readouterr().out.count("going on at iteration 20 of") == 1
    before = {path: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    train(RUN, store=Store(tmp_path), dataset=tiny)
    assert {path: path.stat().st_mtime_ns for path in folder.path.iterdir()} == before
    assert "finished already" in capsys.readouterr().out


def test_testing_and_saving_more_often_changes_no_weight(tiny, unbroken, tmp_path):
    often = dataclasses.replace(RECIPE, test_interval=10, checkpoint_interval=7, steps_per_call=1)
    other = train(dataclasses.replace(RUN, recipe=often), store=Store(tmp_path), dataset=tiny)
    assert other.name == unbroken.name and other.history.test_error.notna().all()
    assert weights(other.path) == weights(unbroken.path)
    rows = [folder.history[["learning_rate", "train_cross_entropy"]] for folder in (other, unbroken)]
    assert rows[0].equals(rows[1])


@pytest.mark.parametrize(("fields", "status"), [
    ({"momentum": 0.99, "iterations": 10, "test_interval": 10}, "finished"), ({"batch_norm": False}, "diverged"),
])  # fmt: skip
def test_an_exploding_loss_is_named_with_its_iteration(tiny, tmp_path, fields, status):
    """The iteration by the history, which has a row for each: 100 times log 4 is the bound, for four classes."""
    folder = train(short(learning_rate=100.0, **fields), store=Store(tmp_path), dataset=tiny)
    history = folder.history
    wild = history.iteration[~(history.train_cross_entropy <= 100 * np.log(4))]
    assert folder.status == status and folder.network_file.exists() == (status == "finished")
    assert not list(folder.path.glob("checkpoint-*"))
    assert folder.summary["problem"] == f"exploding loss at iteration {wild.iloc[0]}"


def test_the_warm_up_switches_where_the_trace_says(tiny, tmp_path, capsys):
    warm = {"warmup": "always", "warmup_window": 5, "warmup_error": 60.0, "log_interval": 5, "test_interval": 45}
    warm = dataclasses.replace(RECIPE, drops=(44,), **warm)
    folder = train(dataclasses.replace(RUN, recipe=warm), store=Store(tmp_path), dataset=tiny)
    history, end = folder.history, folder.summary["warmup_end"]
    assert 0 < end < 45 and f"warm-up over at iteration {end}" in capsys.readouterr().out
    assert end == history[history.train_error < 60].iteration.iloc[0]
    assert set(history[history.iteration <= end].learning_rate) == {0.01}
    assert set(history[(history.iteration > end) & (history.iteration < 45)].learning_rate) == {0.1}


def test_a_validation_split_is_evaluated_instead_of_the_test_split(tiny, tmp_path, capsys):
    """And a row of every iteration has a speed, but for the first, which compiled."""
    dataset = dataclasses.replace(tiny, validation=tiny.train[:50], train=tiny.train[50:])
    folder = train(short(validation=50, iterations=2, test_interval=2), store=Store(tmp_path), dataset=dataset)
    assert "validation_error" in folder.history and "test_error" not in folder.history
    assert folder.summary["test_error"] is not None
    assert list(folder.history.images_per_second.notna()) == [False, True]
    assert re.search(r"finished: training error [\d.]+ %, validation error [\d.]+ %", capsys.readouterr().out)


def test_a_closed_terminal_saves_before_it_stops_and_is_ignored_under_nohup(tiny, tmp_path, monkeypatch, request):
    """Ctrl-C and SIGTERM: tests/faults/test_processes.py."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, former))
    add = Record.add
    monkeypatch.setattr(Record, "add", lambda self, *a: (add(self, *a), os.kill(os.getpid(), signal.SIGHUP)))
    with pytest.raises(Interrupted) as stop:
        train(short(), store=Store(tmp_path), dataset=tiny)
    assert stop.value.signal == signal.SIGHUP
    (folder,) = Store(tmp_path).runs()
    assert folder.summary["status"] == "interrupted" and folder.summary["iterations"] == 1
    assert list(folder.path.glob("checkpoint-00000001*"))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruption() as stop_by:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop_by.number is None


@pytest.mark.parametrize("network", ["resnet18", "vgg16"][: length(1, 2)])
def test_the_networks_of_table_1_and_vgg_train_on_a_set_in_memory(tmp_path, network):
    """Their mean is one colour, that of all pixels."""
    draw = np.random.default_rng(0)
    split = Split(draw.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), np.arange(12, dtype=np.int32) % 3)
    dataset = Dataset(Identity("noise", "1", "noise"), ("a", "b", "c"), split, split)
    run = short(network, iterations=1, batch_size=4, test_interval=1, learning_rate=1e-4)
    folder = train(run, store=Store(tmp_path), dataset=dataset)
    mean = keras.ops.convert_to_numpy(folder.load_network().mean.mean)
    assert folder.status == "finished" and np.allclose(mean, split.images.mean(axis=(0, 1, 2)), rtol=1e-6)
