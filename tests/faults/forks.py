"""Calls functions in processes forked from one that has imported TensorFlow: a start costs milliseconds."""

import multiprocessing
import os
import signal
import sys
import traceback
from multiprocessing import forkserver

import pytest

PRELOADED = ["keras", "pandas", "resnet_keras.training.trainer", "resnet_keras.training.steps", "tests.faults.work"]


def serve():
    """Start the process that forks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "tensorflow")
        forkserver.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()


def start(function, *arguments, output, backend="tensorflow"):
    """Call a function in a new process that prints into the file `output`; returns the process."""
    context = multiprocessing.get_context("forkserver" if backend == "tensorflow" else "spawn")
    child = context.Process(target=_call, args=(backend, str(output), function, arguments))
    child.start()
    return child


def call(function, *arguments, **options):
    """The exit code of a function in a new process, negative for a signal."""
    return wait(start(function, *arguments, **options))


def wait(child):
    """The exit code of a process, negative for a signal."""
    child.join()
    return child.exitcode


def send(child, number):
    """Send a signal to a process, if it has not ended."""
    if child.is_alive():
        os.kill(child.pid, number)


def _call(backend, output, function, arguments):
    os.environ.update(KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the process that forks ignores
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    code = 1
    try:
        code = function(*arguments) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
