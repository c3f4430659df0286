"""Runs on a Ray cluster: shared, gone on with after deaths, and the same as in one process."""

import dataclasses
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")
pytest.importorskip("ray")

import ray

from resnet_keras import cli
from resnet_keras.data import identify
from resnet_keras.errors import SomeFailed, UserError
from resnet_keras.experiments import cluster, remote, runner
from resnet_keras.experiments.catalogue import EXPERIMENTS, Experiment
from resnet_keras.experiments.cluster import Cluster, Needs
from resnet_keras.locks import Held, Lost
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.checkpoint import checkpoints
from resnet_keras.training.recipe import PRESETS, Recipe
from tests.conftest import ROOT

RECIPE = {
    "iterations": 400, "batch_size": 8, "drops": (200,), "log_interval": 20, "test_interval": 40,
    "checkpoint_interval": 20, "steps_per_call": 5,
}  # fmt: skip
NETWORKS = ("resnet8", "plain8")
SMALL = Experiment("small", "Small", "nowhere", "nothing", {"smoke": NETWORKS}, ("responses",))
HALF = Needs(gpus=0, cpus=0.5)  # so that two runs go at once on one core, each with one thread
PATIENCE = 600  # seconds for what takes a few on a quiet machine

# The command line with the small experiment.
CHILD = f"""
import sys
from resnet_keras import cli
from resnet_keras.experiments.catalogue import EXPERIMENTS, Experiment
from resnet_keras.training.recipe import PRESETS, Recipe

PRESETS["smoke"] = Recipe(**{RECIPE})
EXPERIMENTS["small"] = Experiment("small", "Small", "nowhere", "nothing", {{"smoke": {NETWORKS}}}, ("responses",))
try:
    cli.main(["run", "small", *sys.argv[1:]])
finally:
    print("RAY", "ray" in sys.modules)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 40 noise pictures of two classes."""
    from PIL import Image

    draw, top = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "pictures"
    for number in range(40):
        folder = top / ("test" if number < 10 else "train") / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")
    return f"{top}{os.sep}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Variables for this process and for those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_KERAS_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        yield


@pytest.fixture(scope="module")
def here(environment):
    """Ray on this machine, for all tests of the file."""
    with Cluster(needs=HALF) as engine:
        engine.connect()
        yield engine


@pytest.fixture(scope="module")
def alone(environment, pictures, tmp_path_factory):
    """The experiment by the command line in one process with one thread, and what that said."""
    root = tmp_path_factory.mktemp("alone")
    child = command(pictures, root, TF_NUM_INTRAOP_THREADS="1")
    said, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, said
    return Store(root), said


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The experiment of these tests."""
    monkeypatch.setitem(PRESETS, "smoke", Recipe(**RECIPE))
    monkeypatch.setitem(EXPERIMENTS, "small", SMALL)
    monkeypatch.setattr(cluster, "AGAIN", 0.5)


def command(pictures, root, *words, **variables):
    arguments = [sys.executable, "-c", CHILD, "--data", pictures, "--results", str(root), *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(arguments, env={**os.environ, **variables}, cwd=root, **streams)


def run_small(engine, pictures, root, **options):
    """What the command line does on a cluster."""
    return runner.run("small", data=pictures, store=Store(root), engine=engine, **options)


def wait_for(condition, what):
    """What `condition` returns once that is something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def assert_as(store, alone, network):
    """The run has the same numbers as the one of the single process, to the last bit, and all its files."""
    here, there = ([f for f in which.runs() if f"-{network}-" in f.name] for which in (store, alone))
    assert [f.name for f in here] == [f.name for f in there] and len(here) == 1
    timings = ["images_per_second", "elapsed_seconds"]
    assert here[0].history.drop(columns=timings).equals(there[0].history.drop(columns=timings))
    assert here[0].measurement("responses").equals(there[0].measurement("responses"))
    assert here[0].network_file.is_file() and here[0].done


def owner(folder):
    """The process that has a run's lock, or None."""
    try:
        return json.loads(folder.path.with_name(f".{folder.name}.lock").read_text())["pid"]
    except (OSError, ValueError):
        return None


@pytest.mark.slow
def test_two_workers_share_an_experiment_and_make_what_one_process_makes(here, alone, pictures, tmp_path, capsys):
    store, others = Store(tmp_path / "results"), {}

    def look():
        for folder in store.runs():
            if owner(folder):
                others.setdefault(folder.name, set()).add(owner(folder))
        return not watching

    watching = [True]
    watcher = threading.Thread(target=wait_for, args=(look, "the end of the experiment"))
    watcher.start()
    run_small(here, pictures, store.root)
    watching.clear()
    watcher.join()
    for network in NETWORKS:
        assert_as(store, alone[0], network)
    assert len(others) == 2 and len(set.union(*others.values()) - {os.getpid()}) >= 2, others
    assert [path for path in store.root.rglob(".*")] == []
    said = capsys.readouterr().out
    assert "2 of 2 runs to train, each with 0.5 CPU" in said and said.count("finished: training error") == 2
    run_small(here, pictures, store.root)
    assert "All 2 runs are there already" in capsys.readouterr().out
    assert "RAY False" in alone[1]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False], ids=["a shared folder", "nothing shared"])
def test_a_run_whose_worker_is_killed_goes_on(here, alone, pictures, tmp_path, capsys, shared):
    store = Store(tmp_path / "results")
    engine = Cluster(needs=HALF, seen_as=None if shared else tmp_path / "not there")
    killed = []

    def kill():
        """Kill the process that has the lock of a run, where it works, as soon as home has a checkpoint of it."""
        for folder in store.runs():
            if checkpoints(folder.path) and folder.status == "interrupted":
                worker = owner(folder) if shared else _owner_elsewhere(folder.name)
                if worker and worker != os.getpid():
                    killed.append(folder.name)
                    os.kill(worker, signal.SIGKILL)
                    for left in Path(tempfile.gettempdir()).glob(f"resnet-keras-*/runs/{folder.name}"):
                        shutil.rmtree(left)  # as where the next worker is on another machine
                    return True
        return False

    killer = threading.Thread(target=wait_for, args=(kill, "a checkpoint"))
    killer.start()
    run_small(engine, pictures, store.root)
    killer.join()
    said = capsys.readouterr().out
    assert len(killed) == 1 and "died, and the run goes on from its checkpoint" in said
    assert "going on at iteration" in said
    for network in NETWORKS:
        assert_as(store, alone[0], network)
    assert [path for path in store.root.rglob(".*")] == []


def _owner_elsewhere(name):
    """The process that works on a run in a folder of its own."""
    for path in Path(tempfile.gettempdir()).glob(f"resnet-keras-*/runs/.{name}.lock"):
        try:
            return json.loads(path.read_text())["pid"]
        except (OSError, ValueError):
            continue
    return None


@pytest.mark.slow
def test_the_driver_stopped_and_killed_and_started_again(here, alone, pictures, tmp_path, capsys):
    store = Store(tmp_path / "results")
    tmp_path.joinpath("results").mkdir()
    address = ray.get_runtime_context().gcs_address
    words = ("--on", f"ray:{address}", "--cpus-per-run", "0.5", "--gpus-per-run", "0")

    def beyond(iteration):
        def condition():
            saved = [path for folder in store.runs() for path in checkpoints(folder.path)]
            return any(int(path.stem.rpartition("-")[2]) > iteration for path in saved) or child.poll() is not None

        return condition

    child = command(pictures, store.root, *words)
    wait_for(beyond(0), "a checkpoint")
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130, said
    assert "the same command goes on" in said
    saved = [folder for folder in store.runs() if checkpoints(folder.path)]
    assert saved and all(folder.status in ("interrupted", "finished") for folder in store.runs())
    come = max(int(path.stem.rpartition("-")[2]) for folder in saved for path in checkpoints(folder.path))

    child = command(pictures, store.root, *words)
    wait_for(beyond(come), "another checkpoint")
    child.kill()
    child.communicate(timeout=PATIENCE)
    run_small(here, pictures, store.root)
    assert "going on at iteration" in capsys.readouterr().out
    for network in NETWORKS:
        assert_as(store, alone[0], network)


@pytest.mark.slow
def test_what_a_worker_finds_wrong_names_the_node_and_the_run_and_stops_no_other(
    here, pictures, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(PRESETS, "smoke", dataclasses.replace(PRESETS["smoke"], iterations=40, drops=(20,)))
    runs, identity = runner.plan(SMALL, "smoke", pictures, precision="float32")
    broken = type(runs[0])("plain8", f"{tmp_path}{os.sep}nowhere{os.sep}", runs[0].recipe)
    store = Store(tmp_path / "results")
    with pytest.raises(SomeFailed, match=rf"1 of 2 runs failed: plain8: .*nowhere.*\(on {platform.node()}\)"):
        here.execute([runs[0], broken], identity, (), store=store)
    assert [folder.status for folder in store.runs()] == ["finished"]
    assert "plain8: " in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_another_process_has_is_left_to_it(here, pictures, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "smoke", dataclasses.replace(PRESETS["smoke"], iterations=40, drops=(20,)))
    runs, identity = runner.plan(SMALL, "smoke", pictures, precision="float32")
    store, sent = Store(tmp_path), []
    lock = store.run(runs[1].name(identity)).lock()
    lock.__enter__()

    def release():
        """Once the other run is done, and this one has been asked for and put off."""
        if store.run(runs[0].name(identity)).done and sent.count(runs[1].title) > 2:
            assert not store.run(runs[1].name(identity)).path.exists()
            lock.__exit__()
            return True
        return False

    submit = here.submit
    here.submit = lambda job, home: (sent.append(job.run.title), submit(job, home))[1]
    try:
        other = threading.Thread(target=wait_for, args=(release, "the other run"))
        other.start()
        here.execute(runs, identity, (), store=store)
        other.join()
    finally:
        del here.submit
    assert all(folder.done for folder in store.runs()) and len(store.runs()) == 2


@pytest.mark.slow
class Room:
    """Counts who is in it."""

    def __init__(self):
        self.inside = self.most = 0

    def enter(self):
        self.inside += 1
        self.most = max(self.most, self.inside)

    def stay(self):
        time.sleep(4)

    def leave(self):
        self.inside -= 1
        return self.most


def visit(room):
    room.enter()
    room.stay()
    return room.leave()


@pytest.mark.slow
def test_a_worker_that_waits_for_home_keeps_its_cpus(here):
    """Else more runs than there is room for would train at the same time."""
    room = ray.remote(num_cpus=0, max_concurrency=4)(Room).remote()
    task = ray.remote(num_cpus=device.cores(), max_retries=0)(visit)
    found = ray.get([task.remote(cluster.Calls(room)) for _ in range(3)], timeout=PATIENCE)
    assert max(found) == 1


def test_what_no_node_can_give_is_refused(here, pictures, tmp_path):
    runs, identity = runner.plan(SMALL, "smoke", pictures, precision="float32")
    for needs in (Needs(gpus=0, cpus=10_000), Needs(gpus=1.0)):
        with pytest.raises(UserError, match=r"no node of the cluster can give a run .*; its nodes: 1 x \d+ CPU"):
            Cluster(needs=needs).execute(runs, identity, (), store=Store(tmp_path))


MISTAKES = {
    ("--on", "slurm"): "use ray",
    ("--on", "ray:nowhere"): "ray:HOST:PORT",
    ("--on", "ray:http://a:1"): "ray:HOST:PORT",
    ("--on", "ray", "--gpus-per-run", "2"): "gpus-per-run=2: a run of an experiment trains on one GPU",
    ("--on", "ray", "--gpus-per-run", "-1"): "gpus-per-run=-1",
    ("--on", "ray", "--cpus-per-run", "0"): "a number above 0",
    ("--on", "ray", "--dry-run"): "--on goes with",
    ("--on", "ray", "--budget", "5m"): "--on goes with",
    ("--cpus-per-run", "2"): "give --on ray too",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_gets_one_line(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "degradation", "--results", str(tmp_path), *words])
    said = capsys.readouterr().err
    assert end.value.code == 2 and MISTAKES[words] in said and said.count("\n") == 1


def test_pictures_are_named_so_that_any_worker_finds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("cifar10").mkdir()
    tmp_path.joinpath("some.tar").touch()
    found = {"./cifar10": str(tmp_path / "cifar10"), "some.tar": str(tmp_path / "some.tar"), "cifar10": "cifar10"}
    for given, told in found.items():
        assert cluster._from_anywhere(SMALL.runs("smoke", given)[0]).data == told


def test_without_ray_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "degradation", "--on", "ray"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "pip install 'resnet-keras[cluster]'" in said and said.count("\n") == 1


def test_where_nobody_answers_it_says_so(environment, pictures, tmp_path):
    code = "import sys; from resnet_keras import cli; cli.main(sys.argv[1:])"
    words = ["run", "degradation", "--on", "ray:127.0.0.1:1", "--results", str(tmp_path)]
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 2 and "no Ray cluster can be reached at 127.0.0.1:1" in ran.stderr, ran.stderr
    assert ran.stderr.count("\n") == 1


# ------------------------------------------------------------------------------------ both ends, without Ray


@pytest.fixture
def job(pictures, environment, tmp_path):
    run = SMALL.runs("smoke", pictures)[0]
    return remote.Job(run, run.name(identify(pictures)), (), str(tmp_path / "not there"), tmp_path.name)


def test_a_worker_that_was_given_up_can_bring_nothing_home(job, tmp_path):
    home = remote.Home(str(tmp_path / "home"))
    home.begin(job.name, 0, False, "a")
    home.begin(job.name, 1, False, "b")
    for late in (lambda: home.tell(job.name, 0, iteration=5), lambda: home.keep(job.name, 0, b"")):
        with pytest.raises(Lost, match="another worker"):
            late()
    assert home.tell(job.name, 1, iteration=7) is False
    assert home.news()[0][job.name]["iteration"] == 7
    home.close()


def test_home_locks_what_is_made_elsewhere_and_forgets_no_lock(job, tmp_path):
    home = remote.Home(str(tmp_path / "home"))
    home.begin(job.name, 0, False, "a")
    folder = Store(tmp_path / "home").run(job.name)
    with pytest.raises(Held):
        remote.Home(str(tmp_path / "home")).begin(job.name, 0, False, "b")
    home.end(job.name)
    with folder.lock(wait=False), pytest.raises(Held):
        home.begin(job.name, 1, True, "a")


def test_a_worker_that_is_told_to_stop_begins_nothing(job, tmp_path):
    home = remote.Home(str(tmp_path / "home"))
    home.stop()
    assert remote.work(job, home).status == "interrupted"
    assert not Store(tmp_path / "home").runs()


def test_a_worker_with_other_data_refuses(job, tmp_path):
    outcome = remote.work(
        dataclasses.replace(job, name=f"{job.name[:-8]}00000000"), remote.Home(str(tmp_path / "home"))
    )
    assert outcome.status == "failed" and "the same data" in outcome.text and outcome.node


class Scripted:
    """A cluster whose tasks end as they are told to: (how far the worker comes, how it ends), one after the other."""

    needs = HALF

    def __init__(self, home, endings):
        self.home, self.endings, self.sent = home, list(endings), []
        self.ray = self

    def submit(self, job, home):
        self.sent.append(job.attempt)
        come, ending = self.endings.pop(0)
        self.home.begin(job.name, job.attempt, True, "a node")
        self.home.tell(job.name, job.attempt, iteration=come)
        return ending

    def wait(self, references, **_):
        return references, []

    def outcome(self, ending, say):
        return remote.Outcome(ending, "a node", "out of memory" if ending == "died" else "")

    def fits(self):
        return True


def test_a_run_is_given_up_only_when_its_workers_die_without_getting_further(job, tmp_path):
    home = remote.Home(str(tmp_path / "home"))
    further = Scripted(home, [(5, "died"), (5, "died"), (9, "died"), (9, "died"), (12, "died"), (20, "done")])
    cluster.Driver(further, home, {job.name: job}).drive()
    assert further.sent == [0, 1, 2, 3, 4, 5]
    stuck = Scripted(home, [(5, "died"), (9, "died"), (9, "died"), (4, "died"), (20, "done")])
    with pytest.raises(SomeFailed, match=r"resnet8: its worker died 3 times .* a node \(out of memory\)"):
        cluster.Driver(stuck, home, {job.name: job}).drive()
    assert stuck.sent == [0, 1, 2, 3]
