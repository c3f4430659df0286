"""The tests of layers, networks, initial weights and augmented images once more, with Keras on JAX."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import torture

FILES = ("models/test_layers.py", "data/test_augment.py", "models/test_networks.py::test_what_a_network_starts_with")
FILES += ("models/test_networks.py::test_a_cifar_network_against_numpy",)
# These say nothing new there, and XLA compiles for long.
LEFT_OUT = "1202 or C- or float32-False or bfloat16-True or basic- or bottleneck- or v1.5 or groups or stay_out"


@torture("XLA compiles for half a minute")
def test_the_layers_on_jax():
    pytest.importorskip("jax", reason="JAX is not installed")
    files = [f"tests/{name}" for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", f"not ({LEFT_OUT})"]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0 and " passed" in ran.stdout, ran.stdout + ran.stderr
