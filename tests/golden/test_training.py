"""A training gives the bits that it gave before the code was rewritten."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import torture

OLD = "1aa870a0a01ae25aee62dc211510a986b88d49e2"
WORKER = Path(__file__).with_name("train.py")


@pytest.fixture(scope="module")
def old_code(tmp_path_factory):
    """A folder with the package as of the commit before the rewriting."""
    folder = tmp_path_factory.mktemp("old")
    try:
        archive = subprocess.run(["git", "archive", OLD, "resnet_keras"], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs git, tar and commit {OLD} in this clone: {error}")
    return folder


def results(code: Path, backend: str, runs: int, folder: Path) -> list[dict]:
    # What decides the bits beside the code is the same for both: the CPU, its kernels and its threads.
    same = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "TF_ENABLE_ONEDNN_OPTS": "1"}
    environment = {**os.environ, **same, "KERAS_BACKEND": backend, "PYTHONPATH": str(code)}
    command = [sys.executable, str(WORKER), str(folder), str(runs)]
    ran = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


@torture("trains for minutes by the old code and the new")
@pytest.mark.parametrize(("backend", "runs"), [("tensorflow", 2), ("jax", 1)])
def test_old_and_new_code_give_the_same_bits(backend, runs, old_code, tmp_path):
    pair = (results(code, backend, runs, tmp_path / code.name) for code in (old_code, ROOT))
    for old, new in zip(*pair, strict=True):
        assert new["name"] == old["name"]
        assert new["history"] == old["history"]
        assert new["arrays"] == old["arrays"] and len(new["arrays"]) > 20
