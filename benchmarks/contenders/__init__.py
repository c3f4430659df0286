"""Ways to train the same network: this package, and our own plain implementations of how others do it.

A contender takes training steps, data pipeline (shuffle, pad, crop, flip) and metrics included. It has a process of its
own (`benchmarks/worker.py`), so that no library's threads or memory get in another's way. Its module has a class:

    Steps(network, precision, batch_size, **options)     builds the network
    Steps.take(count)                                    seconds that `count` steps take; the first call compiles
"""

import importlib
from typing import NamedTuple

EXAMPLES, CLASSES = 5000, 10
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# glibc gives large blocks back to the system and takes them anew, page by page; PyTorch has no memory pool on a CPU.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}


class Contender(NamedTuple):
    """One way to train: environment variables of its process, None for one that must be unset; options of its class."""

    name: str
    precision: str
    module: str
    environment: dict
    options: dict

    @property
    def title(self) -> str:
        """Name and precision."""
        return f"{self.name}, {self.precision}"


OURS = "resnet_keras"
KINDS = (
    (OURS, "ours", {}, {}),
    ("Keras fit", "stock_keras", {ONEDNN: None}, {}),
    ("Keras fit, oneDNN", "stock_keras", {ONEDNN: "1"}, {}),
    ("tf.function", "bare_tensorflow", {ONEDNN: "1"}, {}),
    ("PyTorch", "pytorch", KEEP_MEMORY, {"compiled": False}),
    ("PyTorch compiled", "pytorch", KEEP_MEMORY, {"compiled": True}),
)


def contenders(best: str) -> list[Contender]:
    """Every kind in both precisions, `best` first."""
    precisions = sorted(("float32", "bfloat16"), key=lambda precision: precision != best)
    return [Contender(name, precision, *rest) for name, *rest in KINDS for precision in precisions]


def make(module: str, *arguments, **options):
    """A contender's `Steps`, in the process that calls this."""
    return importlib.import_module(f"benchmarks.contenders.{module}").Steps(*arguments, **options)


def noise():
    """Random images uint8 [n, 32, 32, 3] and labels int32 [n]: what they show does not change a step's speed."""
    import numpy as np

    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (EXAMPLES, 32, 32, 3), dtype=np.uint8)
    return images, draw.integers(0, CLASSES, EXAMPLES).astype(np.int32)


def blocks(network: str) -> int:
    """Blocks in each of the three stages of resnet20, resnet56, ... (Sec. 4.2: 6n + 2 layers)."""
    return (int(network.removeprefix("resnet")) - 2) // 6
