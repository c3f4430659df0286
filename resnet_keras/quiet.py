"""Import Keras as this project wants it: without TensorFlow's chatter, and with oneDNN where that is faster."""

import contextlib
import functools
import importlib
import os
import platform
import re
import sys
import warnings
from pathlib import Path

from resnet_keras.errors import UserError, first_line

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow's own variable: what the user sets it to stands
# Class of CPU by the feature that makes it one, the fastest first. Beside them: "Arm" and "other".
CLASSES = {
    "amx_bf16": "AMX", "avx512_bf16": "AVX-512 with bfloat16", "avx512f": "AVX-512 without bfloat16", "avx2": "AVX2",
}  # fmt: skip
# Where it was measured to be faster, and TensorFlow may leave it off; `training/device.py` says by how much.
ONEDNN_HELPS = ("AVX-512 without bfloat16", "AVX2")


def backend() -> str:
    """The backend that Keras uses; raises UserError as `load_keras`, which it calls."""
    load_keras()
    return sys.modules["keras"].config.backend()


def load_keras() -> None:
    """Import Keras and its backend without what they print; UserError if that fails, or we do not train on it."""
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if cpu_class() in ONEDNN_HELPS:
        os.environ.setdefault(ONEDNN, "1")
    try:
        with held_back():
            import keras

            name = keras.config.backend()
            if name == "tensorflow":  # whose chatter comes with the first touch of the devices
                importlib.import_module("tensorflow").config.list_physical_devices()
        if name not in ("tensorflow", "jax"):
            raise ValueError(f"its backend is {name}")
    except (ImportError, ValueError) as error:
        remedy = "install tensorflow or jax, on which this package trains, and set KERAS_BACKEND to it"
        raise UserError(f"Keras cannot be used ({first_line(error)}): {remedy}.") from error


def onednn() -> str:
    """Whether TensorFlow, once it is loaded, uses oneDNN: "on", "off", or "default" where it decides for itself."""
    return {"1": "on", "true": "on", "0": "off", "false": "off"}.get(os.environ.get(ONEDNN, "").lower(), "default")


def cpu_class() -> str:
    """The class of this machine's CPU: one of `CLASSES`, "Arm", or "other" where the system does not tell."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "Arm"
    features = cpu_info("flags").split()
    return next((name for feature, name in CLASSES.items() if feature in features), "other")


@functools.cache
def cpu_info(field: str) -> str:
    """What Linux says of the first processor, such as its "model name"; empty elsewhere."""
    with contextlib.suppress(OSError, TypeError):  # no such file, or no such field in it
        return re.search(rf"^{field}\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1]
    return ""


@contextlib.contextmanager
def drawing(*styles):
    """Have matplotlib draw in these styles, with any names: a $ is a $, and missing signs give no warning."""
    import matplotlib.style

    names = {"font.family": "DejaVu Sans", "text.parse_math": False}
    with matplotlib.style.context(["default", *styles, names]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@contextlib.contextmanager
def held_back():
    """Drop what C++ writes to standard error for a while."""
    sys.stderr.flush()
    former = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(former, 2)
        os.close(former)
