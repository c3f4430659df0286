"""How long the fault tests take: short in `make test`, at full length in `make torture`."""

import os
from multiprocessing import forkserver

import pytest

from tests.faults import forks as processes

TORTURE = bool(os.environ.get("RESNET_KERAS_TORTURE"))


def length(short, full):
    """How often to try: `short` in `make test`, `full` in `make torture`."""
    return full if TORTURE else short


def torture(why):
    """Marks a test of `make torture` alone, and says why it is not one of `make test`."""
    skipped = pytest.mark.skipif(not TORTURE, reason=f"{why}: make torture")
    return lambda test: pytest.mark.faults(skipped(test))


@pytest.fixture(scope="session")
def forks():
    """The module `forks`, with the process that forks started."""
    pytest.importorskip("tensorflow")
    preloaded = ["keras", "pandas", "resnet_keras.training.trainer", "resnet_keras.training.steps", "tests.faults.work"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "tensorflow")
        forkserver.set_forkserver_preload(preloaded)
        forkserver.ensure_running()
    return processes
