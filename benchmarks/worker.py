"""A contender in a process of its own, which stays alive and is asked in turn: `python -m benchmarks.worker`.

It reads {"module": ..., "arguments": ..., "options": ...} and answers how long building and the first step took; then
it answers each [method, argument], such as ["take", 10] for the seconds of ten steps, until its input ends.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.contenders import Contender, make

ROOT = Path(__file__).parents[1]


class Skipped(Exception):
    """This contender cannot run here; the message says why."""


class Worker:
    """One contender on one network."""

    def __init__(self, contender: Contender, network: str, batch_size: int, torch_python: str | None = None):
        """Start it, and wait for its first step; raises `Skipped` where it cannot run."""
        self.contender = contender
        python = torch_python if contender.module == "pytorch" and torch_python else sys.executable
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **contender.environment, "PYTHONPATH": str(ROOT)}
        environment = {name: value for name, value in environment.items() if value is not None}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        command = [python, "-m", "benchmarks.worker"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)
        arguments = [network, contender.precision, batch_size]
        try:
            self.started = self._ask({"module": contender.module, "arguments": arguments, "options": contender.options})
        except Skipped:
            self.close()
            raise

    def call(self, method: str, argument) -> float:
        """What a method of the contender returns; of "take", the seconds of so many steps."""
        return self._ask([method, argument])["value"]

    def _ask(self, question) -> dict:
        try:
            print(json.dumps(question), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        said = [text.strip() for text in self.errors if text.strip()]  # the last line is Python's exception
        raise Skipped(said[-1][:200] if said else f"its process ended with {self.process.returncode}")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def main() -> None:
    """Speak over the standard streams; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    task = json.loads(sys.stdin.readline())
    start = time.perf_counter()
    contender = make(task["module"], *task["arguments"], **task["options"])
    build = time.perf_counter() - start
    first_step, libraries = contender.take(1), set(sys.modules) & {"tensorflow", "keras", "jax", "torch"}
    versions = " ".join(f"{name}={sys.modules[name].__version__}" for name in sorted(libraries))
    print(json.dumps({"build": build, "first_step": first_step, "versions": versions}), file=answers, flush=True)
    for line in sys.stdin:
        method, argument = json.loads(line)
        print(json.dumps({"value": getattr(contender, method)(argument)}), file=answers, flush=True)


if __name__ == "__main__":
    main()
