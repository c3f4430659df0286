"""What a trained network says of a user's own pictures, of any size and kind."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from resnet_keras.data import photographs, views
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.inference.trained import Trained

BATCH = 32  # pictures held at a time


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was said of one picture, or why nothing could be.

    Attributes:
        picture: the path as it was given.
        view: uint8 [h, w, 3], what the network saw; None for a bad file.
        top: (number of the class, its name, its probability from 0 to 1), the most probable first.
        error: one line that names the file and what is wrong with it; None for a good one.
    """

    picture: str
    view: np.ndarray | None = None
    top: tuple[tuple[int, str, float], ...] = ()
    error: str | None = None

    def as_json(self) -> dict:
        """The same as JSON can hold it, without the view."""
        if self.error:
            return {"picture": self.picture, "error": self.error}
        rows = [{"class": name, "index": index, "probability": round(share, 6)} for index, name, share in self.top]
        return {"picture": self.picture, "predictions": rows}


def predict(trained: Trained, pictures: Iterable[str | os.PathLike], top: int = 1) -> Iterator[Prediction]:
    """Predictions of pictures, in their order; a file that cannot be read becomes an `error`, the others go on.

    Args:
        trained: See `resnet_keras.inference.trained.find`.
        pictures: Paths of files of any size and any mode that Pillow knows.
        top: How many classes of each.

    Raises:
        UserError: `top` is not between 1 and the number of classes.
    """
    if not 1 <= top <= len(trained.classes):
        raise UserError(f"top={top}: {trained.name} tells {len(trained.classes)} classes apart, give 1 to that many.")
    return itertools.chain.from_iterable(_batch(trained, batch, top) for batch in _batches(pictures, BATCH))


def fit(picture, trained: Trained) -> np.ndarray:
    """The single view that a network is shown of a picture: uint8 [h, w, 3].

    For an ImageNet network its centre crop, from a shorter side that is larger in the paper's proportion, 256 : 224;
    for a CIFAR one the largest part around the centre that has the network's proportions, since there the whole object
    fills the picture.

    Args:
        picture: A Pillow picture of mode RGB.
        trained: The network.
    """
    return views.test_view(picture, trained.input_shape, cropped=trained.family != "cifar")


def shown_side(trained: Trained) -> int:
    """Pixels of the shorter side that a picture is brought to before its crop (Sec. 3.4)."""
    height = trained.input_shape[0]
    return height if trained.family == "cifar" else round(height * views.SIDE / views.CROP)


def _batch(trained: Trained, paths: list[str], top: int) -> list[Prediction]:
    seen = [_view(trained, path) for path in paths]
    shown = [view for view in seen if isinstance(view, np.ndarray)]
    scores = iter(softmax(trained.network.predict_on_batch(np.stack(shown))) if shown else ())
    return [
        Prediction(path, view, _best(trained, next(scores), top))
        if isinstance(view, np.ndarray)
        else Prediction(path, error=view)
        for path, view in zip(paths, seen, strict=True)
    ]


def _view(trained: Trained, path: str) -> np.ndarray | str:
    """What the network is shown of a file, or what is wrong with it."""
    try:
        return fit(photographs.opened(path, shorter=shown_side(trained), upright=True), trained)
    except UserError as error:
        return " ".join(str(error).split())


def _best(trained: Trained, scores: np.ndarray, top: int) -> tuple[tuple[int, str, float], ...]:
    order = np.argsort(-scores, kind="stable")[:top]
    return tuple((int(index), trained.classes[index], float(scores[index])) for index in order)


def _batches(items: Iterable, size: int) -> Iterator[list[str]]:
    items = map(os.fspath, items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def table(predictions: Iterable[Prediction]) -> list[str]:
    """Lines of a table for people: picture, class, probability."""
    cells = [
        ("" if rank else prediction.picture, name, share)
        for prediction in predictions
        for rank, (_, name, share) in enumerate(prediction.top)
    ]
    widths = [max((len(cell[column]) for cell in cells), default=0) for column in (0, 1)]
    return [f"{picture:{widths[0]}}  {name:{widths[1]}}  {100 * share:5.1f} %" for picture, name, share in cells]
