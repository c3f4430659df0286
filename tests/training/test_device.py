"""What a device is trained with, and what overrides it."""

import os
import subprocess

import pytest

from resnet_keras import quiet
from resnet_keras.training import device
from tests.conftest import python


@pytest.fixture
def cpu_with(monkeypatch):
    """A function that gives this machine a CPU of these features, under TensorFlow."""
    monkeypatch.setattr(quiet, "backend", lambda: "tensorflow")
    monkeypatch.setattr(device, "accelerator", lambda: None)
    return lambda features: monkeypatch.setattr(quiet, "cpu_info", lambda field: features)


def test_the_doctor_says_what_and_why(cpu_with, monkeypatch):
    cpu_with("avx2")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    shown, row = device.doctor(), device.settings()
    assert shown["device"].startswith("1 x avx2 (CPU)")
    assert (shown["kind"], shown["why"]) == ("AVX2", row.why) and "(on is faster here" in shown["oneDNN"]
    assert shown["precision"].startswith(row.precision) and shown["threads"].startswith("1 (TF_NUM_INTRAOP_THREADS")


@pytest.mark.parametrize(("features", "kind", "precision", "warns"), [
    ("avx2", "AVX2", "float32", True),
    ("avx2 avx512f", "AVX-512 without bfloat16", "float32", True),
    ("avx2 avx512f avx512_bf16", "AVX-512 with bfloat16", "bfloat16", False),
    ("avx2 avx512f avx512_bf16 amx_bf16", "AMX", "bfloat16", False),
    ("sse2", "other", "float32", False),
])  # fmt: skip
def test_the_features_of_a_cpu_decide(cpu_with, features, kind, precision, warns):
    cpu_with(features)
    assert (device.kind(), device.settings().precision) == (kind, precision)
    assert (kind in quiet.NO_BFLOAT16) == warns
    assert set(device.ON_TENSORFLOW) == {*quiet.CPU_CLASSES.values(), "Arm", "other", device.GPU}


def test_a_commit_is_named_and_a_change_to_the_package_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "checkout", lambda: tmp_path)
    assert device.revision() == (None, None)
    file = tmp_path / "resnet_keras" / "a.py"
    file.parent.mkdir()
    file.write_text("1")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "a")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)
    (tmp_path / "results").write_text("")
    commit, dirty = device.revision()
    assert len(commit) == 40 and dirty is False
    file.write_text("2")
    assert device.revision() == (commit, True)


def test_processes_share_the_cores_of_a_cpu_and_nothing_else(monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(quiet, "cores", lambda: 5)
    for name, backend, wanted, jobs, threads in (
        ("a GPU", "tensorflow", 2, 1, ""), (None, "jax", 2, 1, ""), (None, "tensorflow", 1, 1, ""),
        (None, "tensorflow", 2, 2, "2"), (None, "tensorflow", 9, 5, "1"),
    ):  # fmt: skip
        monkeypatch.setattr(device, "accelerator", lambda name=name: name)
        monkeypatch.setattr(quiet, "backend", lambda backend=backend: backend)
        assert device.share_cores(wanted) == jobs and os.environ["TF_NUM_INTRAOP_THREADS"] == threads


# Prints the environment that a TensorFlow would see when `load_keras` imports it, and if garbage is collected after.
ONEDNN = """
import gc, importlib.abc, os, sys
from resnet_keras import quiet

class Stop(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow" and "keras" in sys.modules:
            raise ImportError(os.environ.get(quiet.ONEDNN))

quiet.cpu_info = lambda field: sys.argv[1]
sys.meta_path.insert(0, Stop())
try:
    quiet.load_keras()
except ImportError as error:
    print(error, quiet.onednn(), gc.get_threshold()[0] > 0)
"""


@pytest.mark.parametrize(("features", "variables", "expected"), [
    ("avx2 avx512f", {}, "1 on True"),
    ("avx2", {quiet.ONEDNN: "0"}, "0 off True"),
    ("avx2 avx512f avx512_bf16", {}, "None default True"),
])  # fmt: skip
def test_onednn_is_switched_on_where_it_helps_unless_the_user_decides(features, variables, expected):
    asked = python("-c", ONEDNN, features, KERAS_BACKEND="tensorflow", **variables)
    assert asked.stdout.strip() == expected, asked.stderr


@pytest.mark.parametrize(("variables", "said"), [
    ({"KERAS_BACKEND": "openvino"}, "KERAS_BACKEND asks for 'openvino': set KERAS_BACKEND to tensorflow or jax"),
    ({"KERAS_HOME": "{home}"}, "keras.json asks for 'torch'"),
    ({"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cuda"}, "JAX finds no device with JAX_PLATFORMS='cuda'"),
    ({"PYTHONPATH": "{home}"}, "tensorflow, the backend of Keras, is not installed: pip install tensorflow"),
])  # fmt: skip
def test_a_wrong_environment_is_named_in_one_line(tmp_path, variables, said):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\nold = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'tensorflow' else old(name, *rest)\n"
    )
    if "JAX_PLATFORMS" in variables:
        pytest.importorskip("jax")
    variables = {name: value.format(home=tmp_path) for name, value in variables.items()}
    for words in (["doctor"], ["predict", "resnet20-cifar10_jpeg", tmp_path / "keras.json"]):
        ended = python("-m", "resnet_keras", *words, **variables)
        assert ended.returncode == 2 and ended.stderr.startswith("resnet-keras: ") and ended.stderr.count("\n") == 1
        assert said in ended.stderr
