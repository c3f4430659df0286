"""Several devices, and several processes, train as one does: the same curve within rounding, killed or not."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

pytest.importorskip("jax", reason="the extra `jax` is not installed")

from resnet_keras.errors import UserError
from resnet_keras.store import RunFolder
from resnet_keras.training import device
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from resnet_keras.training.trainer import Trainer
from tests.faults.conftest import torture

# A small rate keeps rounding from growing; a row of the history an iteration makes the curve.
RECIPE = Recipe(
    iterations=12, batch_size=16, drops=(9,), learning_rate=0.005, bn_batch=8, log_interval=1, test_interval=12,
    checkpoint_interval=1, steps_per_call=1,
)  # fmt: skip
RUN = Run("plain8", "tiny", RECIPE)

CHILD = """
import os, pickle, sys
from resnet_keras.store import Store
from resnet_keras.training import device, trainer
sys.excepthook = lambda kind, error, trace: os._exit(7) if kind is device.ProcessLost else sys.__excepthook__(
    kind, error, trace)
with open(sys.argv[1], "rb") as file:
    run, tiny, jobs = pickle.load(file)
trainer.load_keras()
device.join()
for name, count, until in jobs:
    store = Store(sys.argv[2] + "/" + name)
    if until:
        halted = trainer.Trainer(run, store.run(run.name(tiny.identity)), tiny, "halted", devices=count)
        halted.announce()
        halted.advance(until)
    else:
        trainer.train(run, store=store, dataset=tiny, devices=count)
"""


def start(folder, tiny, jobs, **variables):
    """A process that does jobs (name of a results folder, devices, where to halt as if killed or 0)."""
    (folder / "jobs.pickle").write_bytes(pickle.dumps((RUN, tiny, jobs)))
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = {**os.environ, "KERAS_BACKEND": "jax", **cache, **variables}
    command = [sys.executable, "-c", CHILD, str(folder / "jobs.pickle"), str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def curve(folder):
    """Cross-entropy of each iteration's batch, then the test's."""
    history = RunFolder(next(folder.glob("runs/*"))).history
    assert list(history.iteration) == list(range(1, 13))
    return np.array([*history.train_cross_entropy, history.test_cross_entropy.iloc[-1]])


@pytest.fixture(scope="module")
def single(tiny, tmp_path_factory):
    """Curves, with BN by groups, on one device; and on two that halted at iteration 5 and went on."""
    folder = tmp_path_factory.mktemp("devices")
    jobs = [("alone", 1, 0), ("shared", 2, 5), ("shared", 2, 0)]
    child = start(folder, tiny, jobs, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    out, err = child.communicate(timeout=500)
    assert child.returncode == 0 and "going on at iteration 5" in out, err[-2000:]
    names = ("alone", "shared")
    alone, shared = (json.loads(next(folder.glob(f"{n}/runs/*/environment.json")).read_text()) for n in names)
    assert "devices" not in alone and shared["devices"] == 2 and "processes" not in shared
    return curve(folder / "alone"), curve(folder / "shared")


@torture("JAX compiles for half a minute")
def test_devices_change_nothing_but_rounding(single):
    np.testing.assert_allclose(*single, rtol=1e-4)
    assert len(set(single[0])) == 13


def start_two(folder, tiny):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    jobs = [("two", "all", 0)]
    return [start(folder, tiny, jobs, **common, KERAS_DISTRIBUTION_PROCESS_ID=str(number)) for number in range(2)]


@torture("two processes compile for minutes")
def test_two_processes_train_as_one_and_go_on_after_a_kill(tiny, single, tmp_path):
    first, second = start_two(tmp_path, tiny)
    while not any(tmp_path.glob("two/runs/*/checkpoint-*")):
        assert first.poll() is None and second.poll() is None, first.communicate()[1][-2000:]
        time.sleep(0.005)
    second.send_signal(signal.SIGKILL)
    first.communicate(timeout=200)
    second.communicate()
    assert first.returncode == 7, "it says so, and waits for nobody"
    (folder,) = tmp_path.glob("two/runs/*")
    assert not (folder / "summary.json").exists(), "the kill came too late to show anything"

    both = start_two(tmp_path, tiny)
    (out, err), (silent, _) = (child.communicate(timeout=300) for child in both)
    assert [child.returncode for child in both] == [0, 0], err[-2000:]
    assert "going on at iteration" in out and "iteration" not in silent
    assert json.loads((folder / "environment.json").read_text())["processes"] == 2
    np.testing.assert_allclose(curve(tmp_path / "two"), single[0], rtol=1e-4)


@pytest.fixture
def machine(monkeypatch):
    """Sets the backend's name and the devices that it is to see."""

    def seen(backend, *names):
        monkeypatch.setattr(keras.config, "backend", lambda: backend)
        monkeypatch.setattr(device, "all_names", lambda: names)

    return seen


def test_what_cannot_be_spread_is_refused_beforehand(machine, monkeypatch):
    machine("jax", *["GPU X"] * 4)
    assert [device.check_devices(each, 128) for each in (1, 2, "all")] == [1, 2, 4]
    for wanted, message in ((3, "multiple of 3"), (5, "from 1 to 4"), (0, "devices=0")):
        with pytest.raises(UserError, match=message):
            device.check_devices(wanted, 128)
    monkeypatch.setenv(device.PROCESSES, "2")
    monkeypatch.setattr(keras.distribution, "initialize", lambda: int("two"))
    with pytest.raises(UserError, match="PROCESS_ID to 0, 1"):
        device.join()
    machine("tensorflow", *["GPU X"] * 4)
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        device.join()
    with pytest.raises(UserError, match=r"KERAS_BACKEND=jax, .*CUDA_VISIBLE_DEVICES"):
        device.check_devices("all", 128)


def test_idle_gpus_are_never_passed_over_in_silence(machine, tiny, tmp_path, capsys):
    trainer, said = Trainer(RUN, RunFolder(tmp_path / "a"), tiny, "plain8"), []
    for names in (("GPU X",), (device.CPU,) * 4, ("GPU X",) * 4):
        machine(keras.config.backend(), *names)
        trainer.announce()
        said.append(capsys.readouterr().out)
    assert said[:2] == ["", ""] and "1 of 4 devices (GPU X)" in said[2] and "--devices all" in said[2]
