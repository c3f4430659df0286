"""What a device is trained with, and what overrides it."""

import os
import subprocess
import sys

import pytest

from resnet_keras import quiet
from resnet_keras.errors import UserError
from resnet_keras.training import device
from tests.conftest import ROOT


@pytest.fixture
def on_a_cpu_of_tensorflow(monkeypatch):
    monkeypatch.setattr(quiet, "backend", lambda: "tensorflow")
    monkeypatch.setattr(device, "accelerator", lambda: None)
    monkeypatch.delenv(device.XLA_SWITCH, raising=False)


def test_the_table_decides_and_the_environment_overrides(on_a_cpu_of_tensorflow, monkeypatch):
    assert not device.settings().xla
    monkeypatch.setenv(device.XLA_SWITCH, "on")
    assert device.settings().xla
    assert "on (RESNET_KERAS_XLA" in device.doctor()["XLA"]


@pytest.mark.parametrize(("backend", "value"), [("tensorflow", "yes"), ("jax", "off")])
def test_a_switch_that_cannot_be_is_refused(on_a_cpu_of_tensorflow, monkeypatch, backend, value):
    monkeypatch.setattr(quiet, "backend", lambda: backend)
    monkeypatch.setenv(device.XLA_SWITCH, value)
    with pytest.raises(UserError, match=f"RESNET_KERAS_XLA={value}|'{value}'"):
        device.settings()


def test_the_doctor_says_what_and_why(on_a_cpu_of_tensorflow, monkeypatch):
    monkeypatch.setattr(quiet, "cpu_features", lambda: frozenset({"avx2"}))
    shown = device.doctor()
    assert shown["kind"] == "AVX2" and shown["oneDNN"].startswith(f"{quiet.onednn()} (")
    chosen = device.settings()
    assert shown["precision"].startswith(chosen.precision) and "--precision" in shown["precision"]
    assert shown["steps a call"].startswith(f"{chosen.steps_per_call} ") and "--steps-per-call" in shown["steps a call"]
    assert "KERAS_BACKEND" in shown["backend"] and shown["why"] == chosen.why and "THREADS" in shown["threads"]


def test_a_threads_variable_is_seen_by_the_doctor(on_a_cpu_of_tensorflow, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert device.doctor()["threads"].startswith("7 (TF_NUM_INTRAOP_THREADS")


@pytest.mark.parametrize(
    ("features", "kind", "precision", "warns"),
    [
        ("avx2", "AVX2", "float32", True),
        ("avx2 avx512f", "AVX-512 without bfloat16", "float32", True),
        ("avx2 avx512f avx512_bf16", "AVX-512 with bfloat16", "bfloat16", False),
        ("avx2 avx512f avx512_bf16 amx_bf16", "AMX", "bfloat16", False),
        ("sse2", "other", "float32", False),
    ],
)
def test_the_features_of_a_cpu_decide(on_a_cpu_of_tensorflow, monkeypatch, features, kind, precision, warns):
    monkeypatch.setattr(quiet, "cpu_features", lambda: frozenset(features.split()))
    assert (device.kind(), device.settings().precision) == (kind, precision)
    assert bool(device.slow_precision("bfloat16")) == warns
    assert device.slow_precision("float32") is None


def test_every_class_of_cpu_has_a_row():
    assert set(device.CPUS) == {*quiet.CLASSES.values(), "Arm", "other"}
    assert {*quiet.ONEDNN_HELPS, *device.NO_BFLOAT16} <= set(device.CPUS)


# What a TensorFlow that is imported by `load_keras` finds in its environment, and what a later process does.
ONEDNN = """
import importlib.abc, os, sys
from resnet_keras import quiet

class Stop(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow" and "keras" in sys.modules:
            raise ImportError(os.environ.get(quiet.ONEDNN))

quiet.cpu_features = lambda: frozenset(sys.argv[1:])
sys.meta_path.insert(0, Stop())
try:
    quiet.load_keras()
except ImportError as error:
    print(error, quiet.onednn(), os.environ.get(quiet.ONEDNN))
"""


@pytest.mark.parametrize(
    ("features", "variable", "expected"),
    [
        (["avx2"], None, "1 on None"),
        (["avx2", "avx512f"], None, "1 on None"),
        (["avx2"], "0", "0 off 0"),
        (["avx2", "avx512f", "avx512_bf16"], None, "None default None"),
        ([], None, "None default None"),
    ],
)
def test_onednn_is_switched_on_where_it_helps_unless_the_user_decides(features, variable, expected):
    variables = {"KERAS_BACKEND": "tensorflow", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    variables |= {} if variable is None else {quiet.ONEDNN: variable}
    asked = subprocess.run(
        [sys.executable, "-c", ONEDNN, *features], env=variables, capture_output=True, text=True, timeout=120
    )
    assert asked.stdout.strip() == expected, asked.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KERAS_BACKEND": "openvino"}, "KERAS_BACKEND asks for 'openvino': this package trains on tensorflow or jax"),
        ({"KERAS_HOME": "{home}"}, "keras.json asks for 'torch'"),
        ({"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cuda"}, "JAX finds no device with JAX_PLATFORMS='cuda'"),
        ({"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "tpu"}, "JAX finds no device with JAX_PLATFORMS='tpu'"),
        ({"MPLBACKEND": "nonsense"}, "tensorflow"),
        ({"PYTHONPATH": "{home}"}, "tensorflow, the backend of Keras, is not installed: pip install tensorflow"),
    ],
)
def test_a_wrong_environment_is_named_in_one_line(tmp_path, variables, said):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\nold = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'tensorflow' else old(name, *rest)\n"
    )
    variables = {name: value.format(home=tmp_path) for name, value in variables.items()}
    if "jax" in variables.values():
        pytest.importorskip("jax")
    outer = {name: value for name, value in os.environ.items() if name not in ("KERAS_BACKEND", "JAX_PLATFORMS")}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), variables.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "resnet_keras", "doctor"]
    ended = subprocess.run(command, env=outer | variables, capture_output=True, text=True, timeout=120)
    out = ended.stdout + ended.stderr
    assert said in out and "Traceback" not in out
    assert ended.returncode == (0 if "MPLBACKEND" in variables else 2)
    assert len(ended.stderr.splitlines()) == (ended.returncode != 0)
