"""The benchmark for an accelerator: what it concludes, and the whole of it at its smallest on this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu, records

SCRIPT = Path(gpu.__file__).with_name("gpu.sh")


def row(network, contender, speed, **more):
    minutes = gpu.ITERATIONS * 128 / speed / 60
    found = {"network": network, "contender": contender, "images_per_second": speed, "minutes_of_64000": minutes}
    return {**found, "ours_faster": "1.0", **more}


def test_targets_are_judged_by_what_was_measured():
    rows = [
        row("resnet20", "resnet_keras", 64_000, python_percent=2.0),
        row("resnet110", "resnet_keras", 12_800, python_percent=6.0),
        row("resnet20", "PyTorch compiled", 30_000, ours_faster="2.1"),
        {"network": "resnet110", "contender": "PyTorch compiled", "note": "skipped: no memory"},
    ]
    found = {one["what"]: (one["measured"], one["met"]) for one in gpu.verdicts(rows)}
    at_20, at_110 = gpu.ITERATIONS * 128 / 64_000 / 60, gpu.ITERATIONS * 128 / 12_800 / 60
    all_five = sum(at_20 + (at_110 - at_20) * (depth - 20) / 90 for depth in (20, 32, 44, 56, 110))
    assert found["minutes_all"] == (pytest.approx(all_five, rel=1e-2), True)
    assert found["minutes_resnet20"] == (pytest.approx(at_20), True)
    assert found["python_percent"] == (6.0, False) and found["faster_than_pytorch"] == (2.1, True)


def test_what_was_not_measured_is_not_judged():
    assert gpu.verdicts([]) == []
    assert {one["what"] for one in gpu.verdicts([row("resnet56", "resnet_keras", 100, python_percent=1.0)])} == {
        "python_percent"
    }


def test_pythons_share_is_what_a_call_takes_beside_its_steps():
    from benchmarks.contenders.ours import Steps

    steps = Steps.__new__(Steps)
    steps.per_call, steps._call = 10, lambda count: time.sleep(0.02 + 0.006 * count)
    assert steps.python_share(3) == pytest.approx(0.02 / 0.08, abs=0.08)


def test_without_jax_it_says_what_to_install(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    variables = {**os.environ, "PYTHON": str(python), "WORK": str(tmp_path)}
    asked = subprocess.run([SCRIPT, "--smoke"], env=variables, capture_output=True, text=True)
    assert asked.returncode == 2 and asked.stderr.count("\n") == 1 and "pip install" in asked.stderr


@pytest.mark.slow
def test_smoke_writes_the_csv_and_goes_on_from_it(tmp_path):
    pytest.importorskip("jax", reason="the extra `jax` is not installed")
    command = [SCRIPT, "--smoke", "--output", tmp_path, "--torch-python", "/bin/false"]
    variables = {**os.environ, "PYTHON": sys.executable, "WORK": str(tmp_path / "work")}
    asked = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=560)
    assert asked.returncode == 0, asked.stderr[-2000:]
    ours, twin = records.read(tmp_path / "gpu.csv")
    assert "backend=jax" in ours["versions"] and 0 <= float(ours["python_percent"]) <= 100
    assert np.isfinite(float(ours["images_per_second"])) and twin["note"].startswith("skipped")
    again = subprocess.run([*command, "--resume"], env=variables, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "ready" not in again.stdout
