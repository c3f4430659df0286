"""How long the fault tests take: short in `make test`, at full length in `make torture`."""

import importlib.util
import os

import pytest

from tests.faults import forks as processes

TORTURE = bool(os.environ.get("RESNET_KERAS_TORTURE"))


def length(short, full):
    """How often to try: `short` in `make test`, `full` in `make torture`."""
    return full if TORTURE else short


@pytest.fixture(scope="session")
def forks():
    """The module `forks`, ready."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("tensorflow is not installed")
    processes.serve()
    return processes
