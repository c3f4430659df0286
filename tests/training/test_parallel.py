"""Several devices, and several processes, train as one does: the same curve within rounding, killed or not."""

import dataclasses
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("jax", reason="the extra `jax` is not installed")

from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.training import device, parallel  # noqa: E402
from resnet_keras.training.recipe import Recipe  # noqa: E402
from resnet_keras.training.run import Run  # noqa: E402

# A small rate keeps rounding from growing; a row of the history an iteration makes the curve.
RECIPE = Recipe(
    iterations=12, batch_size=16, drops=(9,), learning_rate=0.005, log_interval=1, test_interval=12,
    checkpoint_interval=1, steps_per_call=1,
)  # fmt: skip

CHILD = """
import os, pickle, sys
from resnet_keras.store import Store
from resnet_keras.training import parallel, trainer
sys.excepthook = lambda kind, error, trace: os._exit(7) if kind is parallel.ProcessLost else sys.__excepthook__(
    kind, error, trace)
with open(sys.argv[1], "rb") as file:
    jobs, tiny = pickle.load(file)
parallel.join()
for name, run, devices, until in jobs:
    store = Store(sys.argv[2] + "/" + name)
    if until:
        halted = trainer.Trainer(run, store.run(run.name(tiny.identity)), tiny, "halted", devices=devices)
        halted._announce()
        halted.advance(until)
    else:
        trainer.train(run, store=store, dataset=tiny, devices=devices)
"""


def start(folder, tiny, jobs, **variables):
    (folder / "jobs.pickle").write_bytes(pickle.dumps((jobs, tiny)))
    environment = {**os.environ, "KERAS_BACKEND": "jax", **variables}
    command = [sys.executable, "-c", CHILD, str(folder / "jobs.pickle"), str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def curve(folder):
    """Cross-entropy of each iteration's batch, then the test's."""
    (path,) = folder.glob("runs/*/history.csv")
    import pandas

    history = pandas.read_csv(path)
    assert list(history.iteration) == list(range(1, 13))
    return np.array([*history.train_cross_entropy, history.test_cross_entropy.iloc[-1]])


@pytest.fixture(scope="module")
def curves(tiny, tmp_path_factory):
    """Name -> curve on 1 device, on 4 that then went on with 2, and with BN by groups on 1 and 2."""
    folder, run = tmp_path_factory.mktemp("devices"), Run("plain8", "tiny", RECIPE)
    grouped = dataclasses.replace(run, recipe=dataclasses.replace(RECIPE, bn_batch=4))
    jobs = [("1", run, 1, 0), ("4, 2", run, 4, 5), ("4, 2", run, 2, 0)]
    jobs += [("grouped 1", grouped, 1, 0), ("grouped 2", grouped, 2, 0)]
    child = start(folder, tiny, jobs, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    out, err = child.communicate(timeout=500)
    assert child.returncode == 0, err[-2000:]
    assert "going on at iteration 5" in out
    one, several = (json.loads(next(folder.glob(f"{n}/runs/*/environment.json")).read_text()) for n in ("1", "4, 2"))
    assert "devices" not in one and "processes" not in several
    assert [several["devices"], several["resumed_on"][0]["devices"]] == [4, 2]
    return {name: curve(folder / name) for name, *_ in jobs}


@pytest.mark.slow
def test_devices_change_nothing_but_rounding(curves):
    np.testing.assert_allclose(curves["4, 2"], curves["1"], rtol=1e-4)
    assert len(set(curves["1"])) == 13


def test_bn_by_groups_is_another_training_and_the_same_on_any_devices(curves):
    np.testing.assert_allclose(curves["grouped 2"], curves["grouped 1"], rtol=1e-4)
    assert np.abs(curves["grouped 1"] / curves["1"] - 1)[:12].max() > 0.01


def start_two(folder, tiny, jobs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    return [start(folder, tiny, jobs, **common, KERAS_DISTRIBUTION_PROCESS_ID=str(number)) for number in range(2)]


@pytest.mark.slow
@pytest.mark.faults
def test_two_processes_train_as_one_and_go_on_after_a_kill(tiny, curves, tmp_path):
    jobs = [("two", Run("plain8", "tiny", RECIPE), "all", 0)]
    first, second = start_two(tmp_path, tiny, jobs)
    while not any(tmp_path.glob("two/runs/*/checkpoint-*")):
        assert first.poll() is None and second.poll() is None, first.communicate()[1][-2000:]
        time.sleep(0.005)
    second.send_signal(signal.SIGKILL)
    _, err = first.communicate(timeout=200)
    second.communicate()
    assert first.returncode == 7, "it says so, and waits for nobody"
    (folder,) = tmp_path.glob("two/runs/*")
    assert not (folder / "summary.json").exists(), "the kill came too late to show anything"

    both = start_two(tmp_path, tiny, jobs)
    (out, err), (silent, _) = (child.communicate(timeout=300) for child in both)
    assert [child.returncode for child in both] == [0, 0], err[-2000:]
    assert "going on at iteration" in out and "iteration" not in silent
    assert json.loads((folder / "environment.json").read_text())["processes"] == 2
    np.testing.assert_allclose(curve(tmp_path / "two"), curves["1"], rtol=1e-4)


@pytest.mark.faults
def test_a_further_process_leaves_the_files_of_the_run_alone(tiny, tmp_path, monkeypatch):
    """It may end before the first has written the summary, which would then have nothing to go on from."""
    from resnet_keras.store import SilentFolder
    from resnet_keras.training.trainer import Trainer

    theirs = tmp_path / "checkpoint-00000001.safetensors"
    theirs.write_bytes(b"of the first process")
    monkeypatch.setattr(parallel, "is_first", lambda: False)
    run = Run("plain8", "tiny", dataclasses.replace(RECIPE, iterations=2, test_interval=1, checkpoint_interval=1))
    Trainer(run, SilentFolder(tmp_path), tiny, "plain8").train()
    assert list(tmp_path.iterdir()) == [theirs] and theirs.read_bytes() == b"of the first process"


# --------------------------------------------------------------------------------------- refusals and notes


@pytest.fixture
def machine(monkeypatch):
    """Sets the backend's name and the devices that it is to see."""

    def seen(backend, *names):
        monkeypatch.setattr(keras.config, "backend", lambda: backend)
        monkeypatch.setattr(device, "all_names", lambda: names)

    return seen


@pytest.mark.parametrize(
    ("backend", "wanted", "batch", "message"),
    [
        ("tensorflow", 2, 128, "KERAS_BACKEND=jax"),
        ("tensorflow", "all", 128, "CUDA_VISIBLE_DEVICES"),
        ("jax", 3, 128, "multiple of 3"),
        ("jax", 5, 100, "there are 4 here"),
        ("jax", 0, 128, "devices=0"),
        ("jax", "both", 128, "devices='both'"),
        ("jax", "all", 6, "multiple of 4"),
    ],
)
def test_what_cannot_be_spread_is_refused_beforehand(machine, backend, wanted, batch, message):
    machine(backend, *["GPU X"] * 4)
    with pytest.raises(UserError, match=message) as refusal:
        parallel.check_devices(wanted, batch)
    assert "\n" not in str(refusal.value)


def test_all_are_those_that_there_are(machine):
    machine("jax", *["GPU X"] * 4)
    assert [parallel.check_devices(wanted, 128) for wanted in (1, 2, "all")] == [1, 2, 4]
    machine("tensorflow", "CPU")
    assert parallel.check_devices("all", 128) == 1


def test_idle_gpus_are_never_passed_over_in_silence(machine, tiny, tmp_path, capsys):
    from resnet_keras.store import Store
    from resnet_keras.training.trainer import Trainer

    run = Run("plain8", "tiny", dataclasses.replace(RECIPE, iterations=1, test_interval=1))
    trainer = Trainer(run, Store(tmp_path).run("a"), tiny, "plain8")
    said = {}
    for names in (("GPU X",), (device.CPU,) * 4, ("GPU X",) * 4):
        machine(keras.config.backend(), *names)
        trainer._announce()
        said[names] = capsys.readouterr().out
    *none, some = said.values()
    assert none == ["", ""]
    assert "the first of 4 devices (GPU X)" in some and "--devices all" in some and some.count("\n") == 1


def test_several_processes_need_jax_and_whole_variables(machine, monkeypatch):
    monkeypatch.setenv(parallel.PROCESSES, "2")
    machine("tensorflow", "CPU")
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        parallel.join()
    machine("jax", "CPU")
    monkeypatch.setattr(keras.distribution, "initialize", lambda: int("two"))
    with pytest.raises(UserError, match="PROCESS_ID to 0, 1"):
        parallel.join()


@pytest.mark.parametrize(
    "value", [True, None, ({"a": np.arange(6, dtype=np.uint32).reshape(2, 3)}, {"rows": [None, 0.1]})]
)
def test_what_the_first_process_sends_arrives(value):
    found = parallel._unpacked(parallel._packed(value))
    if not isinstance(value, tuple):
        assert found is value
        return
    assert found[1] == value[1] and found[0].keys() == value[0].keys()
    assert found[0]["a"].dtype == np.uint32 and np.array_equal(found[0]["a"], value[0]["a"])
