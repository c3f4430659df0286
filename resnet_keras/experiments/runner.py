"""Trains and measures what is missing of an experiment, and estimates how long that takes on this device.

Several processes may be at work in one results folder: each leaves to the others what they are training.
"""

import contextlib
import dataclasses
import functools
import io
import itertools
import math
import multiprocessing
import os
import signal
import statistics
import tempfile
import textwrap
import threading
from collections.abc import Iterable, Iterator

import numpy as np

from resnet_keras import data as datasets
from resnet_keras.data import Dataset, Identity, Split, identify
from resnet_keras.errors import UserError
from resnet_keras.experiments import catalogue
from resnet_keras.experiments.catalogue import Experiment
from resnet_keras.files import Held
from resnet_keras.models.catalogue import FAMILIES, architecture
from resnet_keras.models.complexity import complexity
from resnet_keras.quiet import backend, load_keras
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.progress import duration
from resnet_keras.training.run import Run, described, is_done
from resnet_keras.training.trainer import train

START = 10.0  # seconds to build and compile a network
FORWARD = 1 / 3  # of the time of a training step is its forward pass, which is all of a test
WITHOUT_NETWORK = {"gradients", "start"}  # measurements that say something without the trained network too
TEST_IMAGES = {"shapes16": 2_000, "imagenet2012": 50_000}


def introduction(experiment: Experiment, runs: list[Run], identity: Identity) -> str:
    """Say what an experiment is about and which runs it takes, in two sentences."""
    titles = list(dict.fromkeys(dataclasses.replace(run, seed=0).title for run in runs))
    networks = " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))
    seeds = len({run.seed for run in runs})
    lengths = f"{runs[0].recipe.iterations:,} iterations" + (f", {seeds} seeds" if seeds > 1 else "")
    lines = [f"{experiment.title} ({experiment.place}).", f"The claim: {experiment.claim}"]
    lines += [f"To see it, {networks} train on {identity.title}, each for {lengths}."]
    return "\n".join(textwrap.fill(line, 80) for line in lines)


def plan(experiment: Experiment, scale, data, data_dir, seeds, precision, store) -> tuple[list[Run], Identity]:
    """The runs of an experiment, and their data set; raises UserError if the scale or data does not exist."""
    if experiment.precisions and precision != "auto":
        raise UserError(f"precision={precision!r}: this experiment compares precisions; leave --precision out.")
    planned = {p: experiment.runs(scale, data, seeds, p) for p in ("bfloat16", "float32")}
    identity = find_identity(planned["float32"][0].data, data_dir, store)
    if precision == "auto":
        # That of finished runs, so that those of the repository count everywhere, and no experiment mixes two.
        done = [p for p, runs in planned.items() if any(store.run(run.name(identity)).done for run in runs)]
        precision = done[0] if done else device.settings().precision
    return experiment.runs(scale, data, seeds, precision), identity  # whose recipe refuses an unknown precision


def find_identity(name: str, data_dir, store: Store) -> Identity:
    """Which data set it is, by its images or, so that results can be read without them, by a run that saw them."""
    try:
        return identify(name, data_dir)
    except UserError:
        for folder in store.runs():
            with contextlib.suppress(UserError):  # a damaged run, or one of other code
                if described(folder).data == name:
                    return Identity(name, folder.config["data_version"], folder.config["data_title"])
        raise


def timetable(runs: list[Run], identity: Identity, store: Store, jobs: int = 1):
    """Tabulate runs with their status and the estimated time of those not done, `jobs` at a time, as a `rich` table."""
    from rich.table import Table

    folders = [store.run(run.name(identity)) for run in runs]
    missing = [run for run, folder in zip(runs, folders, strict=True) if not is_done(folder)]
    if not missing:
        return f"All {len(runs)} runs are done: resnet-keras report draws them."
    times = dict(zip(missing, seconds(missing, identity, store), strict=True))
    table = Table("run", "status", "time", box=None, pad_edge=False)
    for run, folder in zip(runs, folders, strict=True):
        table.add_row(run.title, folder.status, duration(times[run]) if run in times else "")
    total = duration(max(sum(times.values()) / jobs, *times.values()))
    table.add_row(f"total, on {device.name()}", f"{len(missing)} to train", f"about {total}")
    return table


def train_here(runs: list[Run], identity, measures=(), *, store: Store, data_dir=None, force=False, jobs=1) -> None:
    """Train every run that is not done, then those that other processes work on now, and measure what is missing.

    On a CPU `jobs` processes, if it has the cores, train a run each on an equal share of them, the longest runs first;
    with `force` it is one. Raises Interrupted after what is under way has saved itself.
    """
    missing, busy = [run for run in runs if force or not is_done(store.run(run.name(identity)))], []
    if not missing:
        print(f"All {len(runs)} runs are done; --force repeats them.")
        return measure(measures, runs, identity, store=store, data_dir=data_dir)
    jobs = 1 if force else min(jobs, len(missing))
    if jobs > 1:
        missing.sort(key=lambda run: multiply_adds(run.network, run.shortcut) * run.recipe.iterations, reverse=True)
    with contextlib.ExitStack() as stack:
        for _ in range(jobs - 1):
            helper = multiprocessing.get_context("spawn").Process(target=_help, args=(missing, store, data_dir))
            helper.start()
            stack.callback(helper.join)
            stack.callback(helper.terminate)  # first; a run under way is saved
        recipe = missing[0].recipe
        dataset = datasets.load(missing[0].data, data_dir, recipe.validation, recipe.crop)
        times = seconds(missing, identity, store)
        where = f"{device.name()}, {' and '.join(sorted({run.recipe.precision for run in missing}))}"
        about = f", {jobs} at a time" * (jobs > 1) + f": about {duration(max(sum(times) / jobs, *times))}."
        print(f"{len(missing)} of {len(runs)} runs to train on {where}{about}", flush=True)
        for number, run in enumerate(missing):
            label = f"[{number + 1}/{len(missing)}] {run.title}"
            later = max(0.0, sum(times[number // jobs * jobs :]) / jobs / times[number] - 1)
            try:
                train(run, store=store, force=force, label=label, later=later, dataset=dataset, wait=False)
            except Held:
                print(f"{label}: another process is at work on it.", flush=True)
                busy.append((run, label))
        for run, label in busy:
            train(run, store=store, label=label, dataset=dataset)
    measure(measures, runs, identity, store=store, data_dir=data_dir)


def _help(runs: list[Run], store: Store, data_dir) -> None:
    """Train what no other process is at work on, as long as the one that asked lives; it meets what fails here too."""
    asker, nothing, failed = multiprocessing.parent_process(), io.StringIO(), contextlib.suppress(BaseException)
    threading.Thread(target=lambda: (asker.join(), os.kill(os.getpid(), signal.SIGTERM)), daemon=True).start()
    with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing), failed:
        for run in runs:
            with contextlib.suppress(Held):
                train(run, store=store, data_dir=data_dir, wait=False)


def unmeasured(measures: Iterable[str], runs: list[Run], identity: Identity, store: Store) -> Iterator[tuple]:
    """(Measurement, run, its folder) of what can be measured on the runs that are done, and has not been."""
    for name, run in itertools.product(measures, runs):
        folder = store.run(run.name(identity))
        possible = folder.status == "finished" or (folder.done and name in WITHOUT_NETWORK)
        if possible and not folder.has_measurement(name):
            yield name, run, folder


def measure(measures: Iterable[str], runs: list[Run], identity: Identity, *, store: Store, data_dir=None) -> None:
    """Measure what is missing, and say which trained networks are not at hand for that."""
    dataset = None
    for name, run, folder in unmeasured(measures, runs, identity, store):
        if name not in WITHOUT_NETWORK and not folder.network_file.is_file():
            print(f"{folder.name}: no network.keras to measure {name} on; --force trains it again.", flush=True)
            continue
        load_keras()
        from resnet_keras.experiments.measurements import MEASURES

        dataset = dataset or datasets.load(run.data, data_dir, run.recipe.validation, run.recipe.crop)
        with folder.lock():
            if not folder.has_measurement(name):  # else another process was here while this one waited
                print(f"measuring {name} of {run.title}", flush=True)
                rows = MEASURES[name](run, folder, dataset)
                for row in rows:
                    row |= {key: float(f"{value:.6g}") for key, value in row.items() if isinstance(value, float)}
                folder.write_table(name, rows)


def run(
    name: str, *, scale="smoke", data=None, data_dir=None, seeds=1, precision="auto", force=False, store=None,
    execute=train_here,
) -> tuple[list[Run], Identity]:  # fmt: skip
    """Train and measure what is missing of an experiment; return its runs, all done now, and the data set's identity.

    Without `data` they train on the scale's own set; with `precision` "auto" in that of the experiment's finished runs,
    else in the device's faster one. `execute` does the work: `train_here`, or `cluster.train_on` with the cluster's
    arguments. Raises UserError if an argument, the data or a file cannot be used, and what `execute` raises.
    """
    store, experiment = store or Store(), catalogue.experiment(name)
    runs, identity = plan(experiment, scale, data, data_dir, seeds, precision, store)
    print(introduction(experiment, runs, identity), flush=True)
    execute(runs, identity, experiment.measures, store=store, data_dir=data_dir, force=force)
    return runs, identity


# ---------------------------------------------------------------- estimates


def seconds(runs: list[Run], identity: Identity, store: Store) -> list[float]:
    """Estimate the seconds that each run has left on this device.

    The speed is that of the earlier runs on this data here whose network is nearest in multiply-adds. Without any, a
    few steps of the smallest of the networks are timed, which takes some seconds.
    """
    load_keras()
    speeds, estimates = {}, []
    for run in sorted(runs, key=lambda run: multiply_adds(run.network, run.shortcut)):
        alike = (identity.name, run.recipe.batch_size, run.recipe.precision)
        speeds[alike] = speeds.get(alike) or earlier_speeds(store, *alike) or timed_speed(run)
    for run in runs:
        work = multiply_adds(run.network, run.shortcut)
        measured = speeds[identity.name, run.recipe.batch_size, run.recipe.precision]
        speed = measured[min(measured, key=lambda other: abs(math.log(other / work)))]
        saved = store.run(run.name(identity)).checkpoints
        left = run.recipe.iterations - (int(saved[-1].stem.rpartition("-")[2]) if saved else 0)
        tests = math.ceil(left / run.recipe.test_interval) * TEST_IMAGES.get(run.data, 10_000)
        estimates.append(START + (left * run.recipe.batch_size + FORWARD * tests) * work / speed)
    return estimates


@functools.cache
def multiply_adds(network: str, shortcut: str) -> int:
    """Multiply-adds of one image's forward pass, as the paper counts them."""
    return int(complexity(network, shortcut=shortcut)["multiply_adds"].sum())


def earlier_speeds(store: Store, data: str, batch_size: int, precision: str) -> dict[int, float]:
    """Multiply-adds of a network -> median multiply-adds a second of such runs of it that were made on this device.

    Multiply-adds are those of images of the usual size, and small batches cost more an image: so only runs on the same
    data with the same batch tell.
    """
    speeds: dict[int, list[float]] = {}
    for folder in store.runs():
        with contextlib.suppress(UserError):  # a damaged run, or one of other code
            run, summary = described(folder), folder.summary
            where = (summary.get("device"), folder.environment.get("backend"))
            how = (run.data, run.recipe.batch_size, run.recipe.precision)
            same = where == (device.name(), backend()) and how == (data, batch_size, precision)
            if same and summary.get("images_per_second"):
                work = multiply_adds(run.network, run.shortcut)
                speeds.setdefault(work, []).append(summary["images_per_second"] * work)
    return {work: statistics.median(rates) for work, rates in speeds.items()}


@functools.cache
def timed_speed(run: Run) -> dict[int, float]:
    """The same of a few training steps of a run's network on images of noise."""
    steps = max(5, device.settings().steps_per_call // 2, 640 // run.recipe.batch_size)  # images of 5 steps of 128
    few = {"iterations": 3 * steps, "drops": (), "log_interval": steps, "test_interval": 3 * steps, "validation": 0}
    recipe, family = dataclasses.replace(run.recipe, **few), architecture(run.network).family
    side = {"shapes16": 16}.get(run.data, 32) if family == "cifar" else recipe.crop
    images = np.random.default_rng(0).integers(0, 256, (recipe.batch_size, side, side, 3), dtype=np.uint8)
    split = Split(images, np.zeros(len(images), np.int32))
    dataset = Dataset(Identity("noise", "1", "noise"), tuple(map(str, range(FAMILIES[family].classes))), split, split)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        timing = train(dataclasses.replace(run, recipe=recipe), store=Store(folder), dataset=dataset)
        work = multiply_adds(run.network, run.shortcut)
        return {work: float(timing.history["images_per_second"].median()) * work}
