"""One run from end to end: history, no-op, exact resume, divergence. Kills and signals are in `tests/faults`."""

import dataclasses
import os
import re
import signal

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras.data import Dataset, Identity, Split  # noqa: E402
from resnet_keras.errors import Interrupted  # noqa: E402
from resnet_keras.store import Store  # noqa: E402
from resnet_keras.training.recipe import Recipe  # noqa: E402
from resnet_keras.training.record import Record  # noqa: E402
from resnet_keras.training.run import Run  # noqa: E402
from resnet_keras.training.trainer import Interruption, Trainer, train  # noqa: E402
from tests.faults.conftest import length  # noqa: E402

TRAIN = ["iteration", "learning_rate", "train_error", "train_cross_entropy"]


def assert_same(one, other, columns=(*TRAIN, "test_error", "test_cross_entropy")):
    """Of two runs' folders: the bits of the weights, and these columns of the histories."""
    weights = [[keras.ops.convert_to_numpy(v) for v in folder.load_network().variables] for folder in (one, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert one.history[list(columns)].equals(other.history[list(columns)])


@pytest.fixture(scope="module")
def run():
    recipe = Recipe(
        iterations=45, batch_size=32, drops=(20, 32), log_interval=10, test_interval=20, checkpoint_interval=10,
        steps_per_call=4,
    )  # fmt: skip
    return Run("resnet8", "tiny", recipe)


@pytest.fixture
def short(run):
    """A function of recipe fields: a short run whose history has a row for every iteration."""
    settings = {"iterations": 6, "drops": (), "log_interval": 1, "test_interval": 6, "warmup": "never"}
    return lambda **fields: Run("plain8", "tiny", dataclasses.replace(run.recipe, **{**settings, **fields}))


@pytest.fixture(scope="module")
def unbroken(tiny, run, tmp_path_factory):
    return train(run, store=Store(tmp_path_factory.mktemp("unbroken")), dataset=tiny)


def test_the_history_has_a_row_per_interval_and_the_summary_is_its_last(unbroken, tiny):
    history, summary = unbroken.history, unbroken.summary
    assert list(history.iteration) == [10, 20, 30, 40, 45]
    assert list(history.test_error.notna()) == [False, True, False, True, True]
    assert list(history.learning_rate) == [0.1, 0.1, 0.01, 0.001, 0.001]
    last = history.iloc[-1]
    assert (summary["train_error"], summary["test_error"]) == (last.train_error, last.test_error)
    assert summary["status"] == "finished" and summary["iterations"] == 45 and summary["problem"] is None
    network = unbroken.load_network()
    for split, key in ((tiny.test, "test_error"), (tiny.train, "train_error_inference")):
        guesses = np.argmax(np.array(network(split.images, training=False)), axis=1)
        assert 100 * np.mean(guesses != split.labels) == pytest.approx(summary[key], abs=1e-4)


def test_configuration_and_environment_say_what_and_where_and_name_nobody(unbroken):
    assert unbroken.config["network"] == "resnet8" and unbroken.config["recipe"]["drops"] == [20, 32]
    assert unbroken.classes == ("a", "b", "c", "d") and unbroken.environment["backend"] == keras.config.backend()
    text = (unbroken.path / "environment.json").read_text()
    assert os.path.expanduser("~") not in text and str(unbroken.path.parent) not in text


def test_halted_forced_and_repeated_it_ends_in_the_same_bits_and_then_nothing_is_left_to_do(
    tiny, run, unbroken, tmp_path, capsys
):
    folder = Store(tmp_path).run(unbroken.name)
    halted = Trainer(run, folder, tiny, "halted")
    halted.announce()
    halted.advance(24)
    assert folder.status == "interrupted" and list(folder.path.glob("checkpoint-*"))
    for force in (False, True):
        train(run, store=Store(tmp_path), dataset=tiny, force=force)
        assert_same(folder, unbroken)
    assert capsys.readouterr().out.count("going on at iteration 20 of") == 1
    before = {path: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    train(run, store=Store(tmp_path), dataset=tiny)
    assert {path: path.stat().st_mtime_ns for path in folder.path.iterdir()} == before
    assert "finished already" in capsys.readouterr().out


def test_testing_and_saving_more_often_changes_no_weight(tiny, run, unbroken, tmp_path):
    often = dataclasses.replace(run.recipe, test_interval=10, checkpoint_interval=7, steps_per_call=1)
    other = train(dataclasses.replace(run, recipe=often), store=Store(tmp_path), dataset=tiny)
    assert other.name == unbroken.name and other.history.test_error.notna().all()
    assert_same(other, unbroken, columns=TRAIN)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"momentum": 0.99, "iterations": 10, "test_interval": 10}, "finished"),
        ({"batch_norm": False}, "diverged"),
    ],
)
def test_an_exploding_loss_is_named_with_its_iteration(tiny, short, tmp_path, fields, status):
    """The iteration by the history, which has a row for each: 100 times log 4 is the bound, for four classes."""
    folder = train(short(learning_rate=100.0, **fields), store=Store(tmp_path), dataset=tiny)
    history = folder.history
    wild = history.iteration[~(history.train_cross_entropy <= 100 * np.log(4))]
    assert folder.status == status and folder.network_file.exists() == (status == "finished")
    assert folder.summary["problem"] == f"exploding loss at iteration {wild.iloc[0]}"


def test_a_loss_that_is_not_a_number_ends_the_run(tiny, short, tmp_path, monkeypatch, capsys):
    """One of the network's weights is not a number after the third iteration."""
    steps = Trainer._steps

    def spoil(self, *arguments):
        if self.record.iteration == 3:
            self.network.trainable_variables[-1].assign(np.full(4, np.nan, np.float32))
        return steps(self, *arguments)

    monkeypatch.setattr(Trainer, "_steps", spoil)
    folder = train(short(), store=Store(tmp_path), dataset=tiny)
    assert folder.status == "diverged" and not list(folder.path.glob("checkpoint-*"))
    assert folder.summary["problem"] == "the loss is not a number at iteration 4" in capsys.readouterr().out


def test_the_warm_up_switches_where_the_trace_says(tiny, run, tmp_path, capsys):
    warm = {"warmup": "always", "warmup_window": 5, "warmup_error": 60.0, "log_interval": 5, "test_interval": 45}
    warm = dataclasses.replace(run.recipe, drops=(44,), **warm)
    folder = train(dataclasses.replace(run, recipe=warm), store=Store(tmp_path), dataset=tiny)
    history, end = folder.history, folder.summary["warmup_end"]
    assert 0 < end < 45 and f"warm-up over at iteration {end}" in capsys.readouterr().out
    assert end == history[history.train_error < 60].iteration.iloc[0]
    assert set(history[history.iteration <= end].learning_rate) == {0.01}
    assert set(history[(history.iteration > end) & (history.iteration < 45)].learning_rate) == {0.1}


def test_a_validation_split_is_evaluated_instead_of_the_test_split(tiny, short, tmp_path, capsys):
    """And a row of every iteration has a speed, but for the first, which compiled."""
    dataset = dataclasses.replace(tiny, validation=tiny.train[:50], train=tiny.train[50:])
    folder = train(short(validation=50, iterations=2, test_interval=2), store=Store(tmp_path), dataset=dataset)
    assert "validation_error" in folder.history and "test_error" not in folder.history
    assert folder.summary["test_error"] is not None
    assert list(folder.history.images_per_second.notna()) == [False, True]
    assert re.search(r"finished: training error [\d.]+ %, validation error [\d.]+ %", capsys.readouterr().out)


def test_a_closed_terminal_saves_before_it_stops_and_is_ignored_under_nohup(
    tiny, short, tmp_path, monkeypatch, request
):
    """Ctrl-C and SIGTERM: tests/faults/test_kill_anywhere.py."""
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
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interruption.number is None


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet18", "vgg16"][: length(1, 2)])
def test_the_networks_of_table_1_and_vgg_train_on_a_set_in_memory(short, tmp_path, network):
    """Their mean is one colour, that of all pixels."""
    draw = np.random.default_rng(0)
    split = Split(draw.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), np.arange(12, dtype=np.int32) % 3)
    dataset = Dataset(Identity("noise", "1", "noise"), ("a", "b", "c"), split, split)
    recipe = short(iterations=1, batch_size=4, test_interval=1, learning_rate=1e-4).recipe
    folder = train(Run(network, "noise", recipe), store=Store(tmp_path), dataset=dataset)
    mean = keras.ops.convert_to_numpy(folder.load_network().mean.mean)
    assert folder.status == "finished" and np.allclose(mean, split.images.mean(axis=(0, 1, 2)), rtol=1e-6)
