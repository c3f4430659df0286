"""A budget of time, spent on the missing runs of several experiments in an order of worth."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterable

from resnet_keras.data import Identity, identify
from resnet_keras.errors import UserError
from resnet_keras.experiments import cost, measurements, runner
from resnet_keras.experiments.catalogue import Experiment
from resnet_keras.locks import Held
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.checkpoint import checkpoints
from resnet_keras.training.deadline import Deadline
from resnet_keras.training.progress import duration
from resnet_keras.training.run import Run, is_done

TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
CLAIM = 4.0  # what decides a claim may cost this many times as much as what only adds a curve, and still comes first

# (experiment, scale, data set's name, runs) -> for each claim that these runs decide, those that it takes.
Deciding = Callable[[Experiment, str, str, list[Run]], Iterable[Iterable[Run]]]


def seconds_of(text: str) -> float:
    """Seconds of a time such as "25m", "90s" or "1h30m".

    Raises:
        UserError: It is no such time, or none at all.
    """
    match = TIME.fullmatch(text.strip().lower())
    seconds = sum(float(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not 0 < seconds < math.inf:
        raise UserError(f"budget={text!r}: give a time such as 25m, 90s or 1h30m.")
    return seconds


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that one or more experiments want.

    Attributes:
        run: The run.
        identity: Its data set's.
        experiments: Names of those that want it.
        measures: What they measure on it, keys of `measurements.MEASUREMENTS`.
    """

    run: Run
    identity: Identity
    experiments: tuple[str, ...]
    measures: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name(self.identity)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What of a job is missing, in seconds on this device.

    Attributes:
        job: The job.
        training: To the end of the training; 0 where that is done.
        first: To the first checkpoint from here, or to the end of the training.
        measuring: Measurement -> seconds, of those that are missing and can be taken.
    """

    job: Job
    training: float
    first: float
    measuring: dict[str, float]

    @property
    def total(self) -> float:
        """Everything that is missing."""
        return self.training + sum(self.measuring.values())

    @property
    def least(self) -> float:
        """The least time in which something worth having comes of it: a checkpoint, or a measurement."""
        return self.first if self.training else min(self.measuring.values())


@dataclasses.dataclass
class Plan:
    """The runs of some experiments.

    Attributes:
        store: Where they are.
        jobs: By the runs' names.
        claims: The names of the runs that each claim takes.
        left_out: A line for each experiment that cannot be run here.
        speeds: Multiply-adds a second as measured on this device, by precision; renewed by `estimates`.
    """

    store: Store
    jobs: dict[str, Job]
    claims: list[set[str]]
    left_out: list[str]
    speeds: dict[str, float | None] = dataclasses.field(default_factory=dict)

    def estimates(self) -> list[Estimate]:
        """What is missing, in the order of worth, by the speed measured so far."""
        from resnet_keras.training import device

        precisions = {job.run.recipe.precision for job in self.jobs.values()}
        self.speeds = {which: cost.measured_speed(self.store, device.name(), which) for which in precisions}
        found = [estimate(job, self.store, self.speeds[job.run.recipe.precision]) for job in self.jobs.values()]
        return in_order_of_worth([one for one in found if one.total], self.claims)


def plan(
    experiments: Iterable[Experiment],
    *,
    scale: str,
    deciding: Deciding,
    data: str | None = None,
    data_dir=None,
    seeds: int = 1,
    precision: str = "auto",
    store: Store | None = None,
) -> Plan:
    """All runs of these experiments, each once. An experiment without its data at hand is left out.

    Args:
        experiments: Of the catalogue.
        scale: "smoke", "short", "medium" or "paper".
        deciding: Which runs decide which claims; `resnet_keras.report.claims.deciding_runs` knows.
        data: A data set's name; None for the scale's own.
        data_dir: Where data sets lie.
        seeds: How many, from 0.
        precision: As `runner.run` takes it.
        store: Default: the default results folder.

    Raises:
        UserError: An argument is wrong, or no experiment has its data at hand.
    """
    found = Plan(store or Store(), {}, [], [])
    error = None
    for experiment in experiments:
        if scale not in experiment.networks:
            continue
        asked = experiment.runs(scale, data, seeds)  # refuses a wrong argument
        try:
            identity = identify(asked[0].data, data_dir)
            which = "auto" if experiment.precisions else precision
            runs, _ = runner.plan(experiment, scale, data, data_dir, seeds, which, found.store)
        except UserError as problem:
            error = problem
            found.left_out.append(f"{experiment.name}: left out, {problem}")
            continue
        for run in runs:
            _add(found.jobs, run, identity, experiment)
        for taken in deciding(experiment, scale, identity.name, runs):
            found.claims.append({run.name(identity) for run in taken})
    if not found.jobs and error:
        raise error
    return found


def _add(jobs: dict[str, Job], run: Run, identity: Identity, experiment: Experiment) -> None:
    name = run.name(identity)
    job = jobs.get(name) or Job(run, identity, (), ())
    jobs[name] = dataclasses.replace(
        job,
        experiments=(*job.experiments, experiment.name),
        measures=tuple(dict.fromkeys((*job.measures, *experiment.measures))),
    )


def estimate(job: Job, store: Store, speed: float | None) -> Estimate:
    """What of a job is missing, at so many multiply-adds a second; None for the speed assumed of an unknown device."""
    folder, speed = store.run(job.name), speed or cost.ASSUMED
    each = {
        name: cost.seconds_for(job.run, measurements.MEASUREMENTS[name].work(job.run), speed) for name in job.measures
    }
    if not is_done(folder):
        done = iterations_done(folder)
        training = cost.seconds(job.run, speed, done)
        return Estimate(job, training, cost.seconds_to_checkpoint(job.run, speed, done), each)
    missing = [name for name, _ in measurements.missing(job.measures, [job.run], job.identity, store)]
    can_be = [n for n in missing if folder.network_file.is_file() or not measurements.MEASUREMENTS[n].on_trained]
    return Estimate(job, 0.0, 0.0, {name: each[name] for name in can_be})


def iterations_done(folder: RunFolder) -> int:
    """How far a run that is not done has come, by its newest checkpoint."""
    saved = checkpoints(folder.path)
    return int(saved[-1].stem.rpartition("-")[2]) if saved else 0


def in_order_of_worth(found: list[Estimate], claims: list[set[str]]) -> list[Estimate]:
    """One seed of everything before the second of anything; what decides a claim first; cheap before dear.

    Runs that decide a claim together stay together and cost what is missing of all of them. A run that decides none
    counts as `CLAIM` times dearer than it is, so that one dear claim does not keep back all the curves.
    """
    ordered: list[Estimate] = []
    for seed in sorted({one.job.run.seed for one in found}):
        left = {one.job.name: one for one in found if one.job.run.seed == seed}
        groups = [(claim & left.keys(), 1.0) for claim in claims] + [({name}, CLAIM) for name in left]
        while left:
            groups = [(names & left.keys(), weight) for names, weight in groups if names & left.keys()]
            cheapest = min(groups, key=lambda group: group[1] * sum(left[name].total for name in group[0]))
            taken = sorted((left.pop(name) for name in cheapest[0]), key=lambda one: (one.total, one.job.name))
            ordered += taken
    return ordered


def schedule(ordered: list[Estimate], seconds: float) -> list[tuple[Estimate, float]]:
    """What is worth starting in this time, in order, each with the seconds it will get.

    The last one may get fewer than it takes: it is then interrupted. One that is too dear even for a checkpoint is
    passed over for the next.
    """
    chosen = []
    for one in ordered:
        if one.least <= seconds:
            chosen.append((one, min(one.total, seconds)))
            seconds -= chosen[-1][1]
    return chosen


def spend(plan: Plan, end: Deadline, data_dir=None) -> list[Estimate]:
    """Train and measure what is missing until it is all there or the time is up; everything is saved then.

    Args:
        plan: What to do.
        end: When to have stopped.
        data_dir: Where data sets lie.

    Returns:
        What is left.

    Raises:
        Interrupted: After the run under way has saved itself.
    """
    datasets: dict = {}
    held: set[str] = set()  # other processes are at work on these
    for number in itertools.count(1):
        next_ones = schedule([one for one in plan.estimates() if one.job.name not in held], end.left)
        if not next_ones:
            break
        one = next_ones[0][0]
        try:
            if not _work_on(one, plan.store, end, data_dir, datasets, f"[{number}]"):
                break
        except Held as held_by:
            print(f"[{number}] {one.job.run.title}: left to another process: {held_by}", flush=True)
            held.add(one.job.name)
    return plan.estimates()


def _work_on(one: Estimate, store: Store, end: Deadline, data_dir, datasets: dict, label: str) -> bool:
    """Train and measure as far as the time goes; whether the training is done."""
    from resnet_keras import data
    from resnet_keras.training.trainer import train

    run, identity = one.job.run, one.job.identity
    if one.training:
        which = (run.data, run.recipe.validation, run.recipe.crop)
        if which not in datasets:
            datasets.clear()  # one in memory at a time
            datasets[which] = data.load(run.data, data_dir, run.recipe.validation, run.recipe.crop)
        # Its own deadline: how long the calls of another network took says nothing of this one's.
        own = Deadline(end.left)
        folder = train(
            run, store=store, dataset=datasets[which], label=f"{label} {run.title}", deadline=own, wait=False
        )
        if not folder.done:
            return False
    for name, seconds in one.measuring.items():
        if seconds <= end.left:
            measurements.complete([name], [run], identity, store=store, data_dir=data_dir)
    return True


def told(plan: Plan, ordered: list[Estimate], seconds: float = math.inf) -> str:
    """What is done, what is missing and its cost, and how much of that fits into a time, for people."""
    from resnet_keras.training import device

    within = {one.job.name: given for one, given in schedule(ordered, seconds)}
    done = len(plan.jobs) - len(ordered)
    total = sum(one.total for one in ordered)
    guessed = [which for which in {one.job.run.recipe.precision for one in ordered} if not plan.speeds[which]]
    lines = [*plan.left_out, f"{done} of {len(plan.jobs)} runs are done, with what is measured on them."]
    if not ordered:
        return "\n".join(lines)
    lines.append(f"Left, in this order, about {duration(total)} on {device.name()}:")
    for one in ordered:
        folder = plan.store.run(one.job.name)
        what = "to measure" if not one.training else folder.status
        given = within.get(one.job.name, 0.0)
        fits = "" if math.isinf(seconds) or not given else "  fits" if given >= one.total else "  to a checkpoint"
        lines.append(f"  {one.job.name:48} {what:12} {duration(one.total):>12}{fits}")
    if guessed:
        lines.append(f"The speed in {' and '.join(sorted(guessed))} is a guess until something has run on this device.")
    return "\n".join(lines)
