"""On JAX nothing imports TensorFlow or TFDS, from the images to the page of results."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

pytest.importorskip("jax")

# Train, measure, test again and report by the command line, where TensorFlow cannot be imported.
CHILD = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_datasets", "tf_keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from resnet_keras import cli
from resnet_keras.experiments.catalogue import EXPERIMENTS, Experiment
from resnet_keras.training.recipe import PRESETS, Recipe

folder, results = sys.argv[1:]
PRESETS["smoke"] = Recipe(iterations=4, batch_size=8, drops=(2,), log_interval=2, test_interval=4)
measures = ("responses", "gradients", "lesion")
small = Experiment("small", "Small", "nowhere", "nothing", {"smoke": ("resnet8",)}, measures)
EXPERIMENTS.clear()
EXPERIMENTS["small"] = small

def command(*words):
    try:
        cli.main([*words, "--results", results])
    except SystemExit as end:
        assert end.code == 0, words

command("run", "all", "--data", folder)
(name,) = [folder.name for folder in cli.Store(results).runs()]
print("NAME", name)
command("evaluate", name)
command("report")
print("LOADED", sorted(m for m in sys.modules if m.startswith(("tensorflow", "tf_keras"))))
"""


@pytest.fixture
def folder(tmp_path):
    """A folder of 40 noise images of two classes."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / "noise" / ("test" if number < 10 else "train") / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return tmp_path / "noise"


@pytest.mark.slow
def test_a_machine_without_tensorflow_makes_the_same_runs(folder, tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "RESNET_KERAS_DATA": str(tmp_path / "data")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", CHILD, str(folder), str(tmp_path / "results")]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    said = ran.stdout
    assert "NAME noise-resnet8-s0-" in said
    assert "on noise, 10 test images" in said
    assert "LOADED []" in said
    (run,) = (tmp_path / "results" / "runs").iterdir()
    made = {path.name for path in run.iterdir()}
    assert {"summary.json", "network.keras", "responses.csv", "gradients.csv", "lesion.csv"} <= made
    assert (tmp_path / "results" / "index.html").is_file()
