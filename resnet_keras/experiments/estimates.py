"""How long runs take on this device: by its speed in multiply-adds a second in earlier runs, or in a short timing."""

import contextlib
import dataclasses
import functools
import io
import math
import statistics
import tempfile

import numpy as np

from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import FAMILIES, architecture
from resnet_keras.models.complexity import complexity
from resnet_keras.quiet import backend, load_keras
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.checkpoint import checkpoints
from resnet_keras.training.run import Run, described

START = 15.0  # seconds to build and compile a network
FORWARD = 1 / 3  # of the time of a training step is its forward pass, which is all of a test
TEST_IMAGES = {"shapes16": 2_000, "imagenet2012": 50_000}


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
        saved = checkpoints(store.run(run.name(identity)).path)
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
            run, summary = described(folder), folder.summary or {}
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
    from resnet_keras.training.trainer import train

    steps = max(5, device.settings().steps_per_call // 2)
    few = {"iterations": 3 * steps, "drops": (), "log_interval": steps, "test_interval": 3 * steps, "validation": 0}
    recipe, family = dataclasses.replace(run.recipe, **few), architecture(run.network).family
    side = {"shapes16": 16}.get(run.data, 32) if family == "cifar" else recipe.crop
    images = np.random.default_rng(0).integers(0, 256, (recipe.batch_size, side, side, 3), dtype=np.uint8)
    split = Split(images, np.zeros(len(images), np.int32))
    dataset = Dataset(Identity("noise", "1", "noise"), tuple(map(str, range(FAMILIES[family].classes))), split, split)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        timing = train(dataclasses.replace(run, recipe=recipe), store=Store(folder), dataset=dataset)
        work = multiply_adds(run.network, run.shortcut)
        return {work: float(timing.history["images_per_second"].iloc[-1]) * work}
