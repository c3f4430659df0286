"""Import Keras as this project wants it: without TensorFlow's chatter, and with oneDNN where that is faster."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from resnet_keras.errors import UserError

BACKENDS = ("tensorflow", "jax")
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow's own variable: what the user sets it to stands
# Class of CPU by the feature that makes it one, the fastest first. Beside them: "Arm" and "other".
CLASSES = {
    "amx_bf16": "AMX",
    "avx512_bf16": "AVX-512 with bfloat16",
    "avx512f": "AVX-512 without bfloat16",
    "avx2": "AVX2",
}
# Where it was measured to be faster, and TensorFlow may leave it off; `training/device.py` says by how much.
ONEDNN_HELPS = ("AVX-512 without bfloat16", "AVX2")
onednn_switched_on = False  # whether `load_keras` has done so in this process


def backend() -> str:
    """The backend that Keras uses, or will use when it is imported: $KERAS_BACKEND, else that of its keras.json.

    Raises:
        UserError: It is none that this package trains on, or is not installed.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    name, home = os.environ.get("KERAS_BACKEND"), os.environ.get("KERAS_HOME") or "~/.keras"
    where = "KERAS_BACKEND"
    if not name:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            where = Path(home).expanduser() / "keras.json"
            name = json.loads(where.read_text(encoding="utf-8")).get("backend")
    name = name or "tensorflow"
    if name not in BACKENDS:
        raise UserError(
            f"{where} asks for {name!r}: this package trains on tensorflow or jax; set KERAS_BACKEND to one."
        )
    if importlib.util.find_spec(name) is None:
        others = [f", or set KERAS_BACKEND={other}" for other in BACKENDS if importlib.util.find_spec(other)]
        raise UserError(f"{name}, the backend of Keras, is not installed: pip install {name}{''.join(others)}.")
    return name


def load_keras() -> None:
    """Import Keras and its backend; what they print on the way is shown only if the import fails.

    Raises:
        UserError: See `backend`.
    """
    if "keras" in sys.modules:
        return
    name = backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_back(), onednn_where_it_helps():
        importlib.import_module("keras")
        if name == "tensorflow":
            # The chatter comes with the first touch of the devices, not with the import alone.
            importlib.import_module("tensorflow").config.list_physical_devices()


@contextlib.contextmanager
def onednn_where_it_helps():
    """Have a TensorFlow that is imported meanwhile use oneDNN, where that is faster and the user has not decided.

    TensorFlow reads the variable once. It goes afterwards, so that a process started from here decides for itself.
    """
    global onednn_switched_on
    if "tensorflow" in sys.modules or not wants_onednn():
        yield
        return
    os.environ[ONEDNN], onednn_switched_on = "1", True
    try:
        yield
    finally:
        os.environ.pop(ONEDNN, None)


def wants_onednn() -> bool:
    """Whether `load_keras` switches oneDNN on: where it is faster, unless the user has decided."""
    return ONEDNN not in os.environ and cpu_class() in ONEDNN_HELPS


def onednn() -> str:
    """Whether TensorFlow uses oneDNN in this process, or will when it is imported.

    "on", "off" or, where TensorFlow decides for itself, "default".
    """
    on = onednn_switched_on or ("tensorflow" not in sys.modules and wants_onednn())
    value = "1" if on else os.environ.get(ONEDNN, "")
    return {"1": "on", "true": "on", "0": "off", "false": "off"}.get(value.lower(), "default")


def cpu_class() -> str:
    """The class of this machine's CPU: one of `CLASSES`, "Arm", or "other" where the system does not tell."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "Arm"
    return next((name for feature, name in CLASSES.items() if feature in cpu_features()), "other")


@functools.cache
def cpu_features() -> frozenset[str]:
    """The processor's features by Linux' names; empty where the system does not list them."""
    with contextlib.suppress(OSError):
        match = re.search(r"^flags\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return frozenset(match[1].split() if match else ())
    return frozenset()


@contextlib.contextmanager
def held_back():
    """Send what C++ writes to standard error into a file for a while."""
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        former = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(former, kept.read())
            raise
        finally:
            os.dup2(former, 2)
            os.close(former)
