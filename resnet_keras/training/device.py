"""What training runs on: settings measured as best, how a machine is described, one network over several devices.

Several devices are data parallel, on JAX: each holds the network and takes its share of each batch; XLA adds up the
gradients, and BN's sums where its group of images lies on several devices, which changes the order of sums alone.
Several processes, on one machine or many, are one such training: each runs the same program on the same numbers, and
what all but the first print and write is thrown away.
"""

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from resnet_keras import quiet
from resnet_keras.errors import ProcessLost, UserError, first_line
from resnet_keras.files import checkout
from resnet_keras.store import RunFolder


class Settings(NamedTuple):
    """How to train on a kind of device: the faster precision, iterations a compiled call, and what was measured."""

    precision: str
    steps_per_call: int
    why: str


CPU, GPU = "CPU", "gpu"
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/dev/accel0")  # Linux: NVIDIA, WSL, AMD, TPU
PACKAGES = ("resnet-keras", "keras", "tensorflow", "jax", "numpy", "tensorflow-datasets", "pillow")
PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"

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
    return ON_JAX.get(kind(), ON_JAX[CPU]) if quiet.backend() == "jax" else ON_TENSORFLOW[kind()]


def share_cores(jobs: int) -> int:
    """How many of `jobs` processes can train at a time (1 on a GPU or JAX); each gets its share of the cores."""
    jobs = 1 if quiet.backend() == "jax" or accelerator() else min(jobs, quiet.cores())
    if jobs > 1:  # before TensorFlow computes anything
        os.environ |= {"TF_NUM_INTRAOP_THREADS": str(quiet.cores() // jobs), "TF_NUM_INTEROP_THREADS": "1"}
    return jobs


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
            problem = f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')!r} ({first_line(error, 80)})"
            raise UserError(f"JAX finds no device with {problem}: unset it, or use cpu.") from None
    if sys.platform == "linux" and not any(map(os.path.exists, DRIVERS)):  # TensorFlow takes seconds to say the same
        return (CPU,)
    quiet.load_keras()
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return tuple(detail.get("device_name", "GPU") for detail in details) or (CPU,)


def accelerator() -> str | None:
    """Name of the first GPU or TPU that the backend sees, or None."""
    return None if all_names()[0] == CPU else all_names()[0]


def name(count: int = 1) -> str:
    """`count` devices for people, such as "8 x NVIDIA H100"; all the cores of a CPU: "2 x AMD EPYC 9B45 (CPU)"."""
    if gpu := accelerator():
        return f"{count} x {gpu}" if count > 1 else gpu
    return f"{quiet.cores()} x {quiet.cpu_info('model name') or platform.processor() or platform.machine()} (CPU)"


def environment() -> dict:
    """What `environment.json` holds: versions, device, commit. It names no user, host or path."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0  # Windows
    installed = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[package] = importlib.metadata.version(package)
    commit, dirty = revision()
    return {
        "backend": quiet.backend(), "device": name(), "kind": kind(), "cores": quiet.cores(),
        "memory_gb": round(memory / 2**30) or None, "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "packages": installed, "commit": commit, "dirty": dirty,
        **({"onednn": quiet.onednn()} if quiet.backend() == "tensorflow" else {}),
    }  # fmt: skip


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
    row, machine, threads = settings(), environment(), os.environ.get("TF_NUM_INTRAOP_THREADS") or quiet.cores()
    unseen = "not seen by the backend: pip install 'tensorflow[and-cuda]', or 'jax[cuda12]'"
    onednn = "on is faster here, as measured" if machine["kind"] in quiet.NO_BFLOAT16 else "TensorFlow decides"
    none = unseen if any(map(os.path.exists, DRIVERS)) else "none"
    return {
        "backend": f"{machine['backend']} (KERAS_BACKEND changes it)",
        "device": f"{machine['device']}, {machine['memory_gb'] or 'unknown'} GB of memory",
        "GPU": accelerator() or f"{none}; on a CPU smoke scale takes minutes, short hours, paper days",
        "kind": machine["kind"],
        "precision": f"{row.precision} (--precision changes it)",
        "steps a call": f"{row.steps_per_call} (--steps-per-call changes it)",
        "oneDNN": f"{machine.get('onednn', 'off')} ({onednn}; {quiet.ONEDNN}=1 or 0 changes it)",
        "threads": f"{threads} (TF_NUM_INTRAOP_THREADS changes it; on JAX, taskset)",
        "why": row.why,
        "versions": ", ".join(map(" ".join, {"python": machine["python"], **machine["packages"]}.items())),
    }


# ---------------------------------------------------------------- several devices and processes


def join() -> None:
    """Become one of the processes that Keras' `KERAS_DISTRIBUTION_*` variables describe, where they are set.

    To be called once, before anything is computed. Raises UserError if the variables or the backend cannot be used.
    """
    count = os.environ.get(PROCESSES, "1")
    if count == "1":
        return
    import keras

    if quiet.backend() != "jax":
        raise UserError(f"{PROCESSES}={count}: several processes train one network on JAX only; set KERAS_BACKEND=jax.")
    try:
        keras.distribution.initialize()
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{PROCESSES}={count} cannot be used ({error}): set KERAS_DISTRIBUTION_JOB_ADDRESSES to host:port of the "
            f"first process, {PROCESSES} to their number, and KERAS_DISTRIBUTION_PROCESS_ID to 0, 1, ... in each."
        ) from None
    if not is_first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def check_devices(wanted: int | str, batch_size: int) -> int:
    """How many devices share each batch of so many images, `wanted` being a number or "all".

    Raises UserError if the machine has fewer, the backend or the batch cannot be spread, or a process would be idle.
    """
    names = all_names()
    count = len(names) if wanted == "all" else wanted
    least = len(names) if processes() > 1 else 1  # several processes use all that they have
    if type(count) is not int or not least <= count <= len(names):
        raise UserError(f"devices={wanted!r}: give a whole number from {least} to {len(names)} ({names[0]}), or 'all'.")
    if count > 1 and quiet.backend() != "jax":
        what = "set KERAS_BACKEND=jax, or train one run per device (CUDA_VISIBLE_DEVICES=0, 1, ...)"
        raise UserError(f"devices={wanted}: one network trains over several devices on JAX only; {what}.")
    if batch_size % count:
        raise UserError(f"batch of {batch_size} images: {count} devices need a multiple of {count}, to share it.")
    return count


def processes() -> int:
    """Processes of this training."""
    return importlib.import_module("jax").process_count() if quiet.backend() == "jax" else 1


def is_first() -> bool:
    """Whether this process is the one whose files and words are kept."""
    return quiet.backend() != "jax" or importlib.import_module("jax").process_index() == 0


@contextlib.contextmanager
def kept_of_first(folder: RunFolder):
    """The run's folder in the first process; in the others one that is thrown away."""
    with contextlib.nullcontext(folder.path.parent) if is_first() else tempfile.TemporaryDirectory() as place:
        yield RunFolder(Path(place) / folder.name)


def from_first(tree):
    """The first process's numbers and arrays, in every process; the others give a tree of the same shapes."""
    if processes() == 1:
        return tree
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return broadcast_one_to_all(tree)


@contextlib.contextmanager
def together():
    """Turn JAX' error about another process that is gone into a ProcessLost of one line."""
    try:
        yield
    except Exception as error:
        if processes() == 1 or type(error).__name__ != "JaxRuntimeError":
            raise
        lost = f"another process of this training is gone ({first_line(error, 120)})"
        raise ProcessLost(f"{lost}: start all of them again, and they go on from the last checkpoint.") from None
