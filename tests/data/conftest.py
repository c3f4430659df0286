"""Small sets of images on disk, and a data folder of each test's own."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet_keras.data import images


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data folder in which this test's caches lie, and no line that was said before."""
    monkeypatch.setenv("RESNET_KERAS_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    images.say.cache_clear()
    return tmp_path / "home"


def encoded(image, kind="PNG", **options) -> bytes:
    """An array or a Pillow image as a file of a kind."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def noise(seed, height=5, width=6):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photograph(seed, width=90, height=70) -> bytes:
    """A smooth image, so that JPEG keeps it."""
    smooth = Image.fromarray(noise(seed, 4, 5)).resize((width, height), Image.Resampling.BICUBIC)
    return encoded(smooth, "JPEG")


def write(folder, files: dict):
    """Write `{path: content}`, arrays as PNG, and return the folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(encoded(content) if isinstance(content, np.ndarray) else content)
    return folder


@pytest.fixture
def arrays():
    """`{"train/cat/0.png": uint8 [5, 6, 3], ...}`: 12 training and 6 test images of three classes."""
    counts = [("train", 4), ("test", 2)]
    names = [f"{split}/{name}/{i}.png" for split, n in counts for name in ("cat", "ant", "dog") for i in range(n)]
    return {name: noise(seed) for seed, name in enumerate(names)}


@pytest.fixture
def pets(tmp_path, arrays):
    """The images as a folder."""
    return write(tmp_path / "pets", arrays)


@pytest.fixture
def scenes(tmp_path):
    """A folder of photographs of various sizes: 12 to train on and 4 to test on, in two classes."""
    places = [(split, name, i) for split, n in (("train", 6), ("val", 2)) for name in ("cat", "dog") for i in range(n)]
    contents = {
        f"{split}/{name}/{i}.JPEG": photograph(seed, 90 + 7 * i, 70 + 5 * i)
        for seed, (split, name, i) in enumerate(places)
    }
    return write(tmp_path / "scenes", contents)
