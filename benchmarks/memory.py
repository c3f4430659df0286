"""Memory of a training run as the system sees it: its peak, and whether it grows."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks import records
from benchmarks.workers import ROOT

NETWORK, IMAGES, ITERATIONS = "resnet20", 50_000, 300
LIMIT_MB = 2500
EVERY = 0.25  # seconds between two looks
# A run as `resnet-keras train` makes it, on as many pictures as CIFAR-10 has, into a folder that is thrown away.
RUN = """
import sys, tempfile
import numpy as np
from resnet_keras.quiet import load_keras
load_keras()
from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from resnet_keras.training.trainer import train

network, images, iterations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = np.random.default_rng(0)

def split(count):
    pictures = draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(pictures, draw.integers(0, 10, count).astype(np.int32))

noise = Dataset(Identity("noise", "1", "noise"), tuple("0123456789"), split(images), split(images // 5))
third = max(1, iterations // 3)
recipe = Recipe(iterations=iterations, drops=(), log_interval=third, test_interval=third, checkpoint_interval=third,
                precision=device.settings().precision)
with tempfile.TemporaryDirectory() as folder:
    train(Run(network, "noise", recipe), store=Store(folder), dataset=noise)
"""


def measure(options):
    """Yield one row: peak, and the means of the second and the last third of the training."""
    environment = records.environment()
    network, images, iterations = ("resnet8", 500, 6) if options.smoke else (NETWORK, IMAGES, ITERATIONS)
    seen = watch([sys.executable, "-c", RUN, network, str(images), str(iterations)])
    training = [megabytes for seconds, megabytes in seen if seconds > seen[-1][0] / 4]  # after start and compiling
    half = max(1, len(training) // 2)
    middle, last = (sum(part) / len(part) for part in (training[:half], training[half:] or training[-1:]))
    yield [
        {
            "network": network,
            "images": images,
            "iterations": iterations,
            "peak_mb": round(max(megabytes for _, megabytes in seen)),
            "limit_mb": LIMIT_MB,
            "mean_mb_first_half": round(middle),
            "mean_mb_second_half": round(last),
            "growth_percent": round(100 * (last / middle - 1), 1),
            "seconds": round(seen[-1][0], 1),
            **environment,
        }
    ]


def watch(command: list[str]) -> list[tuple[float, float]]:
    """Run a command; (seconds since its start, resident MiB) every so often until its end.

    Raises:
        subprocess.CalledProcessError: It fails.
    """
    import psutil

    start, seen = time.perf_counter(), [(0.0, 0.0)]
    with psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            seen.append((time.perf_counter() - start, process.memory_info().rss / 2**20))
            time.sleep(EVERY)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[:2])
    return [point for point in seen if point[1]] or seen
