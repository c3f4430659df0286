"""Testing on 10,000 images: this package at several batch sizes beside stock Keras' `evaluate` and `predict`."""

from __future__ import annotations

import time

import numpy as np

from benchmarks import records
from benchmarks.contenders import make

NETWORK, IMAGES, LIMIT = "resnet20", 10_000, 1.5
BATCHES = (250, 500, 1000)  # of ours; stock Keras takes its default of 32, and the same as ours at its best


def measure(options):
    """Yield a row for each way, interleaved; `ours_faster` is that of the batch size that training uses."""
    environment = records.environment()
    network, count, batches = ("resnet8", 200, (50, 100)) if options.smoke else (NETWORK, IMAGES, BATCHES)
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int32) % 10
    ways = {**_ours(network, images, labels, batches), **_stock(network, images, labels)}
    times = {name: [] for name in ways}
    for number in range(min(3, options.rounds) + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - start)
    found = {name: records.spread(values) for name, values in times.items()}
    ours = found["resnet_keras"]["median"]
    yield [
        {
            "network": network,
            "contender": name,
            "images": count,
            "seconds": records.rounded(spread["median"], 3),
            "lower_quartile": records.rounded(spread["low"], 3),
            "upper_quartile": records.rounded(spread["high"], 3),
            "ours_faster": records.rounded(spread["median"] / ours, 3),
            "limit": LIMIT if name == "Keras evaluate" else "",
            "rounds": len(times[name]),
            **environment,
        }
        for name, spread in found.items()
    ]


def _ours(network: str, images, labels, batches) -> dict:
    from resnet_keras.data import Split
    from resnet_keras.training import device

    split = Split(images, labels)
    engine = make("ours", network, device.settings().precision, 128).engine

    def at(batch_size: int):
        def evaluate():
            engine.batch_of_test = batch_size
            return engine.evaluate(split)

        return evaluate

    own = {f"resnet_keras, batches of {size}": at(size) for size in batches}
    return {"resnet_keras": at(engine.batch_of_test), **own}


def _stock(network: str, images, labels) -> dict:
    """Stock Keras in float32, as people have it; its pictures are scaled on the way in."""
    import keras

    from benchmarks.contenders.stock_keras import model

    inner = model(network)
    inputs = keras.Input((32, 32, 3))
    stock = keras.Model(inputs, inner(keras.layers.Rescaling(1 / 128, -1.0)(inputs)))
    stock.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return {
        "Keras evaluate": lambda: stock.evaluate(images, labels, verbose=0),
        "Keras evaluate, batches of 500": lambda: stock.evaluate(images, labels, batch_size=500, verbose=0),
        "Keras predict": lambda: stock.predict(images, verbose=0),
    }
