"""Memory of a training run as the system sees it: its peak, and whether it grows."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from benchmarks import records
from benchmarks.workers import ROOT

NETWORK, IMAGES, ITERATIONS = "resnet20", 50_000, 300
LIMIT_MB = 2500
EVERY = 0.25  # seconds between two looks
# A run as `resnet-keras train` makes it, on noise, into a folder that is thrown away; the recipe comes as JSON.
RUN = """
import json, sys, tempfile
import numpy as np
from resnet_keras.quiet import load_keras
load_keras()
from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from resnet_keras.training.trainer import train

network, images, recipe = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
draw = np.random.default_rng(0)

def split(count):
    pictures = draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(pictures, draw.integers(0, 10, count).astype(np.int32))

noise = Dataset(Identity("noise", "1", "noise"), tuple("0123456789"), split(images), split(images // 5))
recipe = Recipe(drops=(), precision=device.settings().precision, **recipe)
with tempfile.TemporaryDirectory() as folder:
    train(Run(network, "noise", recipe), store=Store(folder), dataset=noise)
"""


def measure(options):
    """Yield one row: peak, and the means of the second and the last third of the training."""
    environment = records.environment()
    network, images, iterations = ("resnet8", 500, 6) if options.smoke else (NETWORK, IMAGES, ITERATIONS)
    seen = watch_training(network, images, iterations=iterations, **looks(max(1, iterations // 3)))
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


def looks(interval: int) -> dict:
    """The fields of a recipe that looks and saves this often."""
    return dict.fromkeys(("log_interval", "test_interval", "checkpoint_interval"), interval)


def watch_training(network: str, images: int, **recipe) -> list[tuple[float, float]]:
    """`watch` a training of its own process on so many noise pictures; `recipe` holds fields of `Recipe`."""
    return watch([sys.executable, "-c", RUN, network, str(images), json.dumps(recipe)])


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
