"""This package's engine on Keras' current backend, called as the trainer calls it."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.contenders import EXAMPLES, pictures


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

        policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
        built = resnet_keras.build(network, dtype=policy)
        self.engine = engine(built, SGD(), *pictures(), xla=device.settings().xla)
        self.batch_size, self.done = batch_size, 0
        self.per_call = device.settings().steps_per_call

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

    def versions(self) -> dict[str, str]:
        """Of the packages that bear on the speed."""
        from resnet_keras.training.environment import describe

        here = describe()
        return {"backend": here["backend"], **here["packages"]}
