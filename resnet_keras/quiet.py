"""Import Keras as this project wants it: without TensorFlow's chatter, and with oneDNN where that is faster."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from resnet_keras.errors import UserError

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


def load_keras() -> None:
    """Import Keras and its backend; what they print on the way is shown only if the import fails.

    Raises:
        UserError: $KERAS_BACKEND names no backend of Keras.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_back(), onednn_where_it_helps():
        try:
            importlib.import_module("keras")
        except ValueError as error:  # what Keras raises for a backend that it does not know
            given = os.environ.get("KERAS_BACKEND")
            raise UserError(f"Keras does not start with KERAS_BACKEND={given!r}: use tensorflow or jax.") from error
        if sys.modules["keras"].config.backend() == "tensorflow":
            # The chatter comes with the first touch of the devices, not with the import alone.
            importlib.import_module("tensorflow").config.list_physical_devices()


@contextlib.contextmanager
def onednn_where_it_helps():
    """Have a TensorFlow that is imported meanwhile use oneDNN, where that is faster and the user has not decided.

    TensorFlow reads the variable once. It goes afterwards, so that a process started from here decides for itself.
    """
    global onednn_switched_on
    if ONEDNN in os.environ or "tensorflow" in sys.modules or cpu_class() not in ONEDNN_HELPS:
        yield
        return
    os.environ[ONEDNN], onednn_switched_on = "1", True
    try:
        yield
    finally:
        os.environ.pop(ONEDNN, None)


def onednn() -> str:
    """Whether TensorFlow uses oneDNN in this process: "on", "off" or, where it decides for itself, "default"."""
    value = "1" if onednn_switched_on else os.environ.get(ONEDNN, "")
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
