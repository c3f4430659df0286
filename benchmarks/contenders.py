"""Ways to train the same network: ours, and our own plain implementations of how others do it.

Each contender takes whole training steps, data pipeline (pad, crop, flip) and metrics included, and returns how long
they took. The first call builds and compiles.
"""

from __future__ import annotations

import time

import numpy as np

EXAMPLES, CLASSES = 5000, 10


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Random pictures and labels: the speed of a step does not depend on what they show."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (EXAMPLES, 32, 32, 3), dtype=np.uint8)
    return images, draw.integers(0, CLASSES, EXAMPLES).astype(np.int32)


class Ours:
    """This package's engine on Keras' current backend."""

    def __init__(self, network: str, precision: str, batch_size: int):
        """`precision`: "float32" or "bfloat16"."""
        import resnet_keras
        from resnet_keras.training.optimizer import SGD
        from resnet_keras.training.steps import engine

        policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
        self.engine = engine(resnet_keras.build(network, dtype=policy), SGD(), *pictures())
        self.batch_size, self.done = batch_size, 0

    def steps(self, count: int) -> float:
        """Seconds that `count` steps take."""
        from resnet_keras.data.augment import draw

        start = time.perf_counter()
        plan = draw(0, self.done, count, self.batch_size, EXAMPLES)
        self.engine.train(plan, np.full(count, 0.1, np.float32))
        self.done += count
        return time.perf_counter() - start


class StockKeras:
    """Keras as people write it: stock layers, L2 regularizer, accuracy metric, `fit` on a `tf.data` pipeline."""

    def __init__(self, network: str, precision: str, batch_size: int):
        """`precision`: "float32" or "bfloat16"."""
        import keras

        policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
        former = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        self.model = self._model(int(network.removeprefix("resnet")))
        keras.config.set_dtype_policy(former)
        self.model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        self.data = self._data(batch_size)

    def _model(self, depth: int):
        from keras import Model, layers, regularizers

        def conv(x, filters, size=3, strides=1):
            return layers.Conv2D(
                filters, size, strides, "same", use_bias=False, kernel_initializer="he_normal",
                kernel_regularizer=regularizers.L2(5e-5),
            )(x)  # fmt: skip

        def block(x, filters, strides):
            y = layers.ReLU()(layers.BatchNormalization()(conv(x, filters, 3, strides)))
            y = layers.BatchNormalization()(conv(y, filters))
            if strides > 1:
                x = layers.AveragePooling2D(1, strides)(x)
                x = layers.Concatenate()([x, layers.Lambda(lambda t: t * 0)(x)])
            return layers.ReLU()(layers.Add()([x, y]))

        inputs = layers.Input((32, 32, 3))
        x = layers.ReLU()(layers.BatchNormalization()(conv(inputs, 16)))
        for stage, filters in enumerate((16, 32, 64)):
            for number in range((depth - 2) // 6):
                x = block(x, filters, 2 if stage and not number else 1)
        x = layers.GlobalAveragePooling2D()(x)
        return Model(inputs, layers.Dense(CLASSES, dtype="float32")(x))

    def _data(self, batch_size: int):
        import tensorflow as tf

        def augment(image, label):
            image = tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32) - 128.0, 40, 40)
            return tf.image.random_flip_left_right(tf.image.random_crop(image, (32, 32, 3))), label

        data = tf.data.Dataset.from_tensor_slices(pictures()).shuffle(EXAMPLES).repeat()
        return data.map(augment, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)

    def steps(self, count: int) -> float:
        """Seconds that `count` steps take."""
        start = time.perf_counter()
        self.model.fit(self.data, steps_per_epoch=count, epochs=1, verbose=0)
        return time.perf_counter() - start


CONTENDERS = {"ours": Ours, "stock Keras fit": StockKeras}
