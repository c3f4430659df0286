"""Testing on 10,000 images: this package beside stock Keras' `evaluate` and `predict`."""

import time

import numpy as np

from benchmarks import records
from benchmarks.contenders import make

NETWORK, IMAGES, AT_LEAST = "resnet20", 10_000, 1.5  # times the speed of `evaluate`


def measure(options):
    """Yield a row for each way; stock Keras in float32, as people have it, its images scaled on the way in."""
    environment = records.environment()
    network, count = ("resnet8", 200) if options.smoke else (NETWORK, IMAGES)
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    speeds = records.interleaved(ways(network, images, np.arange(count, dtype=np.int32) % 10), min(3, options.rounds))
    columns = records.compared("images_per_second", speeds, {"Keras evaluate": AT_LEAST})
    yield [{"network": network, "contender": name, **own, **environment} for name, own in columns.items()]


def ways(network: str, images, labels) -> dict:
    """Functions that test on the images and return how many they took a second."""
    import keras

    from benchmarks.contenders.stock_keras import model
    from resnet_keras.data import Split
    from resnet_keras.training import device

    engine, split = make("ours", network, device.settings().precision, 128).engine, Split(images, labels)
    inputs = keras.Input((32, 32, 3))
    stock = keras.Model(inputs, model(network)(keras.layers.Rescaling(1 / 128, -1.0)(inputs)))
    stock.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])

    def speed(function, *arguments, **options):
        start = time.perf_counter()
        function(*arguments, **options)
        return len(images) / (time.perf_counter() - start)

    return {
        "resnet_keras": lambda: speed(engine.evaluate, split),
        "Keras evaluate": lambda: speed(stock.evaluate, images, labels, verbose=0),
        "Keras predict": lambda: speed(stock.predict, images, verbose=0),
    }
