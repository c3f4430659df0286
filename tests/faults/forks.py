"""Calls functions in processes forked from one that has imported TensorFlow: a start costs milliseconds."""

import multiprocessing
import os
import signal
import sys
import traceback


def start(function, *arguments, output):
    """Call a function in a new process that prints into the file `output`; returns the process."""
    child = multiprocessing.get_context("forkserver").Process(target=_call, args=(str(output), function, arguments))
    child.start()
    return child


def call(function, *arguments, output):
    """The exit code of a function in a new process, negative for a signal."""
    child = start(function, *arguments, output=output)
    child.join()
    return child.exitcode


def _call(output, function, arguments):
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
