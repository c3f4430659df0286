"""Every notebook runs at smoke scale, shows no error, and was committed as executed."""

import re

import nbformat
import papermill
import pytest

from tests.conftest import ROOT
from tests.faults.conftest import length

pytestmark = pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
SMOKE = {"scale": "smoke", "data": "shapes16", "data_dir": None, "seeds": 1, "train_missing": True}
# Before each notebook: a part of smoke scale and of its images, with smaller networks. `make torture` has all of it.
SHORTER = """
import sys; sys.modules["jax"] = None  # as for most users; TensorFlow takes a second to import it
from dataclasses import replace
from resnet_keras.data import shapes16
from resnet_keras.experiments import runner
from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.training.recipe import PRESETS
shapes16.COUNTS = {"train": 1000, "test": 500}
often = dict.fromkeys(("log_interval", "test_interval", "checkpoint_interval"), 20)
PRESETS["smoke"] = replace(PRESETS["smoke"], iterations=40, drops=(20, 30), **often)
runner.timed_speed = lambda run: {10**6: 1e9}  # else it trains for it
def smaller(network):
    name, *changes = network if isinstance(network, tuple) else (network,)
    return (name.replace("20", "8").replace("32", "14"), *(changes or [{}]))
for each in EXPERIMENTS.values():
    if "smoke" in each.networks:
        each.networks["smoke"] = tuple(map(smaller, each.networks["smoke"]))
"""


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """One results folder for all, so that a run that two notebooks show is trained once."""
    startup = tmp_path_factory.mktemp("ipython") / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "shorter.py").write_text(length(SHORTER, ""), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(startup.parents[1]))
        patch.setenv("RESNET_KERAS_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield


@pytest.mark.faults
def test_runs_at_smoke_scale_from_another_folder(path, surroundings, tmp_path):
    tagged = any("parameters" in cell.metadata.get("tags", []) for cell in nbformat.read(path, 4).cells)
    parameters = SMOKE if tagged else {}
    papermill.execute_notebook(path, tmp_path / path.name, parameters=parameters, cwd=tmp_path, progress_bar=False)


def test_was_committed_with_its_outputs_small_and_without_a_machines_places(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    text = path.read_text(encoding="utf-8")
    assert "\\u001b" not in text, "a live line of a terminal"
    assert len(text) < 1_000_000 and not re.search(r"/(home|root|Users|tmp|work)/\w", text)
