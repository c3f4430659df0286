"""This package's engine on Keras' current backend, called as the trainer calls it."""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks.contenders import EXAMPLES, pictures


class Steps:
    """See `benchmarks.contenders`."""

    def __init__(self, network: str, precision: str, batch_size: int, per_call: int = 0):
        """Build the network and its engine; `per_call`: steps a call, 0 for the device's own number."""
        from resnet_keras.quiet import load_keras

        load_keras()
        import resnet_keras
        from resnet_keras.training import device
        from resnet_keras.training.optimizer import SGD
        from resnet_keras.training.steps import engine

        policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
        built = resnet_keras.build(network, dtype=policy)
        self.batch_size, self.done = batch_size, 0
        self.per_call = per_call or device.settings().steps_per_call
        self.engine = engine(built, SGD(), *pictures(), xla=device.settings().xla, most=self.per_call)

    def take(self, count: int) -> float:
        """Seconds that `count` steps take."""
        start = time.perf_counter()
        for first in range(0, count, self.per_call):
            self._call(min(self.per_call, count - first))
        return time.perf_counter() - start

    def _call(self, count: int) -> None:
        from resnet_keras.data.augment import draw

        plan = draw(0, self.done, count, self.batch_size, EXAMPLES)
        self.engine.train(plan, np.full(count, 0.1, np.float32))
        self.done += count

    def python_share(self, rounds: int) -> float:
        """Share of a step, 0 to 1, in which the device waits for Python: what a call takes beside its steps.

        A call of half as many steps costs as much Python, so that the difference is the device's time alone.
        """
        lengths = (self.per_call, max(1, self.per_call // 2))
        times = {length: [] for length in lengths}
        for _ in range(rounds):
            for length in lengths:
                start = time.perf_counter()
                self._call(length)
                times[length].append(time.perf_counter() - start)
        whole, half = (statistics.median(times[length]) for length in lengths)
        device = (whole - half) / (lengths[0] - lengths[1]) * lengths[0]
        return max(0.0, 1 - device / whole)

    def versions(self) -> dict[str, str]:
        """Of the packages that bear on the speed."""
        import keras

        from resnet_keras.training.device import versions

        return {"backend": keras.config.backend(), **versions()}
