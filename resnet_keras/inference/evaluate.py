"""Errors of a trained network on the test pictures of a data set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from resnet_keras import data as datasets
from resnet_keras.errors import UserError
from resnet_keras.evaluation import precise_bn
from resnet_keras.evaluation.accuracy import BATCH, Tally, softmax, tally
from resnet_keras.inference.trained import Trained

PRECISE_BATCH = 128  # pictures a batch of precise BN, for weights that come without a recipe


def evaluate(
    trained: Trained,
    data: str | None = None,
    data_dir=None,
    *,
    mode: str = "1",
    precise: int = 0,
    progress: Callable[[Tally, int], None] | None = None,
) -> tuple[Tally, str]:
    """Test a network.

    Args:
        trained: See `resnet_keras.inference.trained.find`.
        data: A data set's name; default: what the network was trained on.
        data_dir: See `resnet_keras.data.load`.
        mode: A key of `resnet_keras.evaluation.views.MODES`.
        precise: Training batches to recompute the statistics of BN over, in memory alone; 0: leave them.
        progress: Called with what has been counted and how many pictures there are in all.

    Returns:
        The counts, and the title of the data set.

    Raises:
        UserError: The data, the views and the network do not fit one another.
    """
    from resnet_keras.evaluation import views

    views.check(trained.network.name, mode)
    name = data or (trained.folder.config["data"] if trained.folder else None)
    if name is None:
        raise UserError(f"{trained.name} was not trained here: say with --data what to test it on.")
    dataset = datasets.load(name, data_dir)
    _refuse_unfit(trained, dataset, mode)
    if precise:
        precise_bn.recompute(trained.network, itertools.islice(training_batches(trained, dataset), precise))
    total = len(dataset.test)
    counted = tally(_held(trained.network, dataset.test), progress and (lambda so_far: progress(so_far, total)))
    return counted, dataset.identity.title


def training_batches(trained: Trained, dataset) -> Iterator[np.ndarray]:
    """Endless batches of training pictures, uint8 [b, h, w, c], augmented as the run's own recipe augments them."""
    from keras import ops

    from resnet_keras.data.augment import apply, draw

    config = trained.folder.config if trained.folder else {}
    recipe = config.get("recipe", {"batch_size": PRECISE_BATCH, "augment": True})
    images, labels = (ops.convert_to_tensor(array) for array in (dataset.train.images, dataset.train.labels))
    for iteration in itertools.count():
        plan = draw(config.get("seed", 0), iteration, 1, recipe["batch_size"], len(labels), recipe["augment"])
        yield ops.convert_to_numpy(apply(images, labels, plan.at(0))[0])


def _refuse_unfit(trained: Trained, dataset, mode: str) -> None:
    pictures, shape = dataset.test.images.shape[1:], trained.input_shape
    if len(dataset.classes) != len(trained.classes):
        raise UserError(
            f"{trained.name} tells {len(trained.classes)} classes apart, {dataset.identity.title} has "
            f"{len(dataset.classes)}: test it on a data set of its own classes."
        )
    if trained.family == "cifar" and pictures != shape:
        raise UserError(f"{trained.name} takes pictures of {shape}, those of {dataset.identity.title} are {pictures}.")
    if mode != "1":
        raise UserError(
            f"{dataset.identity.title} is held in memory as pictures of one size, tested as they are: views=1."
        )


def _held(network, split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and labels of pictures in memory, each in its single original view (Sec. 4.2)."""
    for start in range(0, len(split), BATCH):
        part = slice(start, start + BATCH)
        yield softmax(network.predict_on_batch(split.images[part])), split.labels[part]
