"""Peak memory of this process since a moment."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path


def reset_peak() -> None:
    """Start a new peak, where the system can (Linux); elsewhere the peak is the process's whole life's."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float | None:
    """Peak resident memory in MiB since `reset_peak`."""
    with contextlib.suppress(OSError):
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    import psutil

    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", memory.rss) / 2**20
