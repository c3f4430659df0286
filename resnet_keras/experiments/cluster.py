"""Runs side by side on a Ray cluster, each a task that trains one run in a results folder that all nodes share.

Ray finds a node with room, and starts a task again (by default three times) when its worker dies: the run goes on.
"""

import contextlib
import os
import re
import socket
from pathlib import Path
from tempfile import NamedTemporaryFile

from resnet_keras.data import Identity, identify
from resnet_keras.errors import Interrupted, SomeFailed, UserError, first_line
from resnet_keras.experiments.runner import measure, unmeasured
from resnet_keras.quiet import held_back
from resnet_keras.store import Store
from resnet_keras.training.run import Run, is_done
from resnet_keras.training.trainer import interruption, train

# What variables begin with that decide how a worker trains.
PASSED_ON = ("CUDA_VISIBLE_DEVICES", "JAX_", "KERAS_BACKEND", "RESNET_KERAS_", "TF_", "TFDS_", "XLA_")


def check(on: str | None, gpus: float | None, cpus: float | None, jobs: int) -> None:
    """Refuse values of --on, --gpus-per-run and --cpus-per-run that no cluster can meet, and --jobs beside them."""
    if on is None and (gpus is not None or cpus is not None):
        raise UserError("--gpus-per-run and --cpus-per-run say what a run asks of a cluster: give --on ray too.")
    if on is not None and not re.fullmatch(r"ray(:[^\s/]+:\d{1,5})?", on):
        raise UserError(f"--on {on}: give ray to start Ray on this machine, or ray:HOST:PORT to join a cluster.")
    if gpus is not None and not 0 <= gpus <= 1:
        raise UserError(f"gpus-per-run={gpus:g}: give 1, a fraction such as 0.5 to let two runs share a GPU, or 0.")
    if on is not None and jobs > 1:
        raise UserError("--jobs shares this machine's cores, Ray has its own way: give --cpus-per-run in its place.")


def train_on(
    on: str, runs, identity: Identity, measures, *, store: Store, gpus=None, cpus=None, data_dir=None, force=False
) -> None:
    """Train and measure what is missing of some runs on the same data, as many at a time as the cluster has room for.

    `on` is "ray" to start Ray on this machine, or "ray:HOST:PORT" to join a cluster from one of its machines; all nodes
    see the `store` under the same path. A run gets `gpus` GPUs (None: 1 where there are any) and `cpus` CPUs (None: 1),
    which are its threads on a CPU. Raises a UserError if Ray is not installed, cannot be reached or has no node for
    such a run; SomeFailed, when the others are done; Interrupted, when what was under way has been saved.
    """
    folders = {run: store.run(run.name(identity)) for run in runs}
    to_measure = [run for _, run, _ in unmeasured(measures, runs, identity, store)]
    missing = [run for run in runs if force or run in to_measure or not is_done(folders[run])]
    if not missing:
        print(f"All {len(runs)} runs are done; --force repeats them.")
        return
    data_dir = data_dir and str(Path(data_dir).expanduser().resolve())
    root, waiting, failures, stopped = store.root.resolve(), {}, [], []
    root.mkdir(parents=True, exist_ok=True)
    # By the probe a worker knows that it sees this very folder.
    with _connected(on) as ray, NamedTemporaryFile(dir=root, prefix=".ray-") as probe, interruption() as stop:
        options = _options(ray, gpus, 1.0 if cpus is None else cpus)
        for run in missing:
            if force:  # once, here: a task that Ray starts again goes on
                with folders[run].lock():
                    folders[run].clear()
            task = ray.remote(train_and_measure).options(name=run.title, **options)
            waiting[task.remote(run, folders[run].name, measures, Path(probe.name), data_dir)] = run.title
        print(f"{len(missing)} of {len(runs)} runs to train, each as a task of Ray.", flush=True)
        while waiting:
            for reference in ray.wait(list(waiting), timeout=1.0)[0]:
                title = waiting.pop(reference)
                try:
                    print(f"{title}: {ray.get(reference)}", flush=True)
                except ray.exceptions.TaskCancelledError:
                    print(f"{title}: stopped", flush=True)
                except ray.exceptions.RayError as error:
                    failures.append(f"{title}: {first_line(getattr(error, 'cause', None) or error)}")
            if stop.number and not stopped:
                print("stopping: what is under way saves itself; the same command goes on from there.", flush=True)
                stopped = [ray.cancel(reference) for reference in waiting]
    if stop.number:
        raise Interrupted(stop.number)
    if failures:
        raise SomeFailed(f"{len(failures)} of {len(missing)} runs failed: {'; '.join(failures)}")


def train_and_measure(run: Run, name: str, measures: tuple[str, ...], probe: Path, data_dir) -> str:
    """Train one run in the shared results folder and measure it: what a worker does. Returns the run's status.

    Raises UserError if the node does not see the results folder, or its data or code would make another run.
    """
    store, identity, node = Store(probe.parent), identify(run.data, data_dir), socket.gethostname()
    if not probe.is_file():
        raise UserError(f"{node} does not see {store.root}: give a --results folder that all nodes share.")
    if run.name(identity) != name:
        raise UserError(f"the data or the code of {node} makes {run.name(identity)}, not {name}.")
    with contextlib.suppress(Interrupted):  # by the driver's Ctrl-C, which Ray passes on, or by a signal to the worker
        train(run, store=store, data_dir=data_dir, label=run.title)
        measure(measures, [run], identity, store=store, data_dir=data_dir)
    return store.run(name).status


@contextlib.contextmanager
def _connected(on: str):
    """Start or join a cluster, unless this process has, and leave it in the end; yields the module `ray`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # lines of two workers may differ in numbers alone
    try:
        import ray
    except ImportError:
        raise UserError("--on ray needs Ray: pip install 'resnet-keras[cluster]', or pip install ray.") from None
    address = on[len("ray:") :]
    options = {"address": address} if address else {"address": "local", "include_dashboard": False}
    for tries_left in (2, 1, 0):  # on a busy machine Ray's own processes may not find each other in time
        try:
            if address:
                socket.create_connection(address.rsplit(":", 1), timeout=10).close()  # Ray would try for a minute
            with held_back():
                ray.init(logging_level="error", ignore_reinit_error=True, **options)
            break
        except Exception as error:  # Ray raises many kinds
            ray.shutdown()
            if not tries_left or address:
                where = f"no Ray cluster answers at {address}" if address else "Ray does not start on this machine"
                raise UserError(f"{where} ({first_line(error)}).") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _options(ray, gpus: float | None, cpus: float) -> dict:
    """How Ray runs each task; raises UserError if no node has what a run asks for, as Ray would wait for one."""
    gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0)) if gpus is None else gpus
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise UserError(f"no node of the cluster has {cpus:g} CPUs and {gpus:g} GPUs: ask for less for each run.")
    variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    if 0 < gpus < 1:  # none may take all of a GPU's memory at once, as TensorFlow and JAX do by default
        variables |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    variables |= {} if gpus else {"TF_NUM_INTRAOP_THREADS": str(max(1, int(cpus)))}
    return {"num_cpus": cpus, "num_gpus": gpus, "runtime_env": {"env_vars": variables}}
