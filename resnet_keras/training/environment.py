"""Where a run is made: versions, device, commit. Names no user, host or path."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess

from resnet_keras import quiet
from resnet_keras.paths import checkout
from resnet_keras.training import determinism, device

PACKAGES = ("resnet-keras", "keras", "tensorflow", "jax", "numpy", "tensorflow-datasets", "pillow")


def describe() -> dict:
    """What `environment.json` holds."""
    import keras
    import psutil

    commit, dirty = revision()
    return {
        "backend": keras.config.backend(),
        "device": device.name(),
        "kind": device.kind(),
        "cores": device.cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions(),
        "commit": commit,
        "dirty": dirty,
        **({"onednn": quiet.onednn()} if keras.config.backend() == "tensorflow" else {}),
        **({"deterministic": True} if determinism.enabled else {}),
    }


def doctor() -> dict[str, str]:
    """What training would use on this machine, and why, for people."""
    chosen, here = device.settings(), describe()
    return {
        "backend": f"{here['backend']} (KERAS_BACKEND changes it)",
        "device": f"{here['device']}, {here['memory_gb']} GB of memory",
        "kind": here["kind"],
        "precision": f"{chosen.precision} (--precision changes it)",
        "steps a call": f"{chosen.steps_per_call} (--steps-per-call changes it)",
        "XLA": _xla(here["backend"], chosen.xla),
        **({"oneDNN": device.onednn()} if here["backend"] == "tensorflow" else {}),
        "threads": device.threads(),
        "why": chosen.why,
        "python": here["python"],
        "packages": ", ".join(f"{package} {version}" for package, version in here["packages"].items()),
    }


def _xla(backend: str, on: bool) -> str:
    if backend == "jax":
        return "on (JAX has nothing else)"
    return f"{'on' if on else 'off'} ({device.XLA_SWITCH}=on or off changes it)"


def versions() -> dict[str, str]:
    """Installed versions of the packages that bear on a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def revision() -> tuple[str | None, bool | None]:
    """(commit, whether the package's own files differ from it), or (None, None) outside a git checkout."""
    root = checkout()
    if root is None:
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "resnet_keras")
    return (commit.strip() or None, bool(changes)) if commit is not None and changes is not None else (None, None)


def _git(root, *arguments: str) -> str | None:
    try:
        asked = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout if asked.returncode == 0 else None
