"""What a device is trained with, and what overrides it."""

import dataclasses
import subprocess
import sys

import pytest

keras = pytest.importorskip("keras")

from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.training import device, environment  # noqa: E402


@pytest.fixture
def on_a_cpu_of_tensorflow(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    monkeypatch.setattr(device, "accelerator", lambda: None)
    monkeypatch.delenv(device.XLA_SWITCH, raising=False)


def test_the_table_decides_and_the_environment_overrides(on_a_cpu_of_tensorflow, monkeypatch):
    assert not device.settings().xla
    monkeypatch.setenv(device.XLA_SWITCH, "on")
    assert device.settings() == dataclasses.replace(device.SETTINGS["tensorflow", device.kind()], xla=True)
    assert "on (RESNET_KERAS_XLA" in environment.doctor()["XLA"]


@pytest.mark.parametrize(("backend", "value"), [("tensorflow", "yes"), ("jax", "off")])
def test_a_switch_that_cannot_be_is_refused(on_a_cpu_of_tensorflow, monkeypatch, backend, value):
    monkeypatch.setattr(keras.config, "backend", lambda: backend)
    monkeypatch.setenv(device.XLA_SWITCH, value)
    with pytest.raises(UserError, match=f"RESNET_KERAS_XLA={value}|'{value}'"):
        device.settings()


def test_the_doctor_says_what_and_why(on_a_cpu_of_tensorflow):
    shown = environment.doctor()
    chosen = device.settings()
    assert shown["precision"].startswith(chosen.precision) and "--precision" in shown["precision"]
    assert shown["steps a call"].startswith(f"{chosen.steps_per_call} ") and "--steps-per-call" in shown["steps a call"]
    assert "KERAS_BACKEND" in shown["backend"] and shown["why"] == chosen.why and "THREADS" in shown["threads"]


def test_a_threads_variable_is_seen_by_the_doctor():
    code = (
        "from resnet_keras.quiet import load_keras; load_keras()\n"
        "from resnet_keras.training import device; print(device.threads())"
    )
    variables = {"KERAS_BACKEND": "tensorflow", "TF_NUM_INTRAOP_THREADS": "1", "PATH": "/usr/bin:/bin"}
    asked = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)
    assert asked.stdout.startswith("1 (TF_NUM_INTRAOP_THREADS"), asked.stderr
