"""A trained network by name, what it says of a user's own images, and a sheet that shows it."""

import dataclasses
import difflib
import io
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
from resnet_keras.quiet import drawing, load_keras
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.device import all_names

BATCH = 32  # images in memory at a time
TOP = 3  # classes of each image, where the network has as many
COLUMNS = 4  # images in a row of a sheet
INK, BAR = "#333333", "#0072B2"


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
    `classes` is a text file with a class on each line. Raises a UserError where these do not exist or fit one another.
    """
    try:
        lines = Path(classes).read_text(encoding="utf-8-sig").splitlines() if classes else ()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UserError(f"{classes} cannot be read ({reason}): give a text file with a class on each line.") from None
    folder = None if weights else _folder(name, store or Store())
    load_keras()
    all_names()  # raises where JAX is asked for devices that it does not find; Keras would blame the file
    network = folder.load_network() if folder else load(weights, architecture(name).name)
    if not network.arguments["include_top"]:
        raise UserError(f"these weights of {network.name} have no classifier: give those of the complete network.")
    logits, known = network.arguments["classes"], tuple(line.strip() for line in lines if line.strip())
    kept = folder.config.get("classes", ()) if folder else ()  # older runs have not kept them
    known = known or tuple(kept) or tuple(f"class {number}" for number in range(logits))
    if len(known) != logits:
        names = f"{classes or name} names {len(known)} classes"
        raise UserError(f"{names}, {network.name} has {logits} logits: one a line.")
    return Trained(name, network, known, folder)


def _folder(name: str, store: Store) -> RunFolder:
    """The folder of a run or bundled network, or a line that says what was probably meant."""
    try:
        return store.find(name)
    except UserError:
        bundled = [folder.name for folder in store.models()]
        if re.fullmatch(r"[a-z]+\d+", name):
            some = ", ".join(bundled[:3]) or "`resnet-keras list` prints them"
            what = f"add --weights FILE, or name a run or a bundled network ({some})"
            raise UserError(f"{name} alone is an untrained network: {what}.") from None
        near = difflib.get_close_matches(name, [*bundled, *(run.name for run in store.runs())], n=2)
        if near and name not in near:  # else the folder exists, and cannot be read
            raise UserError(f"no run or bundled network {name!r}: did you mean {' or '.join(near)}?") from None
        raise


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of one image, or why it can say nothing."""

    picture: str  # the path of its file
    view: np.ndarray | None = None  # uint8 [h, w, c], what the network saw; None for a bad file
    top: tuple[tuple[int, str, float], ...] = ()  # see `most_probable`
    error: str | None = None  # one line that names the file and what is wrong with it; None for a good one

    def as_json(self) -> dict:
        """The same as JSON can hold it, without the view."""
        if self.error:
            return {"picture": self.picture, "error": self.error}
        rows = [{"class": name, "index": index, "probability": round(share, 6)} for index, name, share in self.top]
        return {"picture": self.picture, "predictions": rows}

    def as_text(self, width: int) -> str:
        """Lines of a table: the file's path in a column of `width` characters, probabilities, classes."""
        rows = itertools.zip_longest([self.picture], self.top, fillvalue="")
        return "\n".join(f"{path:{width}}  {100 * share:5.1f} %  {name}" for path, (_, name, share) in rows)


def image_files(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """The files that are meant: a folder stands for its own images, by name; a UserError where there are none."""
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

    `top` classes of each; default: 3, or all of fewer. Raises a UserError where it is not 1 to the number of classes.
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
    logits = iter(trained.network.predict_on_batch(np.stack(seen)) if seen else ())
    for prediction in predictions:
        if not prediction.error:
            prediction = dataclasses.replace(prediction, top=most_probable(trained, next(logits), top))
        yield prediction


def most_probable(trained: Trained, logits: np.ndarray, top: int = TOP) -> tuple[tuple[int, str, float], ...]:
    """(Number, name, probability from 0 to 1) of an image's classes, the most probable first, from logits [classes]."""
    shares = softmax(logits)
    best = np.argsort(-shares, kind="stable")[:top].tolist()
    return tuple((index, trained.classes[index], float(shares[index])) for index in best)


def sheet(predictions: list[Prediction]) -> bytes:
    """A PNG of each image (at least one) as the network saw it, its file's name, and its most probable classes."""
    import matplotlib.figure

    columns = min(COLUMNS, len(predictions))
    rows, ranks = -(-len(predictions) // columns), max(len(each.top) for each in predictions)
    image, bars = 1.6, 0.2 * ranks + 0.05  # inches
    file = io.BytesIO()
    with drawing({"font.size": 8, "text.color": INK}):
        figure = matplotlib.figure.Figure((2.0 * columns, rows * (image + bars + 0.5)), layout="constrained")
        figure.get_layout_engine().set(wspace=0.05)
        cells = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[image, bars] * rows)
        for axis in cells.flat:
            axis.set_axis_off()
        for number, prediction in enumerate(predictions):
            row, column = divmod(number, columns)
            above, below = cells[2 * row : 2 * row + 2, column]
            above.imshow(prediction.view, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            above.set_title(_short(Path(prediction.picture).stem, 24), fontsize=8)
            for rank, (_, name, share) in enumerate(prediction.top):
                below.text(0.0, rank, _short(name, 14), va="center", weight="normal" if rank else "bold")
                below.barh(rank, 0.3 * share, left=0.52, height=0.7, color=BAR, alpha=0.35 if rank else 0.7)
                below.text(1.0, rank, f"{100 * share:.0f} %", va="center", ha="right")
            below.set(xlim=(0, 1), ylim=(ranks - 0.5, -0.5))
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()


def _short(text: str, most: int) -> str:
    text = text.encode("utf-8", "replace").decode()  # the name of a file may be no text
    return text if len(text) <= most else text[: most - 1] + "…"


# Toys, to show a CIFAR-10 network without a data set at hand: flat colours, few corners, unlike any photograph.
# Class -> background, then forms from back to front: kind, corners in hundredths of the side, colour.
DRAWINGS = {
    "ship": "#9cc4e8 | rectangle 0 62 100 100 #24527a | polygon 8 55 92 55 80 74 20 74 #c22a22 | rectangle 30 38 68 "
    "55 #f0eee8 | rectangle 42 22 52 38 #24303a",
    "airplane": "#9cc4e8 | ellipse 8 42 92 58 #f0eee8 | polygon 40 50 58 50 34 88 24 88 #c3c9cf | polygon 44 46 58 46 "
    "40 18 32 18 #d3d8dd | polygon 80 46 92 48 96 24 88 24 #c22a22",
    "automobile": "#77716b | rectangle 0 0 100 50 #9cc4e8 | rectangle 8 48 92 70 #c22a22 | polygon 26 48 36 30 68 30 "
    "78 48 #c22a22 | polygon 32 47 39 34 65 34 72 47 #24303a | ellipse 18 60 38 80 #161616 | ellipse 62 60 82 80 "
    "#161616",
    "truck": "#77716b | rectangle 0 0 100 45 #9cc4e8 | rectangle 4 22 62 70 #f0eee8 | rectangle 64 36 94 70 #2a5caa | "
    "rectangle 74 40 92 54 #24303a | ellipse 12 62 30 80 #161616 | ellipse 68 62 86 80 #161616",
    "frog": "#5b8c3e | ellipse 16 40 84 90 #3f6b1f | ellipse 24 22 46 46 #3f6b1f | ellipse 54 22 76 46 #3f6b1f | "
    "ellipse 30 28 41 40 #e9d24a | ellipse 59 28 70 40 #e9d24a | ellipse 34 32 38 37 #161616 | ellipse 63 32 67 37 "
    "#161616",
    "bird": "#9cc4e8 | ellipse 28 36 78 70 #7a4a2a | ellipse 16 26 42 50 #7a4a2a | polygon 18 36 18 42 6 40 #e0a020 | "
    "polygon 72 48 96 40 92 58 #5e3820 | polygon 44 46 74 50 54 62 #5e3820 | ellipse 23 33 28 38 #161616",
}  # fmt: skip


def draw(name: str, side: int = 400):
    """One of `DRAWINGS` as a Pillow image of mode RGB, `side` pixels high and wide."""
    from PIL import Image, ImageDraw

    background, *forms = DRAWINGS[name].split(" | ")
    image = Image.new("RGB", (side, side), background)
    for form in forms:
        kind, *corners, colour = form.split()
        getattr(ImageDraw.Draw(image), kind)([side * int(corner) // 100 for corner in corners], fill=colour)
    return image
