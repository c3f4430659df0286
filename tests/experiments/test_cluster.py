"""Runs as tasks of Ray: side by side, gone on with when a worker dies, and the same as in one process."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from resnet_keras.data import identify
from resnet_keras.errors import UserError
from resnet_keras.experiments import cluster
from resnet_keras.store import Store
from resnet_keras.training.checkpoint import checkpoints
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from tests.conftest import ROOT

# Ray takes half a minute to start, and each of its workers imports TensorFlow.
torture = pytest.mark.skipif(not os.environ.get("RESNET_KERAS_TORTURE"), reason="slow: set RESNET_KERAS_TORTURE=1")
RECIPE = Recipe(
    iterations=120, batch_size=8, drops=(60,), log_interval=20, test_interval=40, checkpoint_interval=10,
    steps_per_call=2,
)  # fmt: skip
HALF = {"on": "ray", "gpus": 0.0, "cpus": 0.5}  # so that two runs go at once on one core, each with one thread
PATIENCE = 600  # seconds for what takes a few on an idle machine

# What one process with one thread makes of the same runs.
ALONE = """
import pickle, sys
from resnet_keras.experiments import runner
from resnet_keras.store import Store
with open(sys.argv[1], "rb") as file:
    runs, identity = pickle.load(file)
runner.execute(runs, identity, store=Store(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on a folder of 40 noise images of two classes."""
    from PIL import Image

    draw, top = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "images"
    for number in range(40):
        folder = top / ("test" if number < 10 else "train") / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_KERAS_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        yield [Run(network, f"{top}{os.sep}", RECIPE, os.getpid()) for network in ("resnet8", "plain8")]


@torture
def test_two_workers_one_of_them_killed_make_what_one_process_makes(runs, tmp_path, capfd):
    pytest.importorskip("ray")
    import pickle

    identity, store, alone = identify(runs[0].data), Store(tmp_path / "shared"), Store(tmp_path / "alone")
    killed = []

    def kill():
        """Kill the worker of the first run, which Ray names after its title, once it has written a checkpoint."""
        end, name = time.monotonic() + PATIENCE, f"ray::{runs[0].title}".encode()
        while not killed and time.monotonic() < end:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if checkpoints(store.run(runs[0].name(identity)).path) and path.read_bytes().startswith(name):
                        killed.append(int(path.parent.name))
                        os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    cluster.execute(runs, identity, ("responses",), store=store, **HALF)
    killer.join()
    said = capfd.readouterr().out
    assert len(killed) == 1 and "going on at iteration" in said
    (tmp_path / "runs.pickle").write_bytes(pickle.dumps((runs, identity)))
    command = [sys.executable, "-c", ALONE, str(tmp_path / "runs.pickle"), str(alone.root)]
    subprocess.run(command, env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}, check=True, timeout=PATIENCE)
    for run in runs:
        name = run.name(identity)
        shared, single = (each.run(name) for each in (store, alone))
        timings = ["images_per_second", "elapsed_seconds"]
        assert shared.history.drop(columns=timings).equals(single.history.drop(columns=timings))
        pairs = zip(shared.load_network().variables, single.load_network().variables, strict=True)
        assert all(np.array_equal(np.array(a), np.array(b)) for a, b in pairs)
        assert shared.done and shared.has_measurement("responses")
    assert not list(store.root.rglob(".ray-*"))


def test_a_worker_that_sees_another_folder_or_other_data_refuses(runs, tmp_path):
    name = runs[0].name(identify(runs[0].data))
    with pytest.raises(UserError, match=r"does not see .* that all nodes share"):
        cluster.train_and_measure(runs[0], name, (), tmp_path / "elsewhere" / ".ray-1", None)
    (tmp_path / ".ray-1").touch()
    with pytest.raises(UserError, match=rf"makes {name}, not another"):
        cluster.train_and_measure(runs[0], "another", (), tmp_path / ".ray-1", None)


def test_without_ray_it_says_what_to_install(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'resnet-keras\[cluster\]'"):
        cluster.execute(runs, identify(runs[0].data), (), store=Store(tmp_path), **HALF)


def test_where_nobody_answers_it_says_so(runs, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
        cluster.execute(runs, identify(runs[0].data), (), store=Store(tmp_path), on="ray:127.0.0.1:1")
