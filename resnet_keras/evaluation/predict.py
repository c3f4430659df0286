"""A trained network by name, and what it says of a user's own images."""

import dataclasses
import difflib
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_keras.data import images, views
from resnet_keras.data.photos import MEAN
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.models.catalogue import architecture
from resnet_keras.models.pretrained import load
from resnet_keras.quiet import load_keras
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.device import all_names

BATCH = 32  # images in memory at a time
TOP = 3  # classes of each image, where the network has as many


@dataclass(frozen=True)
class Trained:
    """A network and what its numbers mean."""

    name: str  # the run's, the bundled network's, or the catalogue's
    network: Any  # takes raw pixels, gives logits
    classes: tuple[str, ...]  # a name for each logit; "class 17" where none is known
    folder: RunFolder | None = None  # the files of its run; None for weights from elsewhere

    @property
    def config(self) -> dict:
        """The configuration of its run; empty for weights from elsewhere."""
        return self.folder.config if self.folder else {}

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels it was made for, in pixels; 224 where it was made for any size."""
        height, width, channels = self.network.arguments["input_shape"]
        return (height or views.CROP, width or views.CROP, channels)

    @property
    def cropped(self) -> bool:
        """Whether it was trained on crops of photographs, which the mean tells: photographs have one mean colour."""
        elsewhere = not self.folder and architecture(self.network.name).family != "cifar"
        return elsewhere or np.allclose(self.network.mean.mean, MEAN)

    def view(self, image) -> np.ndarray:
        """The single view that the network is shown of an image, uint8 [h, w, c]; see `data.views.test_view`."""
        grey = self.input_shape[2] == 1
        view = views.test_view(image.convert("L") if grey else image, self.input_shape, self.cropped)
        return view[..., None] if grey else view


def find(name: str, weights: Path | None = None, classes: Path | None = None, store: Store | None = None) -> Trained:
    """Load the trained network of this name. What can be refused is refused before Keras is loaded.

    A run's or a bundled network's name, or with `weights`, a file that `resnet_keras.load` reads, the catalogue's.
    `classes` is a text file with the name of a class on each line, in the order of the logits.

    Raises:
        UserError: There is no such network or file, or they do not fit one another.
    """
    known = _class_names(classes) if classes else None
    folder = None if weights else _folder(name, store or Store())
    load_keras()
    all_names()  # raises where JAX is asked for devices that it does not find; Keras would blame the file
    network = folder.load_network() if folder else load(weights, architecture(name).name)
    if not network.arguments["include_top"]:
        raise UserError(f"these weights of {network.name} have no classifier: give those of the complete network.")
    logits = network.arguments["classes"]
    known = known or (folder.classes if folder else None) or tuple(f"class {number}" for number in range(logits))
    if len(known) != logits:
        raise UserError(
            f"{classes or name} names {len(known)} classes, {network.name} has {logits} logits: one a line."
        )
    return Trained(name, network, known, folder)


def _folder(name: str, store: Store) -> RunFolder:
    """The folder of a run or bundled network, or a line that says what was probably meant."""
    try:
        return store.find(name)
    except UserError:
        bundled = [folder.name for folder in store.models()]
        if re.fullmatch(r"[a-z]+\d+", name):
            raise UserError(
                f"{name} alone is an untrained network: add --weights FILE, or name a run or a bundled network "
                f"({', '.join(bundled[:3]) or '`resnet-keras list` prints them'})."
            ) from None
        near = difflib.get_close_matches(name, [*bundled, *(run.name for run in store.runs())], n=2)
        if near and name not in near:  # else the folder exists, and cannot be read
            raise UserError(f"no run or bundled network {name!r}: did you mean {' or '.join(near)}?") from None
        raise


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UserError(f"{path} cannot be read ({reason}): give a text file with a class on each line.") from None
    return tuple(line.strip() for line in lines if line.strip())


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of one image, or why it can say nothing."""

    picture: str  # the path of its file
    view: np.ndarray | None = None  # uint8 [h, w, c], what the network saw; None for a bad file
    # (number of the class, its name, its probability from 0 to 1), the most probable first
    top: tuple[tuple[int, str, float], ...] = ()
    error: str | None = None  # one line that names the file and what is wrong with it; None for a good one

    def as_json(self) -> dict:
        """The same as JSON can hold it, without the view."""
        if self.error:
            return {"picture": self.picture, "error": self.error}
        rows = [{"class": name, "index": index, "probability": round(share, 6)} for index, name, share in self.top]
        return {"picture": self.picture, "predictions": rows}

    def as_text(self, width: int) -> str:
        """Lines of a table: the file's path in a column of `width` characters, probabilities, classes."""
        paths = itertools.chain([self.picture], itertools.repeat(""))
        rows = zip(paths, self.top, strict=False)
        return "\n".join(f"{path:{width}}  {100 * share:5.1f} %  {name}" for path, (_, name, share) in rows)


def image_files(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """The files that are meant: a folder stands for its own images, by name, hidden ones left out.

    Raises:
        UserError: A folder holds no images, or there is no file at all.
    """
    files = []
    for path in map(Path, paths):
        inside = sorted(each for each in path.iterdir() if images.is_image(each)) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"the folder {path} holds no images itself: name a file, or a folder with images in it.")
        files += inside
    if not any(file.exists() for file in files):
        raise UserError(f"there is no file {files[0]}: give paths of images." if files else "no images given.")
    return files


def predict(trained: Trained, files: Iterable[str | os.PathLike], top: int | None = None) -> Iterator[Prediction]:
    """Predictions of image files in their order; of a file that cannot be read an `error`, and the others go on.

    The files have any size, and any mode that Pillow knows. `top` classes of each; default: 3, or all of fewer.

    Raises:
        UserError: `top` is not between 1 and the number of classes.
    """
    classes = len(trained.classes)
    top = min(TOP, classes) if top is None else top
    if not 1 <= top <= classes:
        raise UserError(f"top={top}: {trained.name} has {classes} classes, give 1 to {classes}.")
    files = map(os.fspath, files)
    batches = iter(lambda: list(itertools.islice(files, BATCH)), [])
    return itertools.chain.from_iterable(_predicted(trained, batch, top) for batch in batches)


def _predicted(trained: Trained, files: list[str], top: int) -> Iterator[Prediction]:
    predictions = []
    for file in files:
        try:
            predictions.append(Prediction(file, trained.view(images.decode(file))))
        except UserError as error:
            predictions.append(Prediction(file, error=" ".join(str(error).split())))
    seen = [prediction.view for prediction in predictions if not prediction.error]
    scores = iter(softmax(trained.network.predict_on_batch(np.stack(seen))) if seen else ())
    for prediction in predictions:
        if not prediction.error:
            shares = next(scores)
            best = np.argsort(-shares, kind="stable")[:top].tolist()
            rows = tuple((index, trained.classes[index], float(shares[index])) for index in best)
            prediction = dataclasses.replace(prediction, top=rows)
        yield prediction
