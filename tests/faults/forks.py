"""Runs functions in processes forked from one that has imported what they need: a start costs milliseconds.

with Forks("tensorflow") as forks:
    number = forks.start("tests.faults.work:train", folder, output=folder / "said")
    forks.signal(number, signal.SIGKILL)
    forks.wait(number)
"""

import base64
import importlib
import os
import pickle
import select
import subprocess
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Forks:
    """A process that forks, for as long as it is entered.

    Args:
        backend: Keras' backend, imported before any fork; None imports NumPy and no backend.
    """

    def __init__(self, backend=None):
        self.backend, self.ended = backend, {}

    def __enter__(self):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
        if self.backend:
            environment["KERAS_BACKEND"] = self.backend
        command = [sys.executable, "-m", "tests.faults.forks", self.backend or ""]
        self.server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT, text=True
        )
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait(60)
        self.server.stdout.close()

    def start(self, function, *arguments, output):
        """Call "module:function" in a new process that prints into the file `output`; returns its number."""
        self._ask(function, arguments, str(output))
        return self._read("started")[0]

    def signal(self, number, which):
        """Send a signal to a process of ours, if it has not ended."""
        self._ask(number, int(which))

    def _ask(self, *job):
        print(base64.b64encode(pickle.dumps(job)).decode(), file=self.server.stdin, flush=True)

    def wait(self, number):
        """The exit code, negative for a signal."""
        while number not in self.ended:
            self._read("ended")
        return self.ended.pop(number)

    def call(self, function, *arguments, output):
        """`start` and `wait`."""
        return self.wait(self.start(function, *arguments, output=output))

    def _read(self, until):
        while True:
            line = self.server.stdout.readline()
            if not line:
                raise RuntimeError("the process that forks has ended")
            word, *numbers = line.split()
            numbers = [int(number) for number in numbers]
            if word == "ended":
                self.ended[numbers[0]] = numbers[1]
            if word == until:
                return numbers


def _serve(backend):
    if backend:
        importlib.import_module("keras")
        importlib.import_module("resnet_keras.training.trainer")
        importlib.import_module("resnet_keras.training.steps")
    else:
        importlib.import_module("pandas")
    importlib.import_module("tests.faults.work")
    reading, living = True, set()
    while reading or living:
        if reading and select.select([0], [], [], 0.002)[0]:
            line = _line()
            reading = bool(line)
            if line:
                _do(pickle.loads(base64.b64decode(line)), living)
        elif not reading:
            time.sleep(0.002)
        number, status = os.waitpid(-1, os.WNOHANG) if living else (0, 0)
        if number:
            living.discard(number)
            print("ended", number, os.waitstatus_to_exitcode(status), flush=True)


def _do(job, living):
    """Fork what is to be called, or send a signal; a number that has been given back is nobody's to signal."""
    if isinstance(job[0], str):
        living.add(_fork(*job))
    elif job[0] in living:
        os.kill(*job)


def _line():
    """One line of the standard input, unbuffered, so that `select` tells the truth."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line


def _fork(function, arguments, output):
    number = os.fork()
    if number:
        print("started", number, flush=True)
        return number
    code = 1
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        module, name = function.split(":")
        code = getattr(importlib.import_module(module), name)(*arguments) or 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
