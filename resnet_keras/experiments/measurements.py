"""What is measured on trained networks beside their errors, and stored with their runs as CSV.

Measurements stay when the network's weights do not: those are not in git.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable

import numpy as np

from resnet_keras.experiments.cost import FORWARD_SHARE, TEST_IMAGES
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.recipe import scale_of
from resnet_keras.training.run import Run

# Test images for lesions, by scale: a lesion takes a pass over them, and a ResNet-56 has 49.
LESION_IMAGES = {"smoke": 500, "short": 2_000, "paper": 10_000}
RESPONSE_IMAGES = 2_000
GRADIENT_IMAGES, GRADIENT_BATCHES = 512, 4
# Iterations of which gradients are taken, as far as a run goes: while the error falls fastest.
EARLY = (0, 1, 4, 16, 64, 256)
VIEWED = 1 + 10 + 36  # crops of 224 that have as many pixels as the views of a photograph, the five scales mirrored
DIGITS = 6  # significant digits that are stored


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A measurement of one run.

    Attributes:
        rows: (run, its folder, its data set) -> rows for `RunFolder.write_measurement`.
        work: Run -> images, training on which takes as long.
        on_trained: Whether there is nothing to measure without the trained network.
    """

    rows: Callable[[Run, RunFolder, object], list[dict]]
    work: Callable[[Run], float]
    on_trained: bool = True


def responses(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Standard deviation of each 3x3 layer's response to the first training images, without augmentation."""
    from resnet_keras.evaluation.inside import responses

    images = dataset.train.images[:RESPONSE_IMAGES]
    return [{**row, "images": len(images)} for row in responses(folder.load_network(), images)]


def lesion(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Error on the first test images with one block left out or two swapped."""
    from resnet_keras.evaluation.inside import lesions

    test = dataset.test[: LESION_IMAGES.get(folder.config.get("scale"), LESION_IMAGES["short"])]
    found = lesions(folder.load_network(), test.images, test.labels)
    return [{**row, "images": len(test)} for row in found]


def gradients(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Gradient norms of each kernel: early in the training, and at its end where there is a trained network.

    For the early ones the run's first iterations are trained again: a run is a function of its seed, so that
    they are the same. A run that diverges is followed up to there.
    """
    from resnet_keras.evaluation.inside import gradient_norms
    from resnet_keras.training.trainer import Trainer

    count = min(GRADIENT_IMAGES, len(dataset.train) // GRADIENT_BATCHES * GRADIENT_BATCHES)
    batches = (dataset.train.images[:count], dataset.train.labels[:count], GRADIENT_BATCHES)
    rows = []

    def look(measure: Callable[[], list[dict]], iteration: int) -> bool:
        """Add the norms as they are now; whether they are finite."""
        now = measure()
        finite = all(np.isfinite(row["gradient_norm"]) for row in now)
        rows.extend({"iteration": iteration, **row, "images": count} for row in now if finite)
        return finite

    with tempfile.TemporaryDirectory() as elsewhere:
        trainer = Trainer(_unseen(run), RunFolder(elsewhere), dataset, run.title)
        measure = gradient_norms(trainer.network, *batches)
        for iteration in EARLY:
            if iteration >= run.recipe.iterations:
                break
            trainer.advance(iteration)
            if not look(measure, iteration):
                break
    if folder.network_file.is_file():
        look(gradient_norms(folder.load_network(), *batches), run.recipe.iterations)
    return rows


def views(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Top-1 and top-5 error on the test photographs in each of the ways of testing of Sec. 3.4 and Tables 2 to 4."""
    from resnet_keras.evaluation.accuracy import tally
    from resnet_keras.evaluation.views import MODES, SINGLE, evaluated

    network, rows = folder.load_network(), []
    for mode in (SINGLE, *MODES):
        counted = tally(evaluated(network, dataset.test, mode))
        top5 = counted.error(5)
        numbers = {"top1_error": counted.error(1), **({} if top5 is None else {"top5_error": top5})}
        rows.append({"views": mode, **numbers, "images": counted.images})
    return rows


def _unseen(run: Run) -> Run:
    """The same run, writing nothing on its way."""
    never = dict.fromkeys(("log_interval", "test_interval", "checkpoint_interval"), 10**9)
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, **never))


def _work_of_gradients(run: Run) -> float:
    early = min(max(EARLY), run.recipe.iterations) * run.recipe.batch_size
    return early + (len(EARLY) + 1) * GRADIENT_IMAGES


def _work_of_lesion(run: Run) -> float:
    """A pass for each block left out and for each two that are swapped: about one for each 3x3 layer."""
    images = LESION_IMAGES.get(scale_of(run.recipe), LESION_IMAGES["short"])
    return run.depth * images / FORWARD_SHARE


MEASUREMENTS = {
    "responses": Measurement(responses, lambda run: RESPONSE_IMAGES / FORWARD_SHARE),
    "gradients": Measurement(gradients, _work_of_gradients, on_trained=False),
    "lesion": Measurement(lesion, _work_of_lesion),
    "views": Measurement(views, lambda run: VIEWED * TEST_IMAGES.get(run.data, 10_000) / FORWARD_SHARE),
}


def missing(names: Iterable[str], runs: list[Run], identity, store: Store) -> list[tuple[str, Run]]:
    """(measurement, run) of what can be measured on the runs that are done, and has not been.

    A diverged run has no trained network to measure.
    """
    found = []
    for name in names:
        for run in runs:
            folder = store.run(run.name(identity))
            can_be = folder.done and not (folder.status == "diverged" and MEASUREMENTS[name].on_trained)
            if can_be and not folder.has_measurement(name):
                found.append((name, run))
    return found


def possible(names: Iterable[str], runs: list[Run], identity, store: Store) -> list[tuple[str, Run]]:
    """What is `missing` and can be measured here; says of which runs the trained network is not at hand."""
    found = []
    for name, run in missing(names, runs, identity, store):
        folder = store.run(run.name(identity))
        if MEASUREMENTS[name].on_trained and not folder.network_file.is_file():
            print(f"{folder.name}: no network.keras to measure {name} on; --force trains it again.", flush=True)
        else:
            found.append((name, run))
    return found


def complete(names: Iterable[str], runs: list[Run], identity, *, store: Store, data_dir=None) -> None:
    """Measure what is missing and possible."""
    from resnet_keras import data
    from resnet_keras.quiet import load_keras

    to_do = possible(names, runs, identity, store)
    if not to_do:
        return
    load_keras()
    _, first = to_do[0]
    dataset = data.load(first.data, data_dir, first.recipe.validation, first.recipe.crop)
    for number, (name, run) in enumerate(to_do, start=1):
        folder = store.run(run.name(identity))
        with folder.lock():
            if folder.has_measurement(name):  # another process was here while this one waited
                continue
            print(f"[{number}/{len(to_do)}] measuring {name} of {run.title}", flush=True)
            rows = MEASUREMENTS[name].rows(run, folder, dataset)
            folder.write_measurement(name, [_rounded(row) for row in rows])


def _rounded(row: dict) -> dict:
    short = {key: float(f"{value:.{DIGITS}g}") for key, value in row.items() if isinstance(value, float)}
    return {**row, **short}
