"""A trained network by name, what it says of a user's own images, and a sheet that shows it."""

import difflib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from resnet_keras.data import images, views
from resnet_keras.data.photos import MEAN
from resnet_keras.errors import UserError, first_line
from resnet_keras.evaluation.accuracy import softmax
from resnet_keras.files import PACKAGE
from resnet_keras.models.catalogue import architecture
from resnet_keras.models.pretrained import load
from resnet_keras.quiet import drawing, load_keras
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.device import all_names

TOP = 3  # classes of each image, where the network has as many
IMAGES_A_ROW, IMAGES_A_SHEET = 4, 200  # images in a row of a sheet, and in all of it


@dataclass(frozen=True)
class Trained:
    """A network and what its numbers mean."""

    name: str  # the run's, the bundled network's, or the catalogue's
    network: Any  # takes raw pixels, gives logits
    classes: tuple[str, ...]  # a name for each logit; "class 17" where none is known
    config: dict = field(default_factory=dict)  # of its run; empty for weights from elsewhere

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels it was made for, in pixels; 224 where it was made for any size."""
        height, width, channels = self.network.arguments["input_shape"]
        return (height or views.CROP, width or views.CROP, channels)

    @property
    def cropped(self) -> bool:
        """Whether it was trained on crops of photographs, which the mean tells: photographs have one mean colour."""
        elsewhere = not self.config and architecture(self.network.name).family != "cifar"
        return elsewhere or np.allclose(self.network.mean.mean, MEAN)

    def view(self, image) -> np.ndarray:
        """The single view that the network is shown of an image, uint8 [h, w, c]; see `data.views.test_view`."""
        grey = self.input_shape[2] == 1
        view = views.test_view(image.convert("L") if grey else image, self.input_shape, self.cropped)
        return view[..., None] if grey else view


def find(name: str, weights: Path | None = None, classes: Path | None = None, store: Store | None = None) -> Trained:
    """Load the trained network of this name. What can be refused is refused before Keras is loaded.

    A run's or a bundled network's name, or with `weights`, a file that `resnet_keras.load` reads, the catalogue's.
    `classes` is a text file with a class on each line. Raises a UserError where these do not exist or fit one another.
    """
    try:
        lines = Path(classes).read_text(encoding="utf-8-sig").splitlines() if classes else ()
    except (OSError, ValueError) as error:
        problem = f"{classes} cannot be read ({first_line(error)})"
        raise UserError(f"{problem}: give a UTF-8 text file with a class on each line.") from None
    folder = None if weights else _folder(name, store or Store())
    config = folder.config if folder else {}
    load_keras()
    all_names()  # raises where JAX is asked for devices that it does not find; Keras would blame the file
    network = folder.load_network() if folder else load(weights, architecture(name).name)
    if not network.arguments["include_top"]:
        raise UserError(f"these weights of {network.name} have no classifier: give those of the complete network.")
    logits, known = network.arguments["classes"], tuple(line.strip() for line in lines if line.strip())
    known = known or tuple(config.get("classes") or (f"class {number}" for number in range(logits)))
    if len(known) != logits:
        raise UserError(f"{classes or name} names {len(known)} classes, {network.name} has {logits}: one a line.")
    return Trained(name, network, known, config)


def _folder(name: str, store: Store) -> RunFolder:
    """The folder of a run or bundled network; a UserError that says what was probably meant, if there is none."""
    models = store.models()
    for folder in (store.run(name), *models):
        if folder.name == name and folder.config:
            return folder
    names = [folder.name for folder in models]
    if re.fullmatch(r"[a-z]+\d+", name):
        what = f"name a run or a bundled network ({', '.join(names[:3]) or '`resnet-keras list` prints them'})"
        raise UserError(f"{name} alone is an untrained network: add --weights FILE, or {what}.")
    near = difflib.get_close_matches(name, [*names, *(run.name for run in store.runs())], n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else "`resnet-keras list` prints their names."
    raise UserError(f"no run or bundled network {name!r}: {hint}")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of one image, or why it can say nothing."""

    picture: str  # the path of its file
    view: np.ndarray | None = None  # uint8 [h, w, c], what the network saw; None for a bad file
    top: tuple[tuple[int, str, float], ...] = ()  # see `most_probable`
    error: str | None = None  # one line that names the file and what is wrong with it; None for a good one


def image_files(paths: tuple[str | os.PathLike, ...]) -> list[Path]:
    """The files that are meant: a folder stands for its own images, by name; a UserError where there are none."""
    files = []
    for path in map(Path, paths):
        files += sorted(filter(images.is_image, path.iterdir())) if path.is_dir() else [path]
    if not any(file.exists() for file in files):
        where = f"at {', '.join(map(str, paths))}" if paths else "given"
        raise UserError(f"no images {where}: name files, or folders that hold images themselves.")
    return files


def predict(trained: Trained, files: Iterable[str | os.PathLike], top: int = TOP) -> Iterator[Prediction]:
    """The `top` classes of each image file, in their order; of one that cannot be read an `error`; the others go on."""
    for file in map(os.fspath, files):
        try:
            view = trained.view(images.decode(file))
        except UserError as error:
            yield Prediction(file, error=" ".join(str(error).split()))
        else:
            (logits,) = trained.network.predict_on_batch(view[None])
            yield Prediction(file, view, most_probable(trained, logits, top))


def most_probable(trained: Trained, logits: np.ndarray, top: int = TOP) -> tuple[tuple[int, str, float], ...]:
    """(Number, name, probability from 0 to 1) of an image's classes, the most probable first, from logits [classes]."""
    shares = softmax(logits)
    best = np.argsort(-shares, kind="stable")[:top].tolist()
    return tuple((index, trained.classes[index], float(shares[index])) for index in best)


def sheet(predictions: list[Prediction]) -> bytes:
    """A PNG of each image (at least one) as the network saw it, its file's name, and its most probable classes."""
    import matplotlib.figure

    columns = min(IMAGES_A_ROW, len(predictions))
    rows, ranks = -(-len(predictions) // columns), max(len(each.top) for each in predictions)
    image, bars = 1.6, 0.2 * ranks + 0.05  # inches
    file = io.BytesIO()
    with drawing({"font.size": 8, "text.color": "#333333"}):
        figure = matplotlib.figure.Figure((2.0 * columns, rows * (image + bars + 0.5)), layout="constrained")
        figure.get_layout_engine().set(wspace=0.05)
        cells = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[image, bars] * rows)
        for axis in cells.flat:
            axis.set_axis_off()
        for prediction, above, below in zip(predictions, cells[::2].flat, cells[1::2].flat, strict=False):
            above.imshow(prediction.view, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            above.set_title(_short(Path(prediction.picture).stem, 24), fontsize=8)
            for rank, (_, name, share) in enumerate(prediction.top):
                below.text(0.0, rank, _short(name, 14), va="center", weight="normal" if rank else "bold")
                below.barh(rank, 0.3 * share, left=0.52, height=0.7, color="#0072B2", alpha=0.35 if rank else 0.7)
                below.text(1.0, rank, f"{100 * share:.0f} %", va="center", ha="right")
            below.set(xlim=(0, 1), ylim=(ranks - 0.5, -0.5))
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()


def _short(text: str, most: int) -> str:
    text = text.encode("utf-8", "replace").decode()  # the name of a file may be no text
    return text if len(text) <= most else text[: most - 1] + "…"


# Toys, to show a CIFAR-10 network without a data set at hand: flat colours, few corners, unlike any photograph.
# Class -> background, then forms from back to front: kind, corners in hundredths of the side, colour.
DRAWINGS = json.loads((PACKAGE / "evaluation" / "drawings.json").read_text(encoding="utf-8"))


def draw(name: str):
    """One of `DRAWINGS` as a Pillow image of mode RGB, 400 pixels high and wide."""
    background, *forms = DRAWINGS[name]
    image = Image.new("RGB", (400, 400), background)
    for form in forms:
        kind, *corners, colour = form.split()
        getattr(ImageDraw.Draw(image), kind)([4 * int(corner) for corner in corners], fill=colour)
    return image
