"""The code and the notebooks are as `make lint` wants them."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("arguments", [["check", "--output-format=concise"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "--quiet", "--no-cache", "."]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, f"`make lint` says:\n{said.stdout}{said.stderr}"
