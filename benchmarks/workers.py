"""Contenders as processes that stay alive and are asked in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders import Contender

ROOT = Path(__file__).parents[1]


class Skipped(Exception):
    """This contender cannot run here; the message says why."""


class Worker:
    """One contender on one network. A context manager: its process ends with the block."""

    def __init__(self, contender: Contender, network: str, batch_size: int, torch_python: str | None = None):
        """Start it, and wait for its first step.

        Raises:
            Skipped: It cannot run here.
        """
        self.contender = contender
        python = torch_python if contender.interpreter == "torch" and torch_python else sys.executable
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **contender.environment, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )  # fmt: skip
        arguments = [network, contender.precision, batch_size]
        try:
            self.started = self._ask({"module": contender.module, "arguments": arguments, "options": contender.options})
        except Skipped:
            self.stop()
            raise

    def take(self, steps: int) -> float:
        """Seconds that these steps take."""
        return self.call("take", steps)

    def call(self, method: str, argument) -> float:
        """What a method of the contender returns."""
        return self._ask([method, argument])["value"]

    def _ask(self, question) -> dict:
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Skipped(self._reason())
        return json.loads(line)

    def _reason(self) -> str:
        """The last thing that it said on standard error, which for Python is the exception."""
        self.process.wait()
        self.errors.seek(0)
        said = [line.strip() for line in self.errors if line.strip()]
        return said[-1][:200] if said else f"its process ended with {self.process.returncode}"

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()
