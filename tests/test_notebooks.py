"""Every notebook runs at smoke scale, shows no error, and was committed as executed."""

import re
from pathlib import Path

import nbformat
import papermill
import pytest

from tests.faults.conftest import length

pytest.importorskip("keras")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SMOKE = {"scale": "smoke", "data": "shapes16", "data_dir": None, "seeds": 1, "train_missing": True}


# Runs in each kernel before the notebook: the smoke scale at a tenth of its length, in full in `make torture`.
SHORTER = """
from dataclasses import replace
from resnet_keras.training.recipe import PRESETS
often = dict.fromkeys(("log_interval", "test_interval", "checkpoint_interval"), 50)
PRESETS["smoke"] = replace(PRESETS["smoke"], iterations=100, drops=(80, 90), **often)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One results folder for all, so that a run that two notebooks show is trained once."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module", autouse=True)
def shorter(tmp_path_factory):
    startup = tmp_path_factory.mktemp("ipython") / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "shorter.py").write_text(length(SHORTER, ""), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(startup.parents[1]))
        yield


@pytest.mark.faults
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_at_smoke_scale_from_another_folder(path, results, tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_KERAS_RESULTS", str(results))
    monkeypatch.chdir(tmp_path)
    tagged = any("parameters" in cell.metadata.get("tags", []) for cell in nbformat.read(path, 4).cells)
    papermill.execute_notebook(
        path, tmp_path / path.name, parameters=SMOKE if tagged else {}, cwd=tmp_path, progress_bar=False
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_was_committed_with_its_outputs(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert "\\u001b" not in path.read_text(encoding="utf-8")  # no live line of a terminal


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_small_and_names_no_place_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert not re.search(r"/(home|root|Users|tmp|work)/\w", text)
