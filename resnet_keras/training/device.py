"""What training runs on: one table of the settings that were measured as best, and how a machine is described."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from resnet_keras import quiet
from resnet_keras.errors import UserError, first_line
from resnet_keras.paths import checkout


class Settings(NamedTuple):
    """How to train on a kind of device: the faster precision, iterations a compiled call, and what was measured."""

    precision: str
    steps_per_call: int
    why: str


CPU, GPU = "CPU", "gpu"
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/dev/accel0")  # Linux: NVIDIA, WSL, AMD, TPU
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
NO_BFLOAT16 = ("AVX-512 without bfloat16", "AVX2")  # CPUs on which TensorFlow computes bfloat16 very slowly
PACKAGES = ("resnet-keras", "keras", "tensorflow", "jax", "numpy", "tensorflow-datasets", "pillow")

# Kind of device -> settings on TensorFlow; measured by `benchmarks/`: images/s are of ResNet-20, batch 128, two cores.
ON_TENSORFLOW = {
    "AMX": Settings("bfloat16", 10, "oneDNN's bfloat16 convolutions beat float32; XLA is about 3 times slower"),
    "AVX-512 with bfloat16": Settings("bfloat16", 10, "bfloat16 does 860 images/s, float32 560; XLA 3 times slower"),
    "AVX-512 without bfloat16": Settings("float32", 10, "oneDNN is twice as fast; else as AVX2"),
    "AVX2": Settings("float32", 10, "oneDNN does 300 images/s, without it 150; bfloat16 takes 5 to 7 s a step"),
    "Arm": Settings("float32", 10, "not measured"),
    "other": Settings("float32", 10, "not measured"),
    GPU: Settings("bfloat16", 50, "tensor cores take bfloat16; not measured here"),
}
ON_JAX = {
    CPU: Settings("float32", 1, "XLA's CPU convolutions run single-threaded inside a loop, so one step a call"),
    GPU: Settings("bfloat16", 200, "many steps a dispatch keep Python off the critical path"),
}


def kind() -> str:
    """The kind of the device that training uses: "gpu", or the class of the CPU."""
    return quiet.cpu_class() if accelerator() is None else GPU


def settings() -> Settings:
    """The row of the tables for Keras' current backend and this device."""
    if quiet.backend() == "jax":
        return ON_JAX[CPU if accelerator() is None else GPU]
    return ON_TENSORFLOW[kind()]


def slow_precision(precision: str) -> str | None:
    """One line of warning where a precision is far slower than the other, else None."""
    if precision == "bfloat16" and quiet.backend() == "tensorflow" and kind() in NO_BFLOAT16:
        return (
            f"This CPU ({kind()}) has no bfloat16 arithmetic: a step of ResNet-20 takes 5 to 7 seconds in bfloat16, "
            "and less than half a second with --precision float32."
        )
    return None


def start_keras(deterministic: bool = False) -> None:
    """Import Keras and its backend; on demand with deterministic kernels of TensorFlow and XLA on a GPU.

    An operation that has no deterministic kernel then fails instead of giving other bits. On a CPU runs give the same
    bits without it. It decides no run's name; `environment.json` records it.
    """
    if deterministic:
        flags = os.environ.get("XLA_FLAGS", "").split()
        os.environ["XLA_FLAGS"] = " ".join(dict.fromkeys([*flags, DETERMINISTIC]))
    quiet.load_keras()
    if deterministic and quiet.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@functools.cache
def all_names() -> tuple[str, ...]:
    """Names of all devices that the backend sees, those of the other processes of a training included.

    GPUs or TPUs where the machine has any, else CPU devices: one, unless JAX is to make more of it. Raises UserError if
    the environment asks JAX for devices that it does not find.
    """
    if quiet.backend() == "jax":
        import jax

        try:
            return tuple(CPU if device.platform == "cpu" else device.device_kind for device in jax.devices())
        except (RuntimeError, AssertionError) as error:  # an assertion of JAX' own, for cuda
            asked = os.environ.get("JAX_PLATFORMS", "")
            raise UserError(
                f"JAX finds no device with JAX_PLATFORMS={asked!r} ({first_line(error, 80)}): unset it, or use cpu."
            ) from None
    if not has_driver():  # TensorFlow takes seconds to say the same
        return (CPU,)
    quiet.load_keras()
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return tuple(detail.get("device_name", "GPU") for detail in details) or (CPU,)


def has_driver() -> bool:
    """Whether the system has a driver for an accelerator; True where that is not known."""
    return sys.platform != "linux" or any(map(os.path.exists, DRIVERS))


def accelerator() -> str | None:
    """Name of the first GPU or TPU that the backend sees, or None."""
    first = all_names()[0]
    return None if first == CPU else first


def name(count: int = 1) -> str:
    """`count` devices for people, such as "8 x NVIDIA H100"; all the cores of a CPU: "2 x AMD EPYC 9B45 (CPU)"."""
    gpu = accelerator()
    if gpu:
        return f"{count} x {gpu}" if count > 1 else gpu
    return f"{cores()} x {quiet.cpu_info('model name') or platform.processor() or platform.machine()} (CPU)"


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reset_peak_memory() -> None:
    """Start a new peak for `peak_memory_mb`, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> int | None:
    """Peak resident memory of this process in MiB; None where the system does not tell (all but Linux)."""
    with contextlib.suppress(OSError):
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
    return None


def environment() -> dict:
    """What `environment.json` holds: versions, device, commit. It names no user, host or path."""
    memory = None  # Windows has no such call
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    installed = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[package] = importlib.metadata.version(package)
    commit, dirty = revision()
    return {
        "backend": quiet.backend(),
        "device": name(),
        "kind": kind(),
        "cores": cores(),
        "memory_gb": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": installed,
        "commit": commit,
        "dirty": dirty,
        **({"onednn": quiet.onednn()} if quiet.backend() == "tensorflow" else {}),
        **({"deterministic": True} if DETERMINISTIC in os.environ.get("XLA_FLAGS", "") else {}),
    }


def revision() -> tuple[str | None, bool | None]:
    """(commit, whether the package's own files differ from it), or (None, None) outside a git checkout."""
    command = ["git", "status", "--porcelain=v2", "--branch", "--", "resnet_keras"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(command, cwd=checkout(), capture_output=True, text=True, timeout=20).stdout
        commit = re.search(r"^# branch.oid ([0-9a-f]+)$", said, re.MULTILINE)
        if checkout() and commit:
            return commit[1], not all(line.startswith("#") for line in said.splitlines())
    return None, None


def doctor() -> dict[str, str]:
    """What training would use on this machine, why, and what changes it, for people."""
    row, machine = settings(), environment()
    onednn = {}
    if "onednn" in machine:
        why = "on is faster here, as measured" if machine["kind"] in quiet.ONEDNN_HELPS else "TensorFlow decides"
        onednn = {"oneDNN": f"{machine['onednn']} ({why}; {quiet.ONEDNN}=1 or 0 changes it)"}
    threads = f"{cores()} (taskset changes it)"
    if accelerator():
        threads = "the accelerator's own"
    elif machine["backend"] == "tensorflow":
        threads = f"{os.environ.get('TF_NUM_INTRAOP_THREADS') or cores()} (TF_NUM_INTRAOP_THREADS changes it)"
    return {
        "backend": f"{machine['backend']} (KERAS_BACKEND changes it)",
        "device": f"{machine['device']}, {machine['memory_gb'] or 'unknown'} GB of memory",
        "kind": machine["kind"],
        "precision": f"{row.precision} (--precision changes it)",
        "steps a call": f"{row.steps_per_call} (--steps-per-call changes it)",
        **onednn,
        "threads": threads,
        "why": row.why,
        "python": machine["python"],
        "packages": ", ".join(f"{package} {version}" for package, version in machine["packages"].items()),
    }
