"""Trains tiny networks with whatever `resnet_keras` is on the path and prints the bits that come out.

Run as a script by `test_training.py`, with today's code and with an old commit's: it uses only what both have.
"""

import hashlib
import json
import sys

import numpy as np

from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.models import layers
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from resnet_keras.training.trainer import train

layers.SMALL = set()  # gradients of small maps by TensorFlow's own kernel, the same in both
SCHEDULE = {
    "iterations": 45, "batch_size": 16, "drops": (20, 32), "log_interval": 15, "test_interval": 15,
    "checkpoint_interval": 15, "steps_per_call": 4,
}  # fmt: skip
RUNS = (
    Run("resnet8", "tiny", Recipe(**SCHEDULE, warmup="always", warmup_window=5, bn_batch=8), 3, "B"),
    Run("plain8", "tiny", Recipe(**SCHEDULE, precision="bfloat16", decay_on="all", augment=False)),
)


def split(count: int, seed: int) -> Split:
    """Noise of 32x32 pixels whose mean colour tells the class."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, count).astype(np.int32)
    images = draw.integers(0, 160, (count, 32, 32, 3)) + 30 * labels[:, None, None, None]
    return Split(images.clip(0, 255).astype(np.uint8), labels)


def bits(run: Run, store: Store) -> dict:
    """The run's name, its history without times, and a hash of each array of its trained network."""
    dataset = Dataset(Identity("tiny", "1", "tiny"), ("a", "b", "c", "d"), split(300, 0), split(90, 1))
    folder = train(run, store=store, dataset=dataset)
    history = folder.history.drop(columns=["images_per_second", "elapsed_seconds"])
    arrays = [np.asarray(variable) for variable in folder.load_network().variables]
    hashes = sorted(f"{a.shape} {hashlib.sha256(a.tobytes()).hexdigest()[:16]}" for a in arrays)
    return {"name": folder.name, "history": history.to_csv(index=False), "arrays": hashes}


if __name__ == "__main__":
    results, count = sys.argv[1:]
    print(json.dumps([bits(run, Store(results)) for run in RUNS[: int(count)]]))
