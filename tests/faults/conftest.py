"""How long the fault tests take: short in `make test`, at full length in `make torture`."""

import importlib.util
import os

import pytest

from tests.faults.forks import Forks

TORTURE = bool(os.environ.get("RESNET_KERAS_TORTURE"))


def length(short, full):
    """How often to try: `short` in `make test`, `full` in `make torture`."""
    return full if TORTURE else short


def needs(module):
    """Skip where a module is not installed, without importing it here."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.fixture(scope="session")
def forks():
    """Forks of a process without a backend."""
    with Forks() as server:
        yield server


@pytest.fixture(scope="session")
def tensorflow_forks():
    """Forks of a process that has imported TensorFlow."""
    needs("tensorflow")
    with Forks("tensorflow") as server:
        yield server


@pytest.fixture(scope="session")
def jax_forks():
    """Forks of a process that has imported JAX."""
    needs("jax")
    with Forks("jax") as server:
        yield server
