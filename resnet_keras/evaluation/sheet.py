"""A contact sheet of predictions; and six drawings made here, to show a CIFAR-10 network without any data set at hand.

The drawings are toys: flat colours and few corners, unlike any photograph that a network has learnt from.
"""

import io
from pathlib import Path

from resnet_keras.errors import UserError
from resnet_keras.quiet import drawing

MOST = 200  # images on a sheet
COLUMNS = 4
INK, BAR = "#333333", "#0072B2"


def check(path: Path, count: int) -> None:
    """Refuse a sheet of `count` images at a path where none can be written.

    Raises:
        UserError: The name does not end in .png, its folder does not exist, or the images are too many.
    """
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise UserError(f"{path}: give --sheet a file ending in .png, in a folder that exists.")
    if count > MOST:
        raise UserError(f"a sheet of {count} images: it takes at most {MOST}.")


def sheet(predictions: list) -> bytes:
    """A PNG of each image as the network saw it, its file's name, and its most probable classes as bars.

    Args:
        predictions: `resnet_keras.evaluation.predict.Prediction` of images that could be read, at least one.
    """
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


# Class of CIFAR-10 -> background, then forms from back to front: kind, corners in hundredths of the side, colour.
DRAWINGS = {
    "ship": (
        "#9cc4e8 | rectangle 0 62 100 100 #24527a | polygon 8 55 92 55 80 74 20 74 #c22a22 | rectangle 30 38 68 "
        "55 #f0eee8 | rectangle 42 22 52 38 #24303a"
    ),
    "airplane": (
        "#9cc4e8 | ellipse 8 42 92 58 #f0eee8 | polygon 40 50 58 50 34 88 24 88 #c3c9cf | polygon 44 46 58 46 40 "
        "18 32 18 #d3d8dd | polygon 80 46 92 48 96 24 88 24 #c22a22"
    ),
    "automobile": (
        "#77716b | rectangle 0 0 100 50 #9cc4e8 | rectangle 8 48 92 70 #c22a22 | polygon 26 48 36 30 68 30 78 48 "
        "#c22a22 | polygon 32 47 39 34 65 34 72 47 #24303a | ellipse 18 60 38 80 #161616 | ellipse 62 60 82 80 "
        "#161616"
    ),
    "truck": (
        "#77716b | rectangle 0 0 100 45 #9cc4e8 | rectangle 4 22 62 70 #f0eee8 | rectangle 64 36 94 70 #2a5caa | "
        "rectangle 74 40 92 54 #24303a | ellipse 12 62 30 80 #161616 | ellipse 68 62 86 80 #161616"
    ),
    "frog": (
        "#5b8c3e | ellipse 16 40 84 90 #3f6b1f | ellipse 24 22 46 46 #3f6b1f | ellipse 54 22 76 46 #3f6b1f | "
        "ellipse 30 28 41 40 #e9d24a | ellipse 59 28 70 40 #e9d24a | ellipse 34 32 38 37 #161616 | ellipse 63 32 "
        "67 37 #161616"
    ),
    "bird": (
        "#9cc4e8 | ellipse 28 36 78 70 #7a4a2a | ellipse 16 26 42 50 #7a4a2a | polygon 18 36 18 42 6 40 #e0a020 | "
        "polygon 72 48 96 40 92 58 #5e3820 | polygon 44 46 74 50 54 62 #5e3820 | ellipse 23 33 28 38 #161616"
    ),
}


def draw(name: str, side: int = 400):
    """One of `DRAWINGS` as a Pillow image of mode RGB, `side` pixels high and wide."""
    from PIL import Image, ImageDraw

    background, *forms = DRAWINGS[name].split(" | ")
    image = Image.new("RGB", (side, side), background)
    for form in forms:
        kind, *corners, colour = form.split()
        getattr(ImageDraw.Draw(image), kind)([side * int(corner) // 100 for corner in corners], fill=colour)
    return image
