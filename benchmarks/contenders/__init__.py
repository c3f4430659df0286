"""Ways to train the same network: this package, and our own plain implementations of how others do it.

A contender takes whole training steps, data pipeline (shuffle, pad, crop, flip) and metrics included. Each lives in a
process of its own (`benchmarks/worker.py`), so that no library's threads or memory get in another's way. Its module is
loaded in that process alone, and holds the class `Steps`:

    Steps(network, precision, batch_size, **options)     builds the network
    Steps.take(count)                                    seconds that `count` steps take; the first call compiles
    Steps.versions()                                     versions of what it is made with
"""

from __future__ import annotations

import dataclasses
import importlib

EXAMPLES, CLASSES = 5000, 10

# glibc gives large blocks back to the system and takes them anew, page by page; PyTorch has no memory pool on a CPU.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train.

    Attributes:
        name: What tables call it.
        precision: "float32" or "bfloat16".
        module: Module of this package.
        options: Further arguments of its class.
        environment: Environment variables with which it is at its best.
        interpreter: "torch" for the Python that has PyTorch, else that of the benchmark.
        best: Whether it is also measured where each measurement takes long.
    """

    name: str
    precision: str
    module: str
    options: dict = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)
    interpreter: str = ""
    best: bool = False

    @property
    def title(self) -> str:
        """Name and precision."""
        return f"{self.name}, {self.precision}"


def _torch(name: str, precision: str, compiled: bool) -> Contender:
    best = compiled and precision == "bfloat16"
    return Contender(name, precision, "pytorch", {"compiled": compiled}, KEEP_MEMORY, "torch", best)


OURS = "resnet_keras"
CONTENDERS = (
    Contender(OURS, "bfloat16", "ours", best=True),
    Contender(OURS, "float32", "ours"),
    Contender("Keras fit", "float32", "stock_keras", best=True),
    Contender("Keras fit", "bfloat16", "stock_keras"),
    Contender("tf.function", "bfloat16", "bare_tensorflow", best=True),
    _torch("PyTorch", "float32", compiled=False),
    _torch("PyTorch", "bfloat16", compiled=False),
    _torch("PyTorch compiled", "float32", compiled=True),
    _torch("PyTorch compiled", "bfloat16", compiled=True),
)


def make(module: str, *arguments, **options):
    """A contender's `Steps`, in the process that calls this."""
    return importlib.import_module(f"benchmarks.contenders.{module}").Steps(*arguments, **options)


def pictures():
    """Random pictures uint8 [n, 32, 32, 3] and labels int32 [n]: what they show does not change a step's speed."""
    import numpy as np

    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (EXAMPLES, 32, 32, 3), dtype=np.uint8)
    return images, draw.integers(0, CLASSES, EXAMPLES).astype(np.int32)


def blocks(network: str) -> int:
    """Blocks in each of the three stages of resnet20, resnet56, ... (Sec. 4.2: 6n + 2 layers)."""
    return (int(network.removeprefix("resnet")) - 2) // 6
