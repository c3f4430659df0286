"""This package's engine on Keras' current backend, called as the trainer calls it."""

import statistics
import time

import numpy as np

from benchmarks.contenders import EXAMPLES, noise


class Steps:
    """See `benchmarks.contenders`."""

    def __init__(self, network: str, precision: str, batch_size: int):
        """Build the network and its engine."""
        from resnet_keras.quiet import load_keras

        load_keras()
        import resnet_keras
        from resnet_keras.training import device
        from resnet_keras.training.optimizer import SGD
        from resnet_keras.training.steps import engine

        settings = device.settings()
        built = resnet_keras.build(network, dtype={"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision])
        self.batch_size, self.done, self.per_call = batch_size, 0, settings.steps_per_call
        self.engine = engine(built, SGD(), *noise(), most=self.per_call)

    def take(self, count: int) -> float:
        """Seconds that `count` steps take."""
        return sum(self._call(min(self.per_call, count - first)) for first in range(0, count, self.per_call))

    def _call(self, count: int) -> float:
        from resnet_keras.data.augment import draw_plan

        start = time.perf_counter()
        self.engine.train(draw_plan(0, self.done, count, self.batch_size, EXAMPLES), np.full(count, 0.1, np.float32))
        self.done += count
        return time.perf_counter() - start

    def python_share(self, rounds: int) -> float:
        """Share of a step, 0 to 1, that is Python's: a call of half as many steps takes half of the device's time."""
        lengths = (self.per_call, max(1, self.per_call // 2))
        times = [[self._call(length) for length in lengths] for _ in range(rounds)]
        full, half = (statistics.median(column) for column in zip(*times, strict=True))
        return max(0.0, 1 - (full - half) / (lengths[0] - lengths[1]) * lengths[0] / full)
