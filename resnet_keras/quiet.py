"""Import Keras as this project wants it: without TensorFlow's chatter, and with oneDNN where that is faster."""

import contextlib
import functools
import gc
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
import warnings
from pathlib import Path

from resnet_keras.errors import UserError

BACKENDS = ("tensorflow", "jax")
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow's own variable: what the user sets it to stands
# Class of CPU by the feature that makes it one, the fastest first. Beside them: "Arm" and "other".
CPU_CLASSES = {
    "amx_bf16": "AMX", "avx512_bf16": "AVX-512 with bfloat16", "avx512f": "AVX-512 without bfloat16", "avx2": "AVX2",
}  # fmt: skip
# Where TensorFlow is very slow in bfloat16, and may leave oneDNN off though float32 is twice as fast with it.
NO_BFLOAT16 = ("AVX-512 without bfloat16", "AVX2")
# Fonts with the signs of Chinese, Japanese and Korean; DejaVu Sans, which comes with matplotlib, has the others.
CJK = ("Noto Sans CJK JP", "Noto Sans JP", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei", "WenQuanYi Zen Hei")


def backend() -> str:
    """The backend that Keras uses, or will use when it is imported: $KERAS_BACKEND, else that of its keras.json.

    Raises UserError if it is none that this package trains on, or is not installed.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    name, where = os.environ.get("KERAS_BACKEND"), "KERAS_BACKEND"
    if not name:
        where = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            name = json.loads(where.read_text(encoding="utf-8")).get("backend")
    if (name := name or "tensorflow") not in BACKENDS:
        raise UserError(f"{where} asks for {name!r}: set KERAS_BACKEND to tensorflow or jax, which this package uses.")
    if importlib.util.find_spec(name) is None:
        others = [f", or set KERAS_BACKEND={other}" for other in BACKENDS if importlib.util.find_spec(other)]
        raise UserError(f"{name}, the backend of Keras, is not installed: pip install {name}{''.join(others)}.")
    return name


def load_keras() -> None:
    """Import Keras and its `backend`; what they print on the way is shown only if the import fails."""
    if "keras" in sys.modules:
        return
    name = backend()
    if cpu_class() in NO_BFLOAT16:
        os.environ.setdefault(ONEDNN, "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else an error for bfloat16, which runs all the same
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    thresholds = gc.get_threshold()
    gc.set_threshold(0)  # imports leave no garbage, and looking for it takes a third of their time
    try:
        with held_back():
            importlib.import_module("keras")
            if name == "tensorflow":  # whose chatter comes with the first touch of the devices
                importlib.import_module("tensorflow").config.list_physical_devices()
    finally:
        gc.set_threshold(*thresholds)
        gc.freeze()  # nor is any looked for in the modules from now on


def onednn() -> str:
    """Whether TensorFlow uses oneDNN: "on", "off" or, where it decides for itself, "default"."""
    value = os.environ.get(ONEDNN, "1" if cpu_class() in NO_BFLOAT16 else "")
    return {"1": "on", "true": "on", "0": "off", "false": "off"}.get(value.lower(), "default")


def cpu_class() -> str:
    """The class of this machine's CPU: one of `CPU_CLASSES`, "Arm", or "other" where the system does not tell."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "Arm"
    return next((name for feature, name in CPU_CLASSES.items() if feature in cpu_info("flags").split()), "other")


def cores() -> int:
    """Cores this process may use: those it is bound to, or fewer where TensorFlow gets fewer threads."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "") if backend() == "tensorflow" else ""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(bound, int(threads) or bound) if threads.isdigit() else bound  # TensorFlow, too, takes 0 for all


@functools.cache
def cpu_info(field: str) -> str:
    """What Linux says of the first processor, such as its "model name"; empty elsewhere."""
    with contextlib.suppress(OSError, TypeError):  # no such file, or no such field in it
        return re.search(rf"^{field}\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1]
    return ""


@contextlib.contextmanager
def drawing(*styles):
    """Have matplotlib draw in these styles, with any names: a $ is a $, and missing signs give no warning."""
    import matplotlib.font_manager
    import matplotlib.style

    fonts = ["DejaVu Sans", *[font for font in CJK if font in matplotlib.font_manager.get_font_names()][:1]]
    names = {"font.family": fonts, "text.parse_math": False}
    with matplotlib.style.context(["default", *styles, names]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@contextlib.contextmanager
def held_back():
    """Send what C++ writes to standard error into a file for a while."""
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        former = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:  # of Ctrl-C nothing needs to be said
            kept.seek(0)
            os.write(former, kept.read())
            raise
        finally:
            os.dup2(former, 2)
            os.close(former)
