"""What several tests share."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from resnet_keras.quiet import NO_BFLOAT16, ONEDNN, cpu_class

hypothesis.settings.register_profile("patient", deadline=None)  # on a busy machine any example may take a second
hypothesis.settings.load_profile("patient")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "RESNET_KERAS_TORTURE" not in os.environ:  # which runs what users run; JAX compiles longer than it computes
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
if cpu_class() in NO_BFLOAT16:  # as `load_keras`, for tests that import Keras themselves
    os.environ.setdefault(ONEDNN, "1")

ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"  # beside some checkouts: real pictures to try the project on
# Test files that begin first, so that both workers end at about the same time.
LONGEST = "notebooks processes pretrained without_tensorflow page trainer steps networks measurements evaluate export"


def pytest_collection_modifyitems(items):
    places = {f"test_{name}": place for place, name in enumerate(LONGEST.split())}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    gc.freeze()  # each training collects garbage, for which all that the modules hold need not be looked through


def python(*words, **variables):
    """Run another Python on this package, with these variables and without this process's choice of backend."""
    outer = {name: value for name, value in os.environ.items() if name not in ("KERAS_BACKEND", ONEDNN)}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), variables.get("PYTHONPATH", outer.get("PYTHONPATH", ""))])
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=outer | variables, capture_output=True, text=True, timeout=600)


def write_images(folder):
    """A folder of 40 noise images of 8x8 pixels in two classes; 10 of them to test on."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for number in range(40):
        path = folder / ("test" if number < 10 else "train") / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return folder


@pytest.fixture(scope="session")
def tiny():
    """A data set of 8x8 noise pictures whose mean colour tells the class: trains in seconds."""
    from resnet_keras.data import Dataset, Identity, Split

    def split(count, seed):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 4, count).astype(np.int32)
        images = draw.integers(0, 160, (count, 8, 8, 3)) + 30 * labels[:, None, None, None]
        return Split(images.clip(0, 255).astype(np.uint8), labels)

    identity = Identity("tiny", "1", "tiny")
    return Dataset(identity, ("a", "b", "c", "d"), split(300, 0), split(90, 1))


@pytest.fixture(scope="session")
def trained_store(tiny, tmp_path_factory):
    """A results folder with one finished run on the `tiny` set."""
    from resnet_keras.store import Store
    from resnet_keras.training.recipe import Recipe
    from resnet_keras.training.run import Run
    from resnet_keras.training.trainer import train

    store = Store(tmp_path_factory.mktemp("results"))
    recipe = Recipe(iterations=8, batch_size=32, drops=(6,), log_interval=4, test_interval=8, precision="bfloat16")
    train(Run("resnet8", "tiny", recipe), store=store, dataset=tiny)
    return store


@pytest.fixture(scope="session")
def run_name(trained_store):
    (folder,) = trained_store.runs()
    return folder.name
