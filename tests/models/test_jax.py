"""The tests of layers, networks, initial weights and augmented images once more, with Keras on JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("test_blocks.py", "test_layers.py", "test_scan.py", "test_initialization.py")
FILES += ("test_resnet.py::test_a_cifar_network_against_numpy", "../data/test_augment.py")
# These say nothing new there, and XLA compiles for long.
LEFT_OUT = "1202 or C- or float32-False or bfloat16-True or basic- or bottleneck- or v1.5"
LEFT_OUT += " or groups or stay_out or op_by_op"


def test_the_layers_on_jax():
    pytest.importorskip("jax", reason="JAX is not installed")
    files = [f"tests/models/{name}" for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", f"not ({LEFT_OUT})"]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0 and " passed" in ran.stdout, ran.stdout + ran.stderr
