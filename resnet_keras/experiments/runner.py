"""Trains and measures what is missing of an experiment; several processes may do so in one results folder."""

import contextlib
import dataclasses
import re
import textwrap

from resnet_keras import data as datasets
from resnet_keras.data import Identity, identify
from resnet_keras.errors import UserError
from resnet_keras.experiments import catalogue, estimates, measurements
from resnet_keras.experiments.catalogue import Experiment
from resnet_keras.files import Held
from resnet_keras.quiet import load_keras
from resnet_keras.store import Store
from resnet_keras.training import device
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
    store: Store | None = None,
    only: str | None = None,
    cluster: dict | None = None,
) -> tuple[list[Run], Identity]:
    """Train and measure what is missing of an experiment: what the command `run` and the notebooks do.

    Without `data` they train on the scale's own set; with `precision` "auto" in that of the experiment's finished runs,
    else in the device's faster one. `only` "K/N" takes the K-th of N shares of the runs, for N machines that know
    nothing of each other. `cluster`, None for this process, is what `cluster.train_on` takes: on, gpus and cpus.

    Returns:
        The experiment's runs, or the share of them, all done now, and the data set's identity.

    Raises:
        UserError: An argument, the data or a file cannot be used.
        Interrupted: Ctrl-C or SIGTERM came; what was under way has been saved.
        SomeFailed: On a cluster, after the others are done.
    """
    store, experiment, part = store or Store(), catalogue.experiment(name), share(only)
    runs, identity = plan(experiment, scale, data, data_dir, seeds, precision, store)
    print(introduction(experiment, runs, identity), flush=True)
    runs, options = runs[part], {"store": store, "data_dir": data_dir}
    if cluster is not None:
        from resnet_keras.experiments.cluster import train_on

        train_on(runs=runs, identity=identity, measures=experiment.measures, force=force, **options, **cluster)
    else:
        execute(runs, identity, force=force, **options)
        measurements.complete(experiment.measures, runs, identity, **options)
    return runs, identity


def share(only: str | None) -> slice:
    """The place in a list of the K-th of N shares of it, every N-th of all, which may be none; all of it for None.

    Raises:
        UserError: `only` is no K/N with K from 1 to N.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", "1/1" if only is None else only, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"only={only!r}: give K/N, the K-th of N shares of the runs, such as 1/4.")
    return slice(int(match[1]) - 1, None, int(match[2]))


def introduction(experiment: Experiment, runs: list[Run], identity: Identity) -> str:
    """Say what an experiment is about and which runs it takes, in two sentences."""
    titles = list(dict.fromkeys(dataclasses.replace(run, seed=0).title for run in runs))
    networks = " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))
    seeds = len({run.seed for run in runs})
    lengths = f"{runs[0].recipe.iterations:,} iterations" + (f", {seeds} seeds" if seeds > 1 else "")
    lines = [
        f"{experiment.title} ({experiment.place}).",
        f"The claim: {experiment.claim}",
        f"To see it, {networks} train on {identity.title}, each for {lengths}.",
    ]
    return "\n".join(textwrap.fill(line, 80) for line in lines)


def plan(
    experiment: Experiment, scale: str, data=None, data_dir=None, seeds=1, precision="auto", store=None
) -> tuple[list[Run], Identity]:
    """List the runs of an experiment, and identify their data set.

    Raises:
        UserError: The scale, data or precision does not exist.
    """
    store = store or Store()
    if experiment.precisions and precision != "auto":
        raise UserError(f"precision={precision!r}: this experiment compares precisions; leave --precision out.")
    runs = experiment.runs(scale, data, seeds, "float32" if precision == "auto" else precision)
    identity = find_identity(runs[0].data, data_dir, store)
    if precision == "auto" and not experiment.precisions:
        runs = experiment.runs(scale, data, seeds, auto_precision(experiment, scale, data, seeds, identity, store))
    return runs, identity


def find_identity(name: str, data_dir, store: Store) -> Identity:
    """Identify a data set by its images or, where they are not at hand, by a run that was trained on them.

    So the results that come with the repository can be read without its data.
    """
    try:
        return identify(name, data_dir)
    except UserError:
        for folder in store.runs():
            with contextlib.suppress(UserError):  # a damaged run, or one of other code
                if described(folder).data == name:
                    return Identity(name, folder.config["data_version"], folder.config["data_title"])
        raise


def auto_precision(experiment: Experiment, scale: str, data, seeds: int, identity: Identity, store: Store) -> str:
    """Choose the precision of finished runs of the experiment, else the device's faster one.

    So runs that come with the repository count on every machine, and no experiment mixes two precisions.
    """
    for precision in ("bfloat16", "float32"):
        if any(store.run(run.name(identity)).done for run in experiment.runs(scale, data, seeds, precision)):
            return precision
    load_keras()
    return device.settings().precision


def timetable(runs: list[Run], identity: Identity, store: Store):
    """Tabulate runs with their status and the estimated time of those that are not done, as a `rich` table."""
    from rich.table import Table

    folders = [store.run(run.name(identity)) for run in runs]
    missing = [run for run, folder in zip(runs, folders, strict=True) if not is_done(folder)]
    if not missing:
        return f"All {len(runs)} runs are done: resnet-keras report draws them."
    times = dict(zip(missing, estimates.seconds(missing, identity, store), strict=True))
    table = Table("run", "status", "time", box=None, pad_edge=False)
    for run, folder in zip(runs, folders, strict=True):
        table.add_row(run.title, folder.status, duration(times[run]) if run in times else "")
    total = f"about {duration(sum(times.values()))}"
    table.add_row(f"total, on {device.name()}", f"{len(missing)} to train", total)
    return table


def execute(runs: list[Run], identity: Identity, *, store: Store, data_dir=None, force=False) -> None:
    """Train every run that is not done; last, those that other processes work on now, if they are then not done.

    Raises:
        Interrupted: After the run under way has saved itself.
    """
    missing = [run for run in runs if force or not is_done(store.run(run.name(identity)))]
    if not missing:
        print(f"All {len(runs)} runs are done; --force repeats them.")
        return
    recipe, busy = missing[0].recipe, []
    dataset = datasets.load(missing[0].data, data_dir, recipe.validation, recipe.crop)
    times = estimates.seconds(missing, identity, store)
    from resnet_keras.training.trainer import train

    where = f"{device.name()}, {' and '.join(sorted({run.recipe.precision for run in missing}))}"
    print(f"{len(missing)} of {len(runs)} runs to train on {where}: about {duration(sum(times))}.", flush=True)
    for number, run in enumerate(missing):
        label, later = f"[{number + 1}/{len(missing)}] {run.title}", sum(times[number + 1 :]) / times[number]
        try:
            train(run, store=store, force=force, label=label, later=later, dataset=dataset, wait=False)
        except Held as error:
            print(f"{label}: left for later: {error}", flush=True)
            busy.append((run, label))
    for run, label in busy:
        train(run, store=store, label=label, dataset=dataset)
