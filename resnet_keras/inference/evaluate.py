"""Errors of a trained network on the test pictures of a data set."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

from resnet_keras import data as datasets
from resnet_keras.errors import UserError
from resnet_keras.evaluation import precise_bn
from resnet_keras.evaluation.accuracy import Tally, tally
from resnet_keras.inference.trained import Trained

# How precise BN takes its batches for weights that come without a recipe: the paper's 32 pictures of a device.
ELSEWHERE = {"batch_size": 32, "augment": True}


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
        mode: "1", "10" or "multiscale"; see `resnet_keras.evaluation.views`.
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
    # The central crop of a photograph is as large as the network's own pictures.
    dataset = datasets.load(name, data_dir, crop=trained.input_shape[0])
    _refuse_unfit(trained, dataset)
    if precise:
        with contextlib.closing(training_batches(trained, dataset)) as batches:
            precise_bn.recompute(trained.network, itertools.islice(batches, precise))
    total = len(dataset.test)
    scores = views.evaluated(trained.network, dataset.test, mode)
    return tally(scores, progress and (lambda so_far: progress(so_far, total))), dataset.identity.title


def training_batches(trained: Trained, dataset) -> Iterator:
    """Endless batches of training pictures [b, h, w, c], augmented as the run's own recipe augments them.

    Of the size that BN saw in training: that of its groups where the run had any.
    """
    from keras import ops

    config = trained.folder.config if trained.folder else {}
    recipe = config.get("recipe", ELSEWHERE)
    size = recipe.get("bn_batch") or recipe["batch_size"]
    with contextlib.closing(dataset.feed(config.get("seed", 0), size, recipe["augment"])) as feed:
        held = [ops.convert_to_tensor(array) for array in feed.held]
        for iteration in itertools.count():
            plan = feed.take(iteration, 1)
            yield feed.apply(*held, plan._make(field[0] for field in plan))[0]


def _refuse_unfit(trained: Trained, dataset) -> None:
    if len(dataset.classes) != len(trained.classes):
        raise UserError(
            f"{trained.name} tells {len(trained.classes)} classes apart, {dataset.identity.title} has "
            f"{len(dataset.classes)}: test it on a data set of its own classes."
        )
    if trained.family == "cifar" and tuple(dataset.shape) != trained.input_shape:
        sizes = ["x".join(map(str, shape[:2])) for shape in (trained.input_shape, dataset.shape)]
        raise UserError(
            f"{trained.name} takes pictures of {sizes[0]}, those of {dataset.identity.title} are {sizes[1]}."
        )
