"""How long runs take on this device, by its speed in multiply-adds a second in earlier runs or in a short timing."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import math
import statistics
import tempfile
import time

import numpy as np

from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import CLASSES, architecture
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.checkpoint import checkpoints
from resnet_keras.training.progress import Progress, duration
from resnet_keras.training.run import Run, described

START = 15.0  # seconds to build and compile a network
FORWARD = 1 / 3  # of a training step's time goes into the forward pass, which is all of a test
TEST_IMAGES = {"shapes32": 2_000, "imagenet2012": 50_000}
CORRECTED_AFTER = 60.0  # seconds of training


def seconds(runs: list[Run], identity: Identity, store: Store) -> list[float]:
    """Estimate the seconds that each run has left on this device.

    The speed is that of the earlier run there whose network is nearest in multiply-adds. Without any, a few steps of
    the smallest of the networks are timed, which takes some seconds.
    """
    speeds = {which: earlier_speeds(store, which) for which in {run.recipe.precision for run in runs}}
    for precision, measured in speeds.items():
        if not measured:
            run = min((run for run in runs if run.recipe.precision == precision), key=multiply_adds)
            measured[multiply_adds(run)] = timed_speed(run)
    return [_seconds(run, iterations_left(run, identity, store), speeds[run.recipe.precision]) for run in runs]


def _seconds(run: Run, iterations: int, speeds: dict[int, float]) -> float:
    work, recipe = multiply_adds(run), run.recipe
    speed = speeds[min(speeds, key=lambda other: abs(math.log(other / work)))]
    tests = math.ceil(iterations / recipe.test_interval) * TEST_IMAGES.get(run.data, 10_000)
    return START + (iterations * recipe.batch_size + FORWARD * tests) * work / speed


def iterations_left(run: Run, identity: Identity, store: Store) -> int:
    """Iterations from the run's newest checkpoint to its end."""
    saved = checkpoints(store.run(run.name(identity)).path)
    return run.recipe.iterations - (int(saved[-1].stem.rpartition("-")[2]) if saved else 0)


def multiply_adds(run: Run) -> int:
    """Multiply-adds of one image's forward pass through a run's network, as the paper counts them."""
    return _multiply_adds(run.network, run.shortcut)


@functools.cache
def _multiply_adds(network: str, shortcut: str) -> int:
    from resnet_keras.models.complexity import complexity

    options = {} if architecture(network).family == "vgg" else {"shortcut": shortcut}
    return int(complexity(network, **options)["multiply_adds"].sum())


def earlier_speeds(store: Store, precision: str) -> dict[int, float]:
    """Multiply-adds of a network -> median multiply-adds a second of the runs of it that were made on this device."""
    import keras

    speeds: dict[int, list[float]] = {}
    for folder in store.runs():
        with contextlib.suppress(UserError):  # a damaged run, or one of other code
            run, summary = described(folder), folder.summary or {}
            here = (summary.get("device"), folder.environment.get("backend"), run.recipe.precision)
            rate = summary.get("images_per_second")
            if rate and here == (device.name(), keras.config.backend(), precision):
                speeds.setdefault(multiply_adds(run), []).append(rate * multiply_adds(run))
    return {work: statistics.median(rates) for work, rates in speeds.items()}


@functools.cache
def timed_speed(run: Run) -> float:
    """Multiply-adds a second of a few training steps of a run's network on images of noise."""
    from resnet_keras.training.trainer import train

    steps = max(5, device.settings().steps_per_call // 2)
    few = {"iterations": 3 * steps, "drops": (), "log_interval": steps, "test_interval": 3 * steps, "validation": 0}
    recipe, family = dataclasses.replace(run.recipe, **few), architecture(run.network).family
    side = 32 if family == "cifar" else recipe.crop
    images = np.random.default_rng(0).integers(0, 256, (recipe.batch_size, side, side, 3), dtype=np.uint8)
    split = Split(images, np.zeros(len(images), np.int32))
    dataset = Dataset(Identity("noise", "1", "noise"), tuple(map(str, range(CLASSES[family]))), split, split)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        timing = train(dataclasses.replace(run, recipe=recipe), store=Store(folder), dataset=dataset)
        return float(timing.history["images_per_second"].iloc[-1]) * multiply_adds(run)


class TimedProgress(Progress):
    """The progress of one of several runs, which corrects the estimate for all of them after a minute of training."""

    def __init__(self, estimate: float, *arguments):
        """`estimate`: seconds that this run was to take; the others as of `Progress`."""
        super().__init__(*arguments)
        self.estimate, self.first, self.corrected = estimate, None, False

    def update(self, iteration: int, train_error: float) -> None:
        """Report a call of some iterations; once, a minute after the first call, the time for all runs."""
        super().update(iteration, train_error)
        now = time.perf_counter()
        self.first = self.first or (now, iteration)  # the first call compiles
        elapsed, done = now - self.first[0], iteration - self.first[1]
        if elapsed > CORRECTED_AFTER and not self.corrected:
            self.corrected = True
            run = START + elapsed * (self.total - self.start) / done
            self.note(f"about {duration(run + self.later * run / self.estimate)} in all by the speed so far")
