"""A photograph as files of every kind."""

import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photograph():
    """A picture without symmetry, 96 high and 120 wide, as a Pillow picture: smooth, so that JPEG keeps it."""
    y, x = np.mgrid[:96, :120]
    return Image.fromarray(np.stack([2 * x, 255 - 2 * y, x + y], axis=-1).clip(0, 255).astype(np.uint8))


@pytest.fixture
def kinds(photograph, tmp_path):
    """The photograph as files of many kinds, by name; and files that are no pictures, beginning with "bad"."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    alpha = photograph.convert("RGBA")
    alpha.putalpha(200)
    grey = photograph.convert("L")
    files = {
        "rgb.png": (photograph, {}),
        "rgb.jpg": (photograph, {"quality": 95}),
        "turned.jpg": (photograph.transpose(Image.Transpose.ROTATE_90), {"quality": 95, "exif": exif}),
        "cmyk.jpg": (photograph.convert("CMYK"), {"quality": 95}),
        "alpha.png": (alpha, {}),
        "palette.gif": (photograph.convert("P", palette=Image.Palette.ADAPTIVE, colors=255), {}),
        "grey.png": (grey, {}),
        "deep.png": (Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), {}),
        "tiny.png": (photograph.resize((3, 2)), {}),
    }
    for name, (picture, options) in files.items():
        picture.save(tmp_path / name, **options)
    whole = io.BytesIO()
    photograph.save(whole, "JPEG")
    (tmp_path / "bad_cut.jpg").write_bytes(whole.getvalue()[:700])
    (tmp_path / "bad_text.png").write_text("no picture")
    (tmp_path / "bad_empty.jpg").touch()
    return {path.name: path for path in sorted(tmp_path.iterdir()) if path.is_file()}
