"""The contenders are the same network; each benchmark runs at its smallest."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks import __main__ as command
from benchmarks.contenders import make
from tests.faults.conftest import length, torture


def test_the_peers_are_the_same_network():
    bare, stock = (make(name, "resnet20", "float32", 4) for name in ("bare_tensorflow", "stock_keras"))
    for weights in (bare.trainable, stock.model.trainable_variables):
        assert sum(int(np.prod(weight.shape)) for weight in weights) == 269_722


@pytest.mark.faults
def test_each_benchmark_runs_at_its_smallest_and_writes_nothing(capsys, tmp_path):
    quick = length(["evaluation", "imagenet_data"], [])  # the others start a dozen processes
    command.main([*quick, "--smoke", "--output", str(tmp_path / "out")])
    out, slow = capsys.readouterr().out, ("Keras fit", "tf.function", "PyTorch compiled", "first_step")
    assert all(name in out for name in ("resnet_keras", "Keras evaluate", "tf.data", *length((), slow)))
    assert not list(tmp_path.iterdir())


@torture("compiles for a minute")
def test_the_gpu_script_runs_at_its_smallest_on_this_machine(tmp_path):
    pytest.importorskip("jax", reason="the extra `jax` is not installed")
    variables = {**os.environ, "PYTHON": sys.executable, "WORK": str(tmp_path)}
    run = [Path(command.__file__).with_name("gpu.sh"), "--smoke", "--torch-python", "/bin/false"]
    asked = subprocess.run(run, env=variables, capture_output=True, text=True, timeout=560)
    assert asked.returncode == 0 and "jax=" in asked.stdout, asked.stderr[-2000:]
