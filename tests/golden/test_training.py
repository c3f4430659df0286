"""A training gives the bits that it gave before the code was rewritten."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

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


RUNS = {"tensorflow": 2, "jax": 1}  # JAX compiles for so long


def start(code: Path, backend: str, results: Path) -> subprocess.Popen:
    # What decides the bits beside the code is the same for both: the CPU, its kernels and its threads.
    same = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "TF_ENABLE_ONEDNN_OPTS": "1"}
    environment = {**os.environ, **same, "KERAS_BACKEND": backend, "PYTHONPATH": str(code)}
    command = [sys.executable, str(WORKER), str(results), str(RUNS[backend])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=code, env=environment, text=True, **pipes)


@pytest.mark.slow
@pytest.mark.parametrize("backend", RUNS)
def test_old_and_new_code_give_the_same_bits(backend, old_code, tmp_path):
    pytest.importorskip(backend)
    codes = {"old": old_code, "new": ROOT}
    processes = {which: start(code, backend, tmp_path / which) for which, code in codes.items()}
    results = {}
    for which, process in processes.items():
        output, errors = process.communicate(timeout=900)
        assert process.returncode == 0, f"{which}: {errors[-3000:]}"
        results[which] = json.loads(output.splitlines()[-1])
    for old, new in zip(results["old"], results["new"], strict=True):
        assert new["name"] == old["name"]
        assert new["history"] == old["history"]
        assert new["arrays"] == old["arrays"] and len(new["arrays"]) > 20
