"""Keras as people write it: stock layers, L2 regularizer, accuracy metric, `fit` on a `tf.data` pipeline."""

import queue
import threading
import time

from benchmarks.contenders import CLASSES, EXAMPLES, blocks, noise


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
        self.data, self.turns, self.ends = data(batch_size), queue.Queue(), queue.Queue()
        threading.Thread(target=self._fit, daemon=True).start()

    def _fit(self):
        import keras

        left = self.turns.get()

        def wait(batch, logs=None):
            nonlocal left
            left -= 1
            if left == 0:
                self.ends.put("turn")
                left = self.turns.get()

        try:
            callback = keras.callbacks.LambdaCallback(on_train_batch_end=wait)
            self.model.fit(self.data, steps_per_epoch=10**9, verbose=0, callbacks=[callback])
        finally:
            self.ends.put("fit")  # one that failed must not leave the turn waiting

    def take(self, count: int) -> float:
        """Seconds that `count` steps take."""
        start = time.perf_counter()
        self.turns.put(count)
        assert self.ends.get() == "turn", "fit has ended"
        return time.perf_counter() - start


def model(network: str):
    """The residual CIFAR network in Keras' own layers."""
    from keras import Model, layers, regularizers

    def conv(x, filters, strides=1):
        options = {"use_bias": False, "kernel_initializer": "he_normal", "kernel_regularizer": regularizers.L2(5e-5)}
        return layers.BatchNormalization()(layers.Conv2D(filters, 3, strides, "same", **options)(x))

    inputs = layers.Input((32, 32, 3))
    x = layers.ReLU()(conv(inputs, 16))
    for stage, filters in enumerate((16, 32, 64)):
        for number in range(blocks(network)):
            strides = 2 if stage and not number else 1
            y = conv(layers.ReLU()(conv(x, filters, strides)), filters)
            if strides > 1:
                x = layers.AveragePooling2D(1, strides)(x)
                x = layers.Concatenate()([x, layers.Lambda(lambda t: t * 0)(x)])
            x = layers.ReLU()(layers.Add()([x, y]))
    return Model(inputs, layers.Dense(CLASSES, dtype="float32")(layers.GlobalAveragePooling2D()(x)))


def data(batch_size: int):
    """An endless pipeline of augmented batches."""
    import tensorflow as tf

    def augment(image, label):
        image = tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32) - 128.0, 40, 40)
        return tf.image.random_flip_left_right(tf.image.random_crop(image, (32, 32, 3))), label

    examples = tf.data.Dataset.from_tensor_slices(noise()).shuffle(EXAMPLES).repeat()
    return examples.map(augment, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)
