"""What training runs on: one table of the settings that were measured as best, and how a machine is described."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from resnet_keras import quiet
from resnet_keras.errors import UserError, first_line
from resnet_keras.paths import checkout


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train on a kind of device.

    Attributes:
        precision: The faster of the two precisions.
        steps_per_call: Iterations a compiled call.
        xla: Whether the step is compiled with XLA.
        why: What was measured.
    """

    precision: str
    steps_per_call: int
    xla: bool
    why: str


CPU, GPU = "CPU", "gpu"
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/dev/accel0")  # Linux: NVIDIA, WSL, AMD, TPU
XLA_SWITCH = "RESNET_KERAS_XLA"  # environment variable: on or off instead of what the table says
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
NO_BFLOAT16 = ("AVX-512 without bfloat16", "AVX2")  # CPUs on which TensorFlow computes bfloat16 very slowly
_ONE_STEP = "XLA's CPU convolutions run single-threaded inside a loop, so one step a call"

# Class of CPU: the faster precision on TensorFlow; what was measured on TensorFlow, by `benchmarks/`: images/s are of
# ResNet-20, batch 128, on two cores; what was measured on JAX.
CPUS = {
    "AMX": ("bfloat16", "oneDNN's bfloat16 convolutions beat float32; XLA is about 3 times slower", _ONE_STEP),
    "AVX-512 with bfloat16": (
        "bfloat16", "bfloat16 is 1.5 times as fast as float32 (860 against 560 images/s); XLA 3 times slower", _ONE_STEP
    ),
    "AVX-512 without bfloat16": (
        "float32", "oneDNN is twice as fast, on a newer CPU held to these instructions; else as AVX2", "not measured"
    ),
    "AVX2": (
        "float32", "oneDNN is twice as fast (300 against 150 images/s); bfloat16 takes 5 to 7 s a step", "not measured"
    ),
    "Arm": ("float32", "not measured", "not measured"),
    "other": ("float32", "not measured", "not measured"),
}  # fmt: skip
GPUS = {
    "tensorflow": Settings("bfloat16", 50, False, "tensor cores take bfloat16; not measured here"),
    "jax": Settings("bfloat16", 200, True, "many steps a dispatch keep Python off the critical path"),
}


def kind() -> str:
    """The kind of the device that training uses: "gpu", or the class of the CPU."""
    return quiet.cpu_class() if accelerator() is None else GPU


def settings() -> Settings:
    """The table's row for Keras' current backend and this device, with what the environment says of XLA.

    Raises:
        UserError: `RESNET_KERAS_XLA` is neither on nor off, or off on JAX, which has nothing else.
    """
    backend, switch = quiet.backend(), os.environ.get(XLA_SWITCH, "")
    if switch not in ("", "on", "off"):
        raise UserError(f"{XLA_SWITCH}={switch!r}: set it to on or off.")
    if switch == "off" and backend == "jax":
        raise UserError(f"{XLA_SWITCH}=off: JAX always compiles with XLA; unset it, or set KERAS_BACKEND=tensorflow.")
    precision, on_tensorflow, on_jax = CPUS[quiet.cpu_class()]
    cpu = {
        "tensorflow": Settings(precision, 10, False, on_tensorflow),
        "jax": Settings("float32", 1, True, on_jax),
    }
    row = (GPUS if kind() == GPU else cpu)[backend]
    return dataclasses.replace(row, xla=switch == "on") if switch else row


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

    GPUs or TPUs where the machine has any, else CPU devices: one, unless JAX was told to make more of it.

    Raises:
        UserError: The environment asks JAX for devices that it does not find.
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
    return f"{cores()} x {_cpu_name()} (CPU)"


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _cpu_name() -> str:
    if sys.platform == "darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return asked.stdout.strip() or platform.machine()
    with contextlib.suppress(OSError):
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if match:
            return match[1]
    return platform.processor() or platform.machine()


def reset_peak_memory() -> None:
    """Start a new peak for `peak_memory_mb`, where the system can (Linux); elsewhere a peak is the process's whole."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> int | None:
    """Peak resident memory of this process in MiB; None on Windows, which does not tell Python."""
    with contextlib.suppress(OSError):
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
    with contextlib.suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20  # bytes on a Mac
    return None


PACKAGES = ("resnet-keras", "keras", "tensorflow", "jax", "numpy", "tensorflow-datasets", "pillow")


def environment() -> dict:
    """What `environment.json` holds: versions, device, commit. It names no user, host or path."""
    commit, dirty = revision()
    memory = None  # Windows has no such call
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return {
        "backend": quiet.backend(),
        "device": name(),
        "kind": kind(),
        "cores": cores(),
        "memory_gb": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions(),
        "commit": commit,
        "dirty": dirty,
        **({"onednn": quiet.onednn()} if quiet.backend() == "tensorflow" else {}),
        **({"deterministic": True} if DETERMINISTIC in os.environ.get("XLA_FLAGS", "") else {}),
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that bear on a result."""
    installed = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[package] = importlib.metadata.version(package)
    return installed


def revision() -> tuple[str | None, bool | None]:
    """(commit, whether the package's own files differ from it), or (None, None) outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", "resnet_keras")
    return (commit.strip(), bool(changes)) if commit and changes is not None else (None, None)


def _git(*arguments: str) -> str | None:
    try:
        asked = subprocess.run(["git", *arguments], cwd=checkout(), capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout if checkout() and asked.returncode == 0 else None


def doctor() -> dict[str, str]:
    """What training would use on this machine, why, and what changes it, for people."""
    row, machine = settings(), environment()
    on_jax = machine["backend"] == "jax"
    xla = "on (JAX has nothing else)" if on_jax else f"{'on' if row.xla else 'off'} ({XLA_SWITCH}=on or off changes it)"
    return {
        "backend": f"{machine['backend']} (KERAS_BACKEND changes it)",
        "device": f"{machine['device']}, {machine['memory_gb'] or 'unknown'} GB of memory",
        "kind": machine["kind"],
        "precision": f"{row.precision} (--precision changes it)",
        "steps a call": f"{row.steps_per_call} (--steps-per-call changes it)",
        "XLA": xla,
        **({} if on_jax else {"oneDNN": f"{quiet.onednn()} ({_why_onednn()}; {quiet.ONEDNN}=1 or 0 changes it)"}),
        "threads": _threads(on_jax),
        "why": row.why,
        "python": machine["python"],
        "packages": ", ".join(f"{package} {version}" for package, version in machine["packages"].items()),
    }


def _why_onednn() -> str:
    if quiet.onednn_switched_on or quiet.wants_onednn():
        return "measured to be faster here"
    return "TensorFlow decides" if quiet.onednn() == "default" else "as you asked"


def _threads(on_jax: bool) -> str:
    if accelerator() is not None:
        return "the accelerator's own"
    if on_jax:
        return f"{cores()} (as many as the process may use; taskset changes it)"
    tf, count = sys.modules.get("tensorflow"), os.environ.get("TF_NUM_INTRAOP_THREADS")
    count = (tf and tf.config.threading.get_intra_op_parallelism_threads()) or count
    return f"{count or cores()} (TF_NUM_INTRAOP_THREADS changes it)"
