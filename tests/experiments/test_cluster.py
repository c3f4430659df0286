"""Runs as tasks of Ray: side by side, gone on with when a worker dies, and the same as in one process."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from resnet_keras.data import identify
from resnet_keras.errors import UserError
from resnet_keras.experiments import cluster
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from tests.conftest import ROOT, write_images
from tests.faults.conftest import torture
from tests.faults.results import assert_same

RECIPE = Recipe(
    iterations=400, batch_size=8, drops=(200,), log_interval=20, test_interval=40, checkpoint_interval=10,
    steps_per_call=2,
)  # fmt: skip
HALF = {"on": "ray", "gpus": 0.0, "cpus": 0.5}  # so that two runs go at once on one core, each with one thread
PATIENCE = 200  # seconds for what takes a few on an idle machine

# Another process: trains the same runs, alone, several at a time or on Ray, as the options say.
CHILD = """
import pickle, signal, sys, time
from resnet_keras.experiments import cluster, runner
from resnet_keras.store import Store
from resnet_keras.errors import Interrupted
with open(sys.argv[1], "rb") as file:
    runs, identity, options = pickle.load(file)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
if options.pop("idle", False):  # so that another process has to train
    runner.train = lambda *_, **__: time.sleep(1000)
try:
    train = cluster.train_on if "on" in options else runner.train_here
    train(runs=runs, identity=identity, measures=(), store=Store(sys.argv[2]), **options)
except Interrupted as stop:
    sys.exit(128 + stop.signal)
"""


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on a folder of images."""
    folder = write_images(tmp_path_factory.mktemp("images"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_KERAS_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        yield [Run(network, f"{folder}{os.sep}", RECIPE, os.getpid()) for network in ("resnet8", "plain8")]


def start(root, runs, **options):
    """Train in another process, with a thread for each run."""
    root.mkdir(exist_ok=True)
    (root / "asked").write_bytes(pickle.dumps((runs, identify(runs[0].data), options)))
    command = [sys.executable, "-c", CHILD, str(root / "asked"), str(root)]
    threads = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=threads)


@pytest.fixture(scope="module")
def alone(runs, tmp_path_factory):
    """Results of one process that was never stopped."""
    root = tmp_path_factory.mktemp("alone")
    single = start(root, runs)
    single.communicate(timeout=PATIENCE)
    assert single.returncode == 0
    return Store(root)


@torture("starts TensorFlow five times")
def test_a_process_whose_asker_is_killed_saves_its_run_and_two_at_a_time_end_as_one_does(runs, alone, tmp_path):
    store, names = Store(tmp_path), [run.name(identify(runs[0].data)) for run in runs]
    driver = start(tmp_path, runs, jobs=2, idle=True)
    wait_for(lambda: store.run(names[0]).checkpoints)
    driver.kill()
    wait_for(lambda: store.run(names[0]).summary)
    assert [store.run(name).status for name in names] == ["interrupted", "not run"]
    again = start(tmp_path, runs, jobs=2)
    said, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0 and "2 of 2 runs to train" in said and "2 at a time" in said
    for name in names:
        assert_same(store.run(name).path, alone.run(name).path)


@torture("Ray takes half a minute to start")
def test_stopped_and_a_worker_killed_it_makes_what_one_process_makes(runs, alone, tmp_path, capfd, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    identity, store = identify(runs[0].data), Store(tmp_path / "shared")

    def saved(run):
        return set(store.run(run.name(identity)).checkpoints)

    driver = start(store.root, runs, **HALF)
    wait_for(lambda: all(map(saved, runs)) or driver.poll() is not None)
    driver.send_signal(signal.SIGINT)
    said, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 130 and "the same command goes on" in said, said
    assert {folder.status for folder in store.runs()} == {"interrupted"}

    before, killed = saved(runs[0]), []

    def kill():
        """Kill the worker of the first run, which Ray names after its title, once it has saved more."""
        wait_for(lambda: saved(runs[0]) - before)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes().startswith(f"ray::{runs[0].title}".encode()):
                    killed.append(int(path.parent.name))
                    os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    cluster.train_on(runs=runs, identity=identity, measures=("responses",), store=store, **HALF)
    killer.join()
    assert len(killed) == 1 and capfd.readouterr().out.count("going on at") >= 2  # the killed one's words may be lost
    for run in runs:
        shared, other = (each.run(run.name(identity)) for each in (store, alone))
        assert_same(shared.path, other.path)
        assert shared.done and shared.has_measurement("responses")
    assert not list(store.root.rglob(".ray-*"))


def test_a_worker_that_sees_another_folder_or_other_data_refuses(runs, tmp_path):
    name = runs[0].name(identify(runs[0].data))
    with pytest.raises(UserError, match=r"does not see .* that all nodes share"):
        cluster.train_and_measure(runs[0], name, (), tmp_path / "elsewhere" / ".ray-1", None)
    (tmp_path / ".ray-1").touch()
    with pytest.raises(UserError, match=rf"makes {name}, not another"):
        cluster.train_and_measure(runs[0], "another", (), tmp_path / ".ray-1", None)


def test_where_nobody_answers_or_ray_is_not_installed_it_says_so(runs, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
        cluster.train_on("ray:127.0.0.1:1", runs, identify(runs[0].data), (), store=Store(tmp_path))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'resnet-keras\[cluster\]'"):
        cluster.train_on("ray", runs, identify(runs[0].data), (), store=Store(tmp_path))
