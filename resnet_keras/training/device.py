"""What the device is, and the settings that were measured as best for it: one table to read and override."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from resnet_keras import quiet
from resnet_keras.errors import UserError
from resnet_keras.quiet import cpu_class


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train on a kind of device.

    Attributes:
        precision: The faster of the two precisions there.
        steps_per_call: Iterations a compiled call.
        xla: Whether the step is compiled with XLA.
        why: What was measured.
    """

    precision: str
    steps_per_call: int
    xla: bool
    why: str


XLA_SWITCH = "RESNET_KERAS_XLA"  # environment variable: on or off instead of what the table says

NO_BFLOAT16 = ("AVX-512 without bfloat16", "AVX2")  # CPUs on which TensorFlow computes bfloat16 very slowly
_LOOPS = "XLA's CPU convolutions run single-threaded inside a loop, so one step a call"

# (backend, kind of device) -> settings. `benchmarks/` measures them; images/s are of ResNet-20, batch 128, two cores.
SETTINGS = {
    ("tensorflow", "AVX2"): Settings(
        "float32", 10, False, "oneDNN is twice as fast (300 against 150 images/s); a step in bfloat16 takes 5 to 7 s"
    ),
    ("tensorflow", "AVX-512 without bfloat16"): Settings(
        "float32", 10, False, "oneDNN is twice as fast, on another CPU held to these instructions; otherwise as AVX2"
    ),
    ("tensorflow", "AVX-512 with bfloat16"): Settings(
        "bfloat16", 10, False, "bfloat16 is 1.5 times as fast as float32 (860 against 560 images/s); XLA 3 times slower"
    ),
    ("tensorflow", "AMX"): Settings(
        "bfloat16", 10, False, "oneDNN's bfloat16 convolutions beat float32; XLA is about 3 times slower"
    ),
    ("tensorflow", "Arm"): Settings("float32", 10, False, "not measured on this class of CPU"),
    ("tensorflow", "other"): Settings("float32", 10, False, "not measured on this class of CPU"),
    ("tensorflow", "gpu"): Settings("bfloat16", 50, False, "tensor cores take bfloat16; not measured here"),
    ("jax", "AVX2"): Settings("float32", 1, True, f"not measured on this class of CPU; elsewhere {_LOOPS}"),
    ("jax", "AVX-512 without bfloat16"): Settings(
        "float32", 1, True, f"not measured on this class of CPU; elsewhere {_LOOPS}"
    ),
    ("jax", "AVX-512 with bfloat16"): Settings("float32", 1, True, _LOOPS),
    ("jax", "AMX"): Settings("float32", 1, True, _LOOPS),
    ("jax", "Arm"): Settings("float32", 1, True, f"not measured on this class of CPU; elsewhere {_LOOPS}"),
    ("jax", "other"): Settings("float32", 1, True, f"not measured on this class of CPU; elsewhere {_LOOPS}"),
    ("jax", "gpu"): Settings("bfloat16", 200, True, "many steps a dispatch keep Python off the critical path"),
}


def kind() -> str:
    """The kind of the device that training uses: "gpu", or the class of the CPU."""
    return cpu_class() if accelerator() is None else "gpu"


def onednn() -> str:
    """Whether TensorFlow uses oneDNN, and why, for people."""
    why = {
        "on": "as measured to be faster here, or as you asked",
        "off": "as you asked",
        "default": "as TensorFlow decides for this CPU",
    }[quiet.onednn()]
    return f"{quiet.onednn()} ({why}; {quiet.ONEDNN}=1 or 0 changes it)"


def slow_precision(precision: str) -> str | None:
    """One line of warning where a precision is far slower than the other, else None."""
    import keras

    if precision == "bfloat16" and keras.config.backend() == "tensorflow" and kind() in NO_BFLOAT16:
        return (
            f"This CPU ({kind()}) has no bfloat16 arithmetic: a step of ResNet-20 takes 5 to 7 seconds in bfloat16, "
            "and less than half a second with --precision float32."
        )
    return None


def settings() -> Settings:
    """The table's row for Keras' current backend and this device, with what the environment says of XLA.

    Raises:
        UserError: `RESNET_KERAS_XLA` is neither on nor off, or off on JAX, which has nothing else.
    """
    import keras

    backend = keras.config.backend()
    found = SETTINGS.get((backend, kind())) or Settings("float32", 1, False, f"{backend} has not been measured")
    return dataclasses.replace(found, xla=_xla(backend, found.xla))


def _xla(backend: str, measured: bool) -> bool:
    switch = os.environ.get(XLA_SWITCH)
    if switch not in (None, "", "on", "off"):
        raise UserError(f"{XLA_SWITCH}={switch!r}: set it to on or off.")
    if switch == "off" and backend == "jax":
        raise UserError(f"{XLA_SWITCH}=off: JAX always compiles with XLA; unset it, or set KERAS_BACKEND=tensorflow.")
    return switch == "on" if switch else measured


def accelerator() -> str | None:
    """Name of the first GPU or TPU that the backend sees, or None."""
    first = all_names()[0]
    return None if first == CPU else first


CPU = "CPU"


@functools.cache
def all_names() -> tuple[str, ...]:
    """Names of all devices that the backend sees, those of the other processes of a training included.

    GPUs or TPUs where there are any, else CPU devices: one, unless JAX was told to make more of it.
    """
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
        return tuple(detail.get("device_name", "GPU") for detail in details) or (CPU,)
    if backend == "jax":
        import jax

        return tuple(CPU if device.platform == "cpu" else device.device_kind for device in jax.devices())
    return (CPU,)


def name(count: int = 1) -> str:
    """`count` devices for people, such as "8 x NVIDIA H100"; all the cores of a CPU: "2 x AMD EPYC 9B45 (CPU)"."""
    found = accelerator()
    if found:
        return f"{count} x {found}" if count > 1 else found
    return f"{cores()} x {cpu_name()} (CPU)"


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> str:
    """How many threads a step uses, and what changes that, for people."""
    import keras

    if accelerator() is not None:
        return "the accelerator's own"
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        chosen = tf.config.threading.get_intra_op_parallelism_threads()
        chosen = chosen or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
        return f"{chosen or cores()} (TF_NUM_INTRAOP_THREADS changes it)"
    return f"{cores()} (as many as the process may use; taskset changes it)"


@functools.cache
def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    if sys.platform == "darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return asked.stdout.strip() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return match[1] if match else platform.processor() or platform.machine()


@functools.cache
def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""
