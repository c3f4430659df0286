"""On JAX nothing imports TensorFlow or TFDS, from the images to the page of results."""

import pytest

from tests.conftest import python, write_images

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
from resnet_keras.experiments import runner
from resnet_keras.experiments.catalogue import EXPERIMENTS, Experiment
from resnet_keras.training.recipe import PRESETS, Recipe

folder, results = sys.argv[1:]
PRESETS["smoke"] = Recipe(iterations=4, batch_size=8, drops=(2,), log_interval=2, test_interval=4)
measures = ("responses", "gradients", "lesion")
runner.timed_speed = lambda run: {10**6: 1e9}  # else it compiles for that
EXPERIMENTS.clear()
EXPERIMENTS["small"] = Experiment("small", "Small", "nowhere", "nothing", {"smoke": ("resnet8",)}, measures)

def command(*words):
    try:
        cli.main([*words, "--results", results])
    except SystemExit as end:
        assert end.code == 0, words

command("run", "all", "--data", folder)
(name,) = [folder.name for folder in cli.Store(results).runs()]
command("evaluate", name)
command("report")
print("LOADED", sorted(m for m in sys.modules if m.startswith(("tensorflow", "tf_keras"))))
"""


def test_a_machine_without_tensorflow_makes_the_same_runs(tmp_path):
    variables = {"KERAS_BACKEND": "jax", "RESNET_KERAS_DATA": str(tmp_path / "data")}
    ran = python("-c", CHILD, write_images(tmp_path / "noise"), tmp_path / "results", **variables)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "on noise, 10 test images" in ran.stdout and "LOADED []" in ran.stdout
    (run,) = (tmp_path / "results" / "runs").glob("noise-resnet8-s0-*")
    for name in ("summary.json", "network.keras", "responses.csv", "gradients.csv", "lesion.csv"):
        assert (run / name).is_file()
    assert (tmp_path / "results" / "index.html").is_file()
