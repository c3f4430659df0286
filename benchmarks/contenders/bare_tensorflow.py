"""The same step in TensorFlow alone: one `tf.function`, its fused BN kernel, convolutions in bfloat16 or float32."""

import itertools
import time

import numpy as np
import tensorflow as tf

from benchmarks.contenders import CLASSES, EXAMPLES, blocks, noise


class Steps:
    """See `benchmarks.contenders`."""

    def __init__(self, network: str, precision: str, batch_size: int):
        """Make the variables and the pipeline."""
        self.per_stage, self.compute = blocks(network), precision
        widths = [3, 16, *(width for width in (16, 32, 64) for _ in range(2 * self.per_stage))]
        shapes = [*((3, 3, *pair) for pair in itertools.pairwise(widths)), (widths[-1], CLASSES)]
        deviations = (np.sqrt(2.0 / np.prod(shape[:-1])) for shape in shapes)
        self.kernels = [tf.Variable(tf.random.normal(s, 0.0, d)) for s, d in zip(shapes, deviations, strict=True)]
        self.norms = [[tf.Variable(start(width)) for start in (tf.ones, tf.zeros)] for width in widths[1:]]
        self.moving = [[tf.Variable(start(width)) for start in (tf.zeros, tf.ones)] for width in widths[1:]]
        self.bias, self.wrong = tf.Variable(tf.zeros(CLASSES)), tf.Variable(0.0)
        self.trainable = [*self.kernels, *(weight for pair in self.norms for weight in pair), self.bias]
        self.velocities = [tf.Variable(tf.zeros_like(weight)) for weight in self.trainable]
        images, labels = noise()
        self.images, self.labels = tf.pad(images, [[0, 0], [4, 4], [4, 4], [0, 0]]), tf.constant(labels)
        self.order = iter(tf.data.Dataset.range(EXAMPLES).shuffle(EXAMPLES).repeat().batch(batch_size).prefetch(2))
        self.step = tf.function(self._step, autograph=False)

    def _batch(self, index):
        """Cropped and flipped images in [-1, 1] and their labels."""
        count, span = tf.shape(index)[0], tf.range(32)[None]
        places = tf.random.uniform((2, count, 1), 0, 9, tf.int32)
        flip = tf.random.uniform((count, 1)) < 0.5
        rows, columns = places[0] + span, places[1] + tf.where(flip, 31 - span, span)
        crops = tf.gather(tf.gather(self.images, index), rows, batch_dims=1)
        crops = tf.gather(crops, columns, axis=2, batch_dims=1)
        return tf.cast(crops, self.compute) / 128.0 - 1.0, tf.gather(self.labels, index)

    def _conv_norm(self, x, place, strides=1):
        x = tf.nn.conv2d(x, tf.cast(self.kernels[place], self.compute), strides, "SAME")
        gamma, beta = self.norms[place]
        x, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=1e-5, is_training=True
        )
        for average, value in zip(self.moving[place], (mean, variance), strict=True):
            average.assign_sub(0.1 * (average - value))
        return x

    def _logits(self, x):
        x, place = tf.nn.relu(self._conv_norm(x, 0)), 1
        for number in range(3 * self.per_stage):
            strides = 2 if number in (self.per_stage, 2 * self.per_stage) else 1
            y = self._conv_norm(tf.nn.relu(self._conv_norm(x, place, strides)), place + 1)
            if strides > 1:
                x = tf.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], [0, x.shape[-1]]])
            x, place = tf.nn.relu(x + y), place + 2
        return tf.cast(tf.reduce_mean(x, (1, 2)), tf.float32) @ self.kernels[-1] + self.bias

    def _step(self, index):
        images, labels = self._batch(index)
        with tf.GradientTape() as tape:
            logits = self._logits(images)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, self.trainable)
        for weight, velocity, gradient in zip(self.trainable, self.velocities, gradients, strict=True):
            decay = 1e-4 * weight if len(weight.shape) > 1 else 0.0
            velocity.assign(0.9 * velocity - 0.1 * (gradient + decay))
            weight.assign_add(velocity)
        self.wrong.assign_add(tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) != labels, tf.float32)))
        return loss

    def take(self, count: int) -> float:
        """Seconds that `count` steps take."""
        start = time.perf_counter()
        for _ in range(count):
            loss = self.step(next(self.order))
        float(loss), float(self.wrong)
        return time.perf_counter() - start
