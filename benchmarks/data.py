"""How fast batches come (drawn on the host, augmented on the device) beside how fast training takes them."""

from __future__ import annotations

import time

from benchmarks import records
from benchmarks.contenders import EXAMPLES, make, pictures

NETWORK = "resnet20"  # the one that takes batches fastest
LIMIT = 5.0


def measure(options):
    """Yield rows: drawing plans, carrying them out, both, and training, interleaved; images a second."""
    environment = records.environment()
    batch_size, steps, network = (16, 2, "resnet8") if options.smoke else (128, 20, NETWORK)
    batches, training = Batches(batch_size), make("ours", network, _precision(), batch_size)
    ways = {
        "plan on the host": batches.draw,
        "pictures on the device": batches.apply,
        "both": batches.take,
        f"training {network}": training.take,
    }
    times = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, way in ways.items():
            seconds = way(steps)
            if number:
                times[name].append(steps * batch_size / seconds)
    found = {name: records.spread(speeds) for name, speeds in times.items()}
    taken = found[f"training {network}"]["median"]
    yield [
        {
            "what": name,
            "images_per_second": records.rounded(spread["median"]),
            "lower_quartile": records.rounded(spread["low"]),
            "upper_quartile": records.rounded(spread["high"]),
            "times_training": records.rounded(spread["median"] / taken, 3),
            "limit": LIMIT if name == "both" else "",
            "batch_size": batch_size,
            "rounds": options.rounds,
            **environment,
        }
        for name, spread in found.items()
    ]


def _precision() -> str:
    from resnet_keras.training import device

    return device.settings().precision


class Batches:
    """The data pipeline alone; each method returns the seconds that `count` batches take."""

    def __init__(self, batch_size: int):
        """Put the pictures on the device."""
        from keras import ops

        self.images, self.labels = (ops.convert_to_tensor(part) for part in pictures())
        self.batch_size, self.apply_one = batch_size, compiled(self._apply)

    def _apply(self, plan):
        from resnet_keras.data.augment import Plan, apply

        return apply(self.images, self.labels, Plan(*plan))

    def _plan(self, count: int):
        from resnet_keras.data.augment import draw

        return draw(0, 0, count, self.batch_size, EXAMPLES)

    def draw(self, count: int) -> float:
        """Decide on the host."""
        start = time.perf_counter()
        self._plan(count)
        return time.perf_counter() - start

    def apply(self, count: int) -> float:
        """Carry out on the device."""
        plan = self._plan(count)
        start = time.perf_counter()
        for step in range(count):
            shown, _ = self.apply_one(tuple(plan.at(step)))
        self._wait(shown)
        return time.perf_counter() - start

    def take(self, count: int) -> float:
        """Both."""
        start = time.perf_counter()
        self.apply(count)
        return time.perf_counter() - start

    def _wait(self, shown) -> None:
        from keras import ops

        ops.convert_to_numpy(shown)


def compiled(function):
    """The function as the current backend compiles it."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, autograph=False, reduce_retracing=True)
