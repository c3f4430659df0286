"""Runs on a Ray cluster: shared out, killed, stopped and gone on with, and equal to those of one process."""

import io
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytest.importorskip("keras")

from PIL import Image  # noqa: E402

from resnet_keras.data import identify  # noqa: E402
from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.experiments import cluster, runner  # noqa: E402
from resnet_keras.experiments.cluster import Cluster, Table  # noqa: E402
from resnet_keras.store import Store  # noqa: E402
from resnet_keras.training.recipe import Recipe  # noqa: E402
from resnet_keras.training.run import Run  # noqa: E402

MEASURED = ["images_per_second", "elapsed_seconds"]
SHORT = Recipe(
    iterations=24, batch_size=8, drops=(12,), log_interval=6, test_interval=24, checkpoint_interval=6, steps_per_call=1
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 24 noise pictures of 8x8 pixels and 4 classes, as a data set that every process can read."""
    root, draw = tmp_path_factory.mktemp("pictures") / "noise", np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for label in "abcd":
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw.integers(0, 255, (8, 8, 3), np.uint8)).save(root / split / label / f"{number}.png")
    return str(root)


@pytest.fixture(scope="module")
def two_workers():
    """Ray on two cores, for all tests here; $RAY_ADDRESS for one that runs already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "LOCAL", {**cluster.LOCAL, "num_cpus": 2})
        with cluster._connected(Cluster(os.environ.get("RAY_ADDRESS", ""))) as connected:
            yield connected.get_runtime_context().gcs_address


@pytest.fixture(scope="module")
def pair(pictures):
    return [Run(name, pictures, SHORT) for name in ("plain8", "resnet8")]


@pytest.fixture(scope="module")
def alone(pair, pictures, tmp_path_factory):
    """The same runs, one after the other in one process of its own."""
    store = Store(tmp_path_factory.mktemp("alone"))
    runner.execute(pair, identify(pictures), store=store)
    return store


def assert_same(store, alone, runs):
    for run in runs:
        name = run.name(identify(run.data))
        one, other = (s.run(name) for s in (store, alone))
        assert one.status == "finished" and (one.path / "network.keras").is_file()
        assert not list(one.path.glob("checkpoint-*"))
        columns = one.history.columns.drop(MEASURED)
        np.testing.assert_allclose(one.history[columns], other.history[columns], rtol=1e-3)


def workers():
    """The processes that carry out a task now."""
    found = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]]
    return [process for process in found if process.info["cmdline"][0].startswith("ray::work")]


@pytest.mark.slow
def test_two_workers_share_an_experiment(two_workers, pair, alone, pictures, tmp_path, capsys):
    store, most = Store(tmp_path), []
    ended = threading.Event()

    def watch():
        while not ended.wait(0.1):
            most.append(len(workers()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    cluster.execute(pair, identify(pictures), store=store, where=Cluster())
    ended.set()
    watcher.join()
    assert max(most) == 2
    assert_same(store, alone, pair)
    assert not list(tmp_path.glob(".*"))
    cluster.execute(pair, identify(pictures), store=store, where=Cluster())
    assert "All 2 runs are there already" in capsys.readouterr().out


LONG = Recipe(
    iterations=400, batch_size=8, drops=(200,), learning_rate=0.01, log_interval=20, test_interval=400,
    checkpoint_interval=20, steps_per_call=1,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_worker_goes_on_from_the_checkpoint_that_was_shipped_home(two_workers, pictures, tmp_path, capsys):
    store, run = Store(tmp_path), Run("plain8", pictures, LONG)
    folder, where = store.run(run.name(identify(pictures))), Cluster(ship=True)
    driver = threading.Thread(
        target=cluster.execute, args=([run], identify(pictures)), kwargs={"store": store, "where": where}
    )
    driver.start()
    wait_for(lambda: list(folder.path.glob("checkpoint-*")))
    (worker,) = workers()
    worker.send_signal(signal.SIGKILL)
    assert not folder.done, "the kill came too late to show anything"
    driver.join(timeout=200)
    assert "try 2" in str(capsys.readouterr().out) or folder.environment.get("resumed_on") is not None
    assert folder.status == "finished" and list(folder.history.iteration) == list(range(20, 401, 20))
    assert (folder.path / "network.keras").is_file() and not list(folder.path.glob("checkpoint-*"))


DRIVER = """
import pickle, sys
from resnet_keras.data import identify
from resnet_keras.experiments import cluster
from resnet_keras.quiet import load_keras
from resnet_keras.store import Store
from resnet_keras.training.interruption import Interrupted
load_keras()
with open(sys.argv[1], "rb") as file:
    run = pickle.load(file)
try:
    cluster.execute([run], identify(run.data), store=Store(sys.argv[2]), where=cluster.Cluster(sys.argv[3]))
except Interrupted as stop:
    sys.exit(128 + stop.signal)
"""


@pytest.mark.slow
@pytest.mark.faults
def test_a_driver_that_is_killed_or_stopped_and_started_again(two_workers, pictures, tmp_path):
    run = Run("plain8", pictures, LONG)
    (tmp_path / "run.pickle").write_bytes(pickle.dumps(run))
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "run.pickle"), str(tmp_path), two_workers]
    folder, reached = Store(tmp_path).run(run.name(identify(pictures))), 0
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 128 + signal.SIGINT)):
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: newest(folder) > reached, driver)  # noqa: B023
        driver.send_signal(number)
        out, err = driver.communicate(timeout=200)
        assert driver.returncode == code, err[-2000:]
        wait_for(lambda: not workers())
        assert not folder.done, "it came too late to show anything"
        reached = newest(folder)
    assert "All runs are saved" in out
    assert folder.summary["status"] == "interrupted" and folder.summary["iterations"] == reached
    cluster.execute([run], identify(pictures), store=Store(tmp_path), where=Cluster())
    assert folder.status == "finished" and list(folder.history.iteration) == list(range(20, 401, 20))


def newest(folder):
    return max((int(path.stem.rpartition("-")[2]) for path in folder.path.glob("checkpoint-*.safetensors")), default=0)


def wait_for(happened, process=None):
    until = time.monotonic() + 200
    while not happened():
        assert time.monotonic() < until
        assert process is None or process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.01)


def test_a_mistake_in_a_run_is_told_and_not_tried_again(two_workers, pictures, tmp_path):
    wrong = Run("plain8", pictures, SHORT)
    with pytest.raises(UserError, match=r"1 of 1 runs failed; .*no.such"):
        cluster.execute(
            [Run("plain8", f"{pictures}/no-such", SHORT)], identify(pictures), store=Store(tmp_path), where=Cluster()
        )
    assert not Store(tmp_path).run(wrong.name(identify(pictures))).done


def test_a_run_that_fits_no_machine_is_refused(two_workers, pair, pictures, tmp_path):
    for where in (Cluster(cpus=64), Cluster(gpus=1.0)):
        with pytest.raises(UserError, match=r"no machine of the cluster has .* \(there are 2 cores and 0 GPUs\)"):
            cluster.execute(pair, identify(pictures), store=Store(tmp_path), where=where)


# ------------------------------------------------------------------------------------------- without Ray


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("slurm",), "--on 'slurm'"),
        (("ray:ray://head:10001",), "host:port of the head"),
        (("ray", 1.5), "--gpus-per-run 1.5"),
        (("ray", None, 0), "--cpus-per-run 0"),
        ((None, 0.5), "go with --on ray"),
    ],
)
def test_a_mistake_in_where_gets_one_line(given, message):
    with pytest.raises(UserError, match=message):
        cluster.cluster(*given)


def test_where_is_what_was_given():
    assert cluster.cluster(None) is None
    assert cluster.cluster("ray:head:6379", 0.25, 4) == Cluster("head:6379", 0.25, 4)
    assert cluster.cluster("ray") == Cluster("", None, 1)


def test_shares_are_disjoint_and_whole():
    runs = list(range(7))
    shares = [runner.share(runs, f"{k}/3") for k in (1, 2, 3)]
    assert (
        sorted(itertools.chain(*shares)) == runs
        and runner.share(runs, None) == runs
        and runner.share(runs, "9/9") == []
    )
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0", "-1/3"):
        with pytest.raises(UserError, match="K/N"):
            runner.share(runs, wrong)


def test_the_table_says_where_each_run_is(tmp_path, tiny):
    store, stream = Store(tmp_path), io.StringIO()
    runs = {run.name(tiny.identity): run for run in (Run(n, "tiny", SHORT) for n in ("plain8", "resnet8", "resnet14"))}
    _, second, third = runs
    table = Table(runs, store, stream)
    store.run(second).begin({})
    store.run(second).write_history([{"iteration": 12, "train_error": 41.25}])
    table.show({second: [("a", 1), ("b", 2)]}, {third: "no disk"})
    rows = stream.getvalue().splitlines()
    assert [row.split()[0] for row in rows] == ["plain8", "resnet8", "resnet14"]
    assert rows[0].endswith("waiting") and rows[2].endswith("failed: no disk")
    assert "12 of 24" in rows[1] and "41.2 %" in rows[1] and rows[1].endswith("on b, try 2")
    table.show({}, {}, last=True)
    assert len(stream.getvalue().splitlines()) == 5, "rows that have not changed are not said again"
