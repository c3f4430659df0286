"""Small sets of pictures on disk, and a data folder of each test's own."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data folder in which this test's caches lie."""
    folder = tmp_path / "home"
    monkeypatch.setenv("RESNET_KERAS_DATA", str(folder))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    return folder


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pictures():
    """`{"train/cat/000.png": uint8 [5, 6, 3], ...}`: 12 training and 6 test pictures of three classes."""
    random = np.random.default_rng(5)
    return {
        f"{split}/{name}/{i:03}.png": random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        for split, count in (("train", 4), ("test", 2))
        for name in ("cat", "ant", "dog")
        for i in range(count)
    }


@pytest.fixture
def folder(tmp_path, pictures):
    """The pictures as a folder `pets`."""
    for path, array in pictures.items():
        file = tmp_path / "pets" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(array))
    return tmp_path / "pets"


@pytest.fixture
def make_archive(tmp_path):
    """Writes a tar of `(name, content)`, or of ready `TarInfo`s, and returns its path."""

    def make(members, name="pets.tar.xz"):
        path = tmp_path / name
        with tarfile.open(path, "w:xz" if name.endswith("xz") else "w") as tar:
            for member, content in members:
                if isinstance(member, str):
                    member = tarfile.TarInfo(member)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return path

    return make
