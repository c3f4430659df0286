"""Runs what is missing of an experiment, here or on a cluster, and goes on where it was."""

from __future__ import annotations

import contextlib
import re
import shlex
from typing import Protocol

from resnet_keras.data import Identity, identify
from resnet_keras.errors import UserError
from resnet_keras.experiments import cost, measurements
from resnet_keras.experiments.catalogue import Experiment, experiment
from resnet_keras.locks import Held
from resnet_keras.store import Store
from resnet_keras.training.progress import duration
from resnet_keras.training.run import Run, described, is_done


def run(
    name: str,
    *,
    scale: str = "smoke",
    data: str | None = None,
    data_dir=None,
    seeds: int = 1,
    precision: str = "auto",
    force: bool = False,
    train: bool = True,
    store: Store | None = None,
    only: str | None = None,
    engine: Engine | None = None,
) -> tuple[list[Run], Identity]:
    """Train and measure what is missing of an experiment: what the command `run` and the notebooks do.

    Args:
        name: The experiment's.
        scale: "smoke", "short", "medium" or "paper".
        data: A data set's name; None for the scale's own.
        data_dir: Where data sets lie.
        seeds: How many, from 0.
        precision: "float32", "bfloat16", or "auto": that of runs already there, else the device's faster one.
        force: Repeat runs that are done.
        train: False only says what is there and what is missing, and how to run that.
        store: Default: the default results folder.
        only: "K/N": the K-th of N shares of the runs, for N machines that know nothing of each other.
        engine: What trains and measures, as `engine_for` makes it; default: this process.

    Returns:
        The experiment's runs, or the share of them, all done unless `train` is False, and the data set's identity.

    Raises:
        UserError: An argument, the data or a file cannot be used.
        Interrupted: After the run under way has saved itself.
        SomeFailed: On a cluster, after the others are done.
    """
    store, chosen, engine = store or Store(), experiment(name), engine or Here()
    runs, identity = plan(chosen, scale, data, data_dir, seeds, precision, store, engine.precision)
    runs = share(runs, only)
    print(f"{chosen.title} ({chosen.place})\nScale {scale}, {identity.title}, {seeds} seed{'s' * (seeds > 1)}.")
    if train:
        engine.execute(runs, identity, chosen.measures, store=store, data_dir=data_dir, force=force)
    else:
        print(there_and_missing(chosen, runs, identity, store))
    return runs, identity


class Engine(Protocol):
    """What trains and measures the runs of an experiment; a context, for what it holds while it is in use."""

    def __enter__(self): ...

    def __exit__(self, *_): ...

    def precision(self) -> str:
        """The faster precision of the device that it trains on."""

    def execute(self, runs, identity, measures, *, store: Store, data_dir=None, force=False) -> None:
        """Train what is missing of some runs, and measure what is missing of these measurements."""


class Here(contextlib.nullcontext):
    """This process, one run after the other."""

    def precision(self) -> str:
        """The faster precision of this machine's device."""
        from resnet_keras.quiet import load_keras
        from resnet_keras.training import device

        load_keras()
        return device.settings().precision

    def execute(self, runs, identity, measures, *, store: Store, data_dir=None, force=False) -> None:
        """As of every engine."""
        execute(runs, identity, store=store, data_dir=data_dir, force=force)
        measurements.complete(measures, runs, identity, store=store, data_dir=data_dir)


def _ray(address: str | None, gpus: float | None, cpus: float | None, deterministic: bool) -> Engine:
    from resnet_keras.experiments.cluster import Cluster, Needs

    return Cluster(address, Needs(gpus, 1.0 if cpus is None else cpus), deterministic)


# The kinds of cluster by what comes before the colon of `--on`.
CLUSTERS = {"ray": _ray}


def engine_for(on: str | None, gpus: float | None = None, cpus: float | None = None, deterministic=False) -> Engine:
    """What trains the runs.

    Args:
        on: "ray", "ray:HOST:PORT" or "ray:auto"; None for this process.
        gpus: GPUs that each run asks of a cluster; None for one where it has any.
        cpus: CPUs that each run asks of a cluster; None for one.
        deterministic: As the command line takes it.

    Raises:
        UserError: There is no such kind of cluster, it is not installed, or a number cannot be used.
    """
    if on is None:
        if gpus is not None or cpus is not None:
            raise UserError("--gpus-per-run and --cpus-per-run say what a run asks of a cluster: give --on ray too.")
        return Here()
    kind, colon, address = on.partition(":")
    if kind not in CLUSTERS:
        raise UserError(f"--on {on}: use ray, or ray:HOST:PORT for a cluster that is there.")
    return CLUSTERS[kind](address if colon else None, gpus, cpus, deterministic)


def share(runs: list[Run], only: str | None) -> list[Run]:
    """The K-th of N shares of some runs, every N-th of them, which may be none; all for None.

    Raises:
        UserError: `only` is no K/N with K from 1 to N.
    """
    if only is None:
        return runs
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", only, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"only={only!r}: give K/N, the K-th of N shares of the runs, such as 1/4.")
    return runs[int(match[1]) - 1 :: int(match[2])]


def there_and_missing(experiment: Experiment, runs: list[Run], identity, store: Store) -> str:
    """Which runs of an experiment are there, which are not, and the command that makes those."""
    there = [run for run in runs if store.run(run.name(identity)).done]
    lines = [f"{len(there)} of {len(runs)} runs are there already{_commits(there, identity, store)}."]
    absent = [run.title for run in runs if run not in there]
    unmeasured = measurements.missing(experiment.measures, runs, identity, store)
    absent += [f"{name} of {run.title}" for name, run in unmeasured]
    if absent:
        lines += [f"Not run: {', '.join(absent)}.", f"To run: {_command(experiment, runs, identity)}"]
    return "\n".join(lines)


def _command(experiment: Experiment, runs: list[Run], identity) -> str:
    first, seeds = runs[0], 1 + max(run.seed for run in runs)
    words = ["resnet-keras", "run", experiment.name]
    words += ["--scale", first.config(identity)["scale"], "--data", first.data]
    return shlex.join(words + (["--seeds", str(seeds)] if seeds > 1 else []))


def find_identity(name: str, data_dir, store: Store) -> Identity:
    """The data set's identity: from the pictures or, where they are not at hand, from a run that was made on them.

    So that the results that come with the repository can be read without its data.
    """
    try:
        return identify(name, data_dir)
    except UserError:
        for folder in store.runs():
            with contextlib.suppress(UserError):  # of a folder that others have made
                if described(folder).data == name:
                    return Identity(name, folder.config["data_version"], folder.config["data_title"])
        raise


def resolve_precision(
    experiment: Experiment, scale: str, data: str | None, store: Store, identity, seeds: int, faster=None
) -> str:
    """The precision of "auto": that of the experiment's runs in the store, else the device's faster one.

    So that finished runs that came with the repository count on every machine, and one experiment never mixes two
    precisions.
    """
    for precision in ("bfloat16", "float32"):
        names = [run.name(identity) for run in experiment.runs(scale, data, seeds, precision)]
        if any(store.run(name).done for name in names):
            return precision
    return (faster or Here().precision)()


def plan(
    experiment: Experiment, scale: str, data=None, data_dir=None, seeds=1, precision="auto", store=None, faster=None
):
    """The runs of an experiment and the data set's identity; `faster` says what the device's faster precision is.

    Returns:
        (runs, identity).

    Raises:
        UserError: The scale, data or precision does not exist.
    """
    store = store or Store()
    if experiment.precisions and precision != "auto":
        raise UserError(f"precision={precision!r}: this experiment compares precisions; leave --precision out.")
    runs = experiment.runs(scale, data, seeds, "float32")  # checks the arguments before anything is loaded
    identity = find_identity(runs[0].data, data_dir, store)
    if precision == "auto":
        precision = resolve_precision(experiment, scale, data, store, identity, seeds, faster)
    return experiment.runs(scale, data, seeds, precision), identity


def estimates(runs: list[Run], store: Store, device_name: str) -> list[float]:
    """Seconds that each run will take here, by the speed of earlier runs on this device where there are any."""
    precisions = {run.recipe.precision for run in runs}
    speeds = {precision: cost.measured_speed(store, device_name, precision) for precision in precisions}
    return [cost.seconds(run, speeds[run.recipe.precision] or cost.ASSUMED) for run in runs]


def execute(runs: list[Run], identity, *, store: Store, data_dir=None, force=False) -> None:
    """Train every run that is not done; those that another process is at work on last, if they still need it.

    Raises:
        Interrupted: After the run under way has saved itself.
    """
    from resnet_keras import data
    from resnet_keras.quiet import load_keras

    missing = [run for run in runs if force or not is_done(store.run(run.name(identity)))]
    if not missing:
        print(f"All {len(runs)} runs are there already{_commits(runs, identity, store)}; --force repeats them.")
        return
    load_keras()
    from resnet_keras.training import device
    from resnet_keras.training.trainer import train

    recipe = missing[0].recipe
    dataset = data.load(missing[0].data, data_dir, recipe.validation, recipe.crop)
    times = estimates(missing, store, device.name())
    print(
        f"{len(missing)} of {len(runs)} runs to train on {device.name()}, {_precisions(missing)}: "
        f"about {duration(sum(times))}.",
        flush=True,
    )
    held = []
    for number, run in enumerate(missing):
        label = f"[{number + 1}/{len(missing)}] {run.title}"
        later = sum(times[number + 1 :])
        try:
            train(run, store=store, force=force, label=label, later=later, dataset=dataset, wait=False)
        except Held as held_by:
            print(f"{label}: left for later: {held_by}", flush=True)
            held.append((run, label))
    for run, label in held:  # nothing else is left to do: wait for the others, or take over what they drop
        train(run, store=store, label=label, dataset=dataset)


def _precisions(runs: list[Run]) -> str:
    return " and ".join(sorted({run.recipe.precision for run in runs}))


def _commits(runs, identity, store) -> str:
    """Where the cached runs came from."""
    found = {str(store.run(run.name(identity)).environment.get("commit") or "")[:8] for run in runs} - {""}
    return f" (commit {', '.join(sorted(found))})" if found else ""
