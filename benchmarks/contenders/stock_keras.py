"""Keras as people write it: stock layers, L2 regularizer, accuracy metric, `fit` on a `tf.data` pipeline."""

from __future__ import annotations

import threading
import time

from benchmarks.contenders import CLASSES, EXAMPLES, blocks, pictures


class Steps:
    """One long `fit` that stands still between turns, so that no turn pays for starting an epoch."""

    def __init__(self, network: str, precision: str, batch_size: int):
        """Build and compile the model."""
        import keras

        keras.config.set_dtype_policy({"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision])
        self.model = model(network)
        self.model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        self.data = data(batch_size)
        self.wanted, self.left, self.go, self.done = 0, 0, threading.Semaphore(0), threading.Semaphore(0)
        self.fit = threading.Thread(target=self._fit, daemon=True)

    def _fit(self):
        import keras

        class Turns(keras.callbacks.Callback):
            def on_train_batch_begin(callback, batch, logs=None):
                if self.left == 0:
                    self.go.acquire()
                    self.left = self.wanted

            def on_train_batch_end(callback, batch, logs=None):
                self.left -= 1
                if self.left == 0:
                    self.done.release()

        try:
            self.model.fit(self.data, steps_per_epoch=10**9, verbose=0, callbacks=[Turns()])
        finally:
            self.done.release()  # a `fit` that failed must not leave the turn waiting

    def take(self, count: int) -> float:
        """Seconds that `count` steps take."""
        start = time.perf_counter()
        self.wanted = count
        self.go.release()
        if self.fit.ident is None:
            self.fit.start()
        self.done.acquire()
        if not self.fit.is_alive():
            raise RuntimeError("fit has ended")
        return time.perf_counter() - start

    def versions(self) -> dict[str, str]:
        """Of Keras and TensorFlow."""
        import keras
        import tensorflow as tf

        return {"keras": keras.__version__, "tensorflow": tf.__version__}


def model(network: str):
    """The residual CIFAR network in Keras' own layers."""
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
        for number in range(blocks(network)):
            x = block(x, filters, 2 if stage and not number else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(CLASSES, dtype="float32")(x))


def data(batch_size: int):
    """An endless pipeline of augmented batches."""
    import tensorflow as tf

    def augment(image, label):
        image = tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32) - 128.0, 40, 40)
        return tf.image.random_flip_left_right(tf.image.random_crop(image, (32, 32, 3))), label

    examples = tf.data.Dataset.from_tensor_slices(pictures()).shuffle(EXAMPLES).repeat()
    return examples.map(augment, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)
