"""What is measured on trained networks beside their errors, and stored with their runs as CSV.

Measurements stay when the network's weights do not: those are not in git. Each takes a run, its folder and its data,
and returns rows for `RunFolder.write_table`.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from resnet_keras import data
from resnet_keras.quiet import load_keras
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.run import Run

# Test images for lesions, by scale: a lesion takes a pass over them, and a ResNet-56 has 49.
LESION_IMAGES = {"smoke": 500, "short": 2_000, "paper": 10_000}
RESPONSE_IMAGES, SURFACE_IMAGES = 2_000, 1_000
GRADIENT_IMAGES, GRADIENT_BATCHES = 512, 4
EARLY = (0, 1, 4, 16, 64, 256)  # iterations at which gradients are taken: while the error falls fastest
FIRST_STEPS = 100
DIGITS = 6  # significant digits that are stored


def measure_responses(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Standard deviation of each 3x3 layer's response to the first training images, without augmentation."""
    from resnet_keras.evaluation.inside import responses

    images = dataset.train.images[:RESPONSE_IMAGES]
    return _counted(responses(folder.load_network(), images), images)


def measure_lesion(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Error on the first test images with one block left out or two swapped."""
    from resnet_keras.evaluation.inside import lesions

    test = dataset.test[: LESION_IMAGES.get(folder.config.get("scale"), LESION_IMAGES["short"])]
    return _counted(lesions(folder.load_network(), test.images, test.labels), test)


def measure_surface(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Loss and error on the first training images around the trained network, along two random directions."""
    from resnet_keras.evaluation.inside import surface

    train = dataset.train[:SURFACE_IMAGES]
    return _counted(surface(folder.load_network(), train.images, train.labels), train)


def measure_gradients(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Gradient norms of each kernel: early in the training, and at its end where there is a trained network.

    A run that diverges is followed up to there.
    """
    from resnet_keras.evaluation.inside import gradient_norms

    images = dataset.train[: min(GRADIENT_IMAGES, len(dataset.train) // GRADIENT_BATCHES * GRADIENT_BATCHES)]
    batches = (images.images, images.labels, GRADIENT_BATCHES)
    rows, measure = [], None
    for iteration, network in trained_again(run, dataset, [i for i in EARLY if i < run.recipe.iterations]):
        measure = measure or gradient_norms(network, *batches)
        norms = measure()
        if not all(np.isfinite(row["gradient_norm"]) for row in norms):
            break
        rows += [{"iteration": iteration, **row} for row in norms]
    if folder.network_file.is_file():
        norms = gradient_norms(folder.load_network(), *batches)()
        rows += [{"iteration": run.recipe.iterations, **row} for row in norms]
    return _counted(rows, images)


def measure_start(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Norm of conv1's kernel and its effective learning rate at each of the first iterations.

    Under BN the scale of a kernel changes nothing but its own gradient, so that a step of a learning rate turns it as
    far as one of rate / norm^2 turns a kernel of norm 1: the effective rate.
    """
    from resnet_keras.evaluation.inside import l2_norm
    from resnet_keras.training.schedule import learning_rate

    rows = []
    for iteration, network in trained_again(run, dataset, range(min(FIRST_STEPS, run.recipe.iterations) + 1)):
        norm = l2_norm(network.stages["conv1"][0].kernel)
        if not np.isfinite(norm):
            break
        rate = learning_rate(run.recipe, iteration, run.recipe.warms_up(run.depth))
        rows.append({"iteration": iteration, "weight_norm": norm, "effective_rate": rate / norm**2})
    return rows


def measure_views(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Top-1 and top-5 error on the test photographs in each of the ways of testing of Sec. 3.4 and Tables 2 to 4."""
    from resnet_keras.evaluation.accuracy import Tally
    from resnet_keras.evaluation.views import MODES, SINGLE, evaluated

    network, rows = folder.load_network(), []
    for mode in (SINGLE, *MODES):
        tally = Tally()
        for batch in evaluated(network, dataset.test, mode):
            tally.add(*batch)
        rows.append({"views": mode, **{f"top{k}_error": tally.error(k) for k in tally.wrong}, "images": tally.images})
    return rows


def _counted(rows: list[dict], images) -> list[dict]:
    return [{**row, "images": len(images)} for row in rows]


def trained_again(run: Run, dataset, iterations: Iterable[int]) -> Iterator[tuple[int, object]]:
    """Train the beginning of a run again, and yield (iteration, network) at each of these iterations.

    A run is a function of its seed, so that it takes the same steps. Nothing is written.
    """
    from resnet_keras.training.trainer import Trainer

    never = dict.fromkeys(("log_interval", "test_interval", "checkpoint_interval"), 10**9)
    run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, **never))
    with tempfile.TemporaryDirectory() as elsewhere:
        trainer = Trainer(run, RunFolder(elsewhere), dataset, run.title)
        for iteration in iterations:
            trainer.advance(iteration)
            yield iteration, trainer.network


MEASURES = {
    "responses": measure_responses, "gradients": measure_gradients, "lesion": measure_lesion, "start": measure_start,
    "surface": measure_surface, "views": measure_views,
}  # fmt: skip
WITHOUT_NETWORK = {"gradients", "start"}  # what says something without the trained network too


def unmeasured(names: Iterable[str], runs: list[Run], identity, store: Store) -> list[tuple[str, Run, RunFolder]]:
    """List (measurement, run, its folder) of what can be measured on the runs that are done, and has not been.

    A diverged run has no trained network to measure.
    """
    folders = [(run, store.run(run.name(identity))) for run in runs]
    return [
        (name, run, folder)
        for name in names
        for run, folder in folders
        if folder.done and (folder.status == "finished" or name in WITHOUT_NETWORK) and not folder.has_measurement(name)
    ]


def complete(names: Iterable[str], runs: list[Run], identity, *, store: Store, data_dir=None) -> None:
    """Measure what is missing, and say which trained networks are not at hand for that."""
    dataset = None
    for name, run, folder in unmeasured(names, runs, identity, store):
        if name not in WITHOUT_NETWORK and not folder.network_file.is_file():
            print(f"{folder.name}: no network.keras to measure {name} on; --force trains it again.", flush=True)
            continue
        load_keras()
        dataset = dataset or data.load(run.data, data_dir, run.recipe.validation, run.recipe.crop)
        with folder.lock():
            if not folder.has_measurement(name):  # else another process was here while this one waited
                print(f"measuring {name} of {run.title}", flush=True)
                rows = MEASURES[name](run, folder, dataset)
                folder.write_table(name, [{key: _to_digits(value) for key, value in row.items()} for row in rows])


def _to_digits(value):
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
