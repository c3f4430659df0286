"""The runs of an experiment spread over a Ray cluster: each run is a task, and every result comes home.

A task trains in the driver's results folder where it can see it (shared storage). Elsewhere it trains in a folder of
its own and ships each file home as it appears, checkpoints too, so that a run whose worker died goes on from its newest
checkpoint on another one. The driver alone starts tasks, shows the table and stops them; what is left after a kill of
any of them is an interrupted run, and the same command goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

from resnet_keras.errors import UserError
from resnet_keras.files import write_atomically
from resnet_keras.store import Store
from resnet_keras.training.interruption import Interrupted, Interruption
from resnet_keras.training.progress import duration
from resnet_keras.training.run import Run

RETRIES = 5  # new tries after a worker or its machine has died; mistakes are not tried again
LOOK = 0.5  # seconds between two looks at the tasks, or at the files of a run to be shipped
REPORT = 15.0  # seconds between two reports where the output is no terminal
LOCAL = {"address": "local", "include_dashboard": False, "object_store_memory": 100 * 2**20}  # pictures do not travel
STARTS = 3  # tries to start Ray on this machine
STOPPING = 120.0  # seconds that tasks have to save themselves when they are told to stop


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where runs go, and what each takes.

    Attributes:
        address: host:port of a cluster's head, "auto" for the one that this machine belongs to; "" starts Ray here.
        gpus: GPUs a run; fractions let several runs share one. None: one where the cluster has any, else none.
        cpus: CPU cores a run.
        ship: Ship files home even where workers share the results folder.
    """

    address: str = ""
    gpus: float | None = None
    cpus: int = 1
    ship: bool = False

    def __post_init__(self):
        """Refuse what no task can have.

        Raises:
            UserError: Naming what is allowed.
        """
        if self.address.startswith("ray://"):
            raise UserError(
                f"--on ray:{self.address}: give host:port of the head, and run this on a machine of the cluster."
            )
        if self.cpus < 1:
            raise UserError(f"--cpus-per-run {self.cpus}: give a whole number, 1 or more.")
        if self.gpus is not None and not (0 <= self.gpus <= 1 or self.gpus == int(self.gpus) > 0):
            raise UserError(f"--gpus-per-run {self.gpus:g}: give a fraction from 0 to 1, or a whole number.")


def cluster(on: str | None, gpus: float | None = None, cpus: int | None = None) -> Cluster | None:
    """The `Cluster` of the command line's `--on ray[:ADDRESS]`; None without one.

    Raises:
        UserError: It is something else, or the others are given without it.
    """
    if on is None:
        if gpus is not None or cpus is not None:
            raise UserError("--gpus-per-run and --cpus-per-run go with --on ray: add it, or leave them out.")
        return None
    kind, _, address = on.partition(":")
    if kind != "ray":
        raise UserError(f"--on {on!r}: give ray, to start Ray on this machine, or ray:HOST:PORT of a cluster's head.")
    return Cluster(address, gpus, 1 if cpus is None else cpus)


def execute(runs: list[Run], identity, *, store: Store, where: Cluster, data_dir=None, force=False) -> None:
    """Train every run that is not done, as many at a time as the cluster holds.

    Raises:
        UserError: Ray is not installed, the cluster cannot be reached or never holds a run, or runs failed.
        Interrupted: Ctrl-C or SIGTERM came; all runs have been saved.
    """
    missing = [run for run in runs if force or not store.run(run.name(identity)).done]
    if not missing:
        print(f"All {len(runs)} runs are there already; --force repeats them.")
        return
    with _connected(where) as ray:
        where = _fitting(ray, where)
        if force:
            for folder in (store.run(run.name(identity)) for run in missing):
                with folder.lock(wait=False):
                    folder.clear()
        resources = f"{where.cpus} CPU cores" + (f" and {where.gpus:g} GPUs" if where.gpus else "")
        print(f"{len(missing)} of {len(runs)} runs to train on Ray, {resources} each.", flush=True)
        _Driver(ray, where, missing, identity, store, data_dir).follow()


@contextlib.contextmanager
def _connected(where: Cluster):
    """Ray, started here or joined; left again at the end."""
    try:
        import ray
    except ImportError:
        raise UserError("--on ray needs Ray: pip install 'resnet-keras[cluster]' here and on every machine.") from None
    mine = not ray.is_initialized()
    if mine:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to Ray's makers
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        _start(ray, where.address)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _start(ray, address: str) -> None:
    """Join a cluster, or start one here: Ray gives itself 15 seconds for that, which a busy machine may exceed.

    Raises:
        UserError: There is none at this address, or none comes up.
    """
    options = {"address": address} if address else LOCAL
    for number in range(1, STARTS + 1):
        try:
            ray.init(**options, log_to_driver=False, logging_level="error")
            return
        except Exception as error:  # Ray raises no class of its own here
            ray.shutdown()
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            if address or number == STARTS:
                raise UserError(f"no Ray cluster at {address or 'this machine'}: {reason}") from None


def _fitting(ray, where: Cluster) -> Cluster:
    """The cluster with `gpus` decided.

    Raises:
        UserError: No machine of the cluster holds even one run.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = where.gpus if where.gpus is not None else float(any(node.get("GPU") for node in nodes))
    if not any(node.get("CPU", 0) >= where.cpus and node.get("GPU", 0) >= gpus for node in nodes):
        most = ", ".join(f"{node.get('CPU', 0):g} cores and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise UserError(
            f"no machine of the cluster has {where.cpus} cores and {gpus:g} GPUs for a run (there are {most}): "
            "lower --cpus-per-run or --gpus-per-run."
        )
    return dataclasses.replace(where, gpus=gpus)


# --------------------------------------------------------------------------------------------------- home


class Home:
    """An actor on the driver's machine: takes the files of runs, gives them to the next try, knows who is at work.

    It holds the locks of the runs that it takes files of.
    """

    def __init__(self, root: str):
        """`root`: the driver's results folder."""
        self.store, self.tries, self.locks = Store(root), {}, contextlib.ExitStack()
        self.locked = set()
        self.mark = self.store.root / f".{uuid.uuid4().hex}.tmp"
        self.store.root.mkdir(parents=True, exist_ok=True)
        self.mark.touch()

    def begin(self, name: str, host: str, pid: int) -> str:
        """Note who has taken a run up; gives the path of a file that is there for those who share the folder."""
        self.tries.setdefault(name, []).append((host, pid))
        return str(self.mark)

    def workers(self) -> dict[str, list[tuple[str, int]]]:
        """Run's name -> (host, process) of each try."""
        return self.tries

    def files(self, name: str) -> dict[str, bytes]:
        """What there is of a run, for a worker that does not share the folder.

        Raises:
            Held: Somebody else is at work on the run.
        """
        folder = self.store.run(name)
        if name not in self.locked:
            self.locks.enter_context(folder.lock(wait=False))
            self.locked.add(name)
        return {path.name: path.read_bytes() for path in _shipped(folder.path)}

    def take(self, name: str, files: dict[str, bytes], there: list[str]) -> None:
        """Write new files of a run, and remove checkpoints that the worker has no more."""
        folder = self.store.run(name).path
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            write_atomically(folder / file, content)
        for path in _shipped(folder):
            if path.name.startswith("checkpoint-") and path.name not in there:
                path.unlink()

    def end(self) -> None:
        """Give the locks back, and remove the mark."""
        self.locks.close()
        self.mark.unlink(missing_ok=True)


def _shipped(folder: Path) -> list[Path]:
    """The whole files of a run's directory; a summary comes last, since it says that the rest is there."""
    paths = (path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(paths, key=lambda path: (path.name == "summary.json", path.name))


# ------------------------------------------------------------------------------------------------- worker


def work(home, run: Run, name: str, root: str, data_dir, settings: dict, ship: bool) -> str:
    """What a task does, in a process of its own: one run, from where it is to its end.

    Returns:
        How it ended: "finished", "diverged" or "interrupted".
    """
    import ray

    os.environ.update(settings)
    mark = ray.get(home.begin.remote(name, platform.node(), os.getpid()))
    if Path(mark).exists() and not ship:
        return _train(run, Store(root), data_dir)
    with tempfile.TemporaryDirectory(prefix="resnet-keras-") as scratch:
        folder = Store(scratch).run(name)
        folder.path.mkdir(parents=True)
        for file, content in ray.get(home.files.remote(name)).items():
            write_atomically(folder.path / file, content)
        with _shipping(home, folder):
            return _train(run, Store(scratch), data_dir)


def _train(run: Run, store: Store, data_dir) -> str:
    from resnet_keras.quiet import load_keras

    load_keras()
    from resnet_keras.training.trainer import train

    try:
        return train(run, store=store, data_dir=data_dir).status
    except Interrupted:
        return "interrupted"


@contextlib.contextmanager
def _shipping(home, folder):
    """While it is entered, a thread ships every new file of a run home; at the end all that is left."""
    import ray

    sent, ended = {}, threading.Event()

    def ship():
        there = {path.name: path.stat().st_mtime_ns for path in _shipped(folder.path)}
        new = {name: (folder.path / name).read_bytes() for name, time in there.items() if sent.get(name) != time}
        if new or set(sent) - set(there):
            ray.get(home.take.remote(folder.name, new, list(there)))
        sent.clear()
        sent.update(there)

    def keep_shipping():
        while not ended.wait(LOOK):
            with contextlib.suppress(FileNotFoundError):  # a checkpoint that was dropped between two lines
                ship()

    thread = threading.Thread(target=keep_shipping, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        ship()


# ------------------------------------------------------------------------------------------------- driver


class _Driver:
    """Starts a task for each run and follows them to their end."""

    def __init__(self, ray, where: Cluster, runs: list[Run], identity, store: Store, data_dir):
        self.ray, self.store = ray, store
        self.runs = {run.name(identity): run for run in runs}
        self.failures: dict[str, str] = {}
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.home = ray.remote(Home).options(num_cpus=0, scheduling_strategy=here).remote(str(store.root.resolve()))
        task = ray.remote(work).options(
            num_cpus=where.cpus, num_gpus=where.gpus, max_retries=RETRIES, max_calls=1, retry_exceptions=False
        )
        data_dir = str(Path(data_dir).resolve()) if data_dir else None
        root, settings = str(store.root.resolve()), worker_settings(where)
        self.tasks = {
            task.remote(self.home, run, name, root, data_dir, settings, where.ship): name
            for name, run in self.runs.items()
        }
        self.table = Table(self.runs, store)

    def follow(self) -> None:
        """Wait for the tasks; tell them to stop when somebody asks for it."""
        left = dict(self.tasks)
        with Interruption() as interruption:
            while left:
                done, _ = self.ray.wait(list(left), timeout=LOOK)
                for task in done:
                    self._collect(task, left.pop(task))
                self.table.show(self.ray.get(self.home.workers.remote()), self.failures)
                if interruption.number is not None:
                    self._stop(left)
                    break
        self.table.show(self.ray.get(self.home.workers.remote()), self.failures, last=True)
        self.ray.get(self.home.end.remote())
        if interruption.number is not None:
            print("All runs are saved; the same command goes on from there.", flush=True)
            raise Interrupted(interruption.number)
        if self.failures:
            name, reason = next(iter(self.failures.items()))
            raise UserError(f"{len(self.failures)} of {len(self.runs)} runs failed; {name}: {reason}")

    def _collect(self, task, name: str) -> None:
        try:
            self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:
            self.failures[name] = str(error.cause).strip().splitlines()[0] if str(error.cause) else repr(error.cause)
        except self.ray.exceptions.RayError as error:
            self.failures[name] = f"its worker died {RETRIES + 1} times ({type(error).__name__})"

    def _stop(self, left: dict) -> None:
        print("Stopping: every run saves itself first.", flush=True)
        for task in left:
            self.ray.cancel(task, force=False)
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.wait(list(left), num_returns=len(left), timeout=STOPPING)


def worker_settings(where: Cluster) -> dict[str, str]:
    """Environment variables of a task: the driver's backend, and no more threads or GPU memory than its share."""
    import keras

    settings = {"KERAS_BACKEND": keras.config.backend(), "OMP_NUM_THREADS": str(where.cpus)}
    settings |= {"TF_NUM_INTRAOP_THREADS": str(where.cpus), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if where.gpus and where.gpus < 1:
        settings["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * where.gpus:.2f}"
    return settings


class Table:
    """The progress of all runs: one table that renews itself in a terminal, the rows that changed elsewhere."""

    def __init__(self, runs: dict[str, Run], store: Store, stream=None):
        """`runs`: name of each run's directory -> run."""
        self.runs, self.store, self.stream = runs, store, stream or sys.stdout
        self.width = max(len(run.title) for run in runs.values())
        self.began, self.shown, self.before = time.monotonic(), -REPORT, {}
        self.height = 0

    def show(self, workers: dict, failures: dict[str, str], last: bool = False) -> None:
        """Show where every run is.

        Args:
            workers: Run's name -> (host, process) of each try.
            failures: Run's name -> why it ended.
            last: Nothing will follow.
        """
        live = self.stream.isatty()
        if not (last or live or time.monotonic() - self.shown >= REPORT):
            return
        self.shown = time.monotonic()
        rows = {name: self._row(name, workers.get(name, []), failures.get(name)) for name in self.runs}
        if live:
            self.stream.write(f"\x1b[{self.height}F\x1b[J" if self.height else "")
            self.height = len(rows) + 1
            rows["all"] = self._total()
        else:
            rows = {name: row for name, row in rows.items() if row != self.before.get(name)}
            self.before |= rows
        for row in rows.values():
            print(row, file=self.stream, flush=True)

    def _row(self, name: str, tries: list, failure: str | None) -> str:
        run, folder = self.runs[name], self.store.run(name)
        place = f"on {tries[-1][0]}" if tries else "waiting"
        place += f", try {len(tries)}" if len(tries) > 1 else ""
        state = f"failed: {failure}" if failure else folder.status if folder.done else place
        return f"{run.title:{self.width}}  {self._progress(run, folder)}  {state}"

    def _progress(self, run: Run, folder) -> str:
        with contextlib.suppress(UserError, IndexError):
            iteration, error = folder.columns("iteration", "train_error")[-1]
            return f"{iteration:6.0f} of {run.recipe.iterations}  training error {error:5.1f} %"
        return f"{0:6d} of {run.recipe.iterations}  {'':22}"

    def _total(self) -> str:
        done = sum(self.store.run(name).done for name in self.runs)
        return f"{done} of {len(self.runs)} runs done after {duration(time.monotonic() - self.began)}"
