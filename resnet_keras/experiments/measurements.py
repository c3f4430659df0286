"""What is measured on trained networks beside their errors, and stored with their runs as CSV.

Measurements stay when the network's weights do not: those are not in git. Each takes a run, its folder and its data,
and returns rows for `RunFolder.write_table`. Importing this loads Keras.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from resnet_keras.evaluation.accuracy import Tally
from resnet_keras.evaluation.inside import gradient_norms, l2_norm, lesions, responses, surface
from resnet_keras.evaluation.views import MODES, SINGLE, evaluated, training_batches
from resnet_keras.store import RunFolder
from resnet_keras.training.run import Run
from resnet_keras.training.schedule import learning_rate
from resnet_keras.training.trainer import Trainer

# Test images for lesions, by scale: a lesion takes a pass over them, and a ResNet-56 has 49.
LESION_IMAGES = {"smoke": 500, "short": 2_000, "paper": 10_000}
RESPONSE_IMAGES, SURFACE_IMAGES = 2_000, 1_000
GRADIENT_IMAGES, GRADIENT_BATCHES = 512, 4
EARLY = (0, 1, 4, 16, 64, 256)  # iterations at which gradients are taken: while the error falls fastest
FIRST_STEPS = 100


def measure_responses(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Standard deviation of each 3x3 layer's response to the first training images, as they are and augmented."""
    network, first = folder.load_network(), dataclasses.replace(dataset, train=dataset.train[:RESPONSE_IMAGES])
    [crops] = training_batches(first, {"recipe": {"batch_size": len(first.train), "augment": True}}, 1)
    pairs = zip(responses(network, first.train.images), responses(network, crops), strict=True)
    return [{**row, "std_augmented": other["std"]} for row, other in pairs]


def measure_lesion(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Error on the first test images with one block left out or two swapped."""
    test = dataset.test[: LESION_IMAGES.get(folder.config.get("scale"), LESION_IMAGES["short"])]
    return lesions(folder.load_network(), test.images, test.labels)


def measure_surface(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Loss and error on the first training images around the trained network, along two random directions."""
    train = dataset.train[:SURFACE_IMAGES]
    return surface(folder.load_network(), train.images, train.labels)


def measure_gradients(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Gradient norms of each kernel: early in training, up to a divergence, and of the trained network, if any."""
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
        for variable, trained in zip(network.variables, folder.load_network().variables, strict=True):
            variable.assign(trained)
        rows += [{"iteration": run.recipe.iterations, **row} for row in measure()]
    return rows


def measure_start(run: Run, folder: RunFolder, dataset) -> list[dict]:
    """Norm of conv1's kernel and its effective learning rate at each of the first iterations.

    The effective rate is rate / norm^2: under BN a step turns a kernel as far as one of that rate turns one of norm 1.
    """
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
    network, rows = folder.load_network(), []
    for mode in (SINGLE, *MODES):
        tally = Tally()
        for batch in evaluated(network, dataset.test, mode):
            tally.add(*batch)
        rows.append({"views": mode, **{f"top{k}_error": tally.error(k) for k in tally.wrong}, "images": tally.images})
    return rows


def trained_again(run: Run, dataset, iterations: Iterable[int]) -> Iterator[tuple[int, object]]:
    """Take the first steps of a run again, the same by its seed, and yield (iteration, network) at these iterations."""
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
