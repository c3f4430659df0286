"""The same step in TensorFlow alone: one `tf.function`, its fused BN kernel, convolutions in bfloat16."""

from __future__ import annotations

import time

from benchmarks.contenders import CLASSES, EXAMPLES, blocks, pictures


class Steps:
    """See `benchmarks.contenders`."""

    def __init__(self, network: str, precision: str, batch_size: int):
        """Make the variables and the pipeline."""
        import tensorflow as tf

        self.tf, self.per_stage = tf, blocks(network)
        self.compute = {"float32": tf.float32, "bfloat16": tf.bfloat16}[precision]
        self.kernels, self.norms = [], []
        self._variables()
        self.trainable = [*self.kernels, *(v for gamma, beta, *_ in self.norms for v in (gamma, beta)), self.bias]
        self.velocities = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.trainable]
        self.decaying = {v.ref() for v in self.kernels}
        self.wrong = tf.Variable(0.0, trainable=False)
        images, labels = pictures()
        self.images = tf.pad(images, [[0, 0], [4, 4], [4, 4], [0, 0]])
        self.labels = tf.constant(labels)
        order = tf.data.Dataset.range(EXAMPLES).shuffle(EXAMPLES).repeat().batch(batch_size).prefetch(2)
        self.order = iter(order)
        self.step = tf.function(self._step, autograph=False)

    def _variables(self):
        self._kernel(3, 3, 3, 16)
        self._norm(16)
        filters = 16
        for stage in range(3):
            for _ in range(self.per_stage):
                after = 16 * 2**stage
                for before in (filters, after):
                    self._kernel(3, 3, before, after)
                    self._norm(after)
                filters = after
        self._kernel(filters, CLASSES)
        self.bias = self.tf.Variable(self.tf.zeros(CLASSES))

    def _kernel(self, *shape):
        tf = self.tf
        fan_in = tf.reduce_prod(shape[:-1])
        self.kernels.append(tf.Variable(tf.random.normal(shape) * tf.sqrt(2.0 / tf.cast(fan_in, tf.float32))))

    def _norm(self, filters):
        tf = self.tf
        gamma, beta = tf.Variable(tf.ones(filters)), tf.Variable(tf.zeros(filters))
        mean, variance = (tf.Variable(start(filters), trainable=False) for start in (tf.zeros, tf.ones))
        self.norms.append((gamma, beta, mean, variance))

    def _batch(self, index):
        """Cropped and flipped pictures in [-1, 1] and their labels."""
        tf = self.tf
        count = tf.shape(index)[0]
        places = tf.random.uniform((2, count, 1), 0, 9, tf.int32)
        span = tf.range(32)[None]
        flip = tf.random.uniform((count, 1)) < 0.5
        rows, columns = places[0] + span, places[1] + tf.where(flip, 31 - span, span)
        crops = tf.gather(tf.gather(self.images, index), rows, batch_dims=1)
        crops = tf.gather(crops, columns, axis=2, batch_dims=1)
        return tf.cast(crops, self.compute) / 128.0 - 1.0, tf.gather(self.labels, index)

    def _conv_norm(self, x, place, strides=1):
        tf = self.tf
        x = tf.nn.conv2d(x, tf.cast(self.kernels[place], self.compute), strides, "SAME")
        gamma, beta, mean, variance = self.norms[place]
        x, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=1e-5, is_training=True
        )
        mean.assign_sub(0.1 * (mean - batch_mean))
        variance.assign_sub(0.1 * (variance - batch_variance))
        return x

    def _logits(self, x):
        tf = self.tf
        x, place = tf.nn.relu(self._conv_norm(x, 0)), 1
        for stage in range(3):
            for number in range(self.per_stage):
                strides = 2 if stage and not number else 1
                y = tf.nn.relu(self._conv_norm(x, place, strides))
                y = self._conv_norm(y, place + 1)
                if strides > 1:
                    x = tf.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], [0, x.shape[-1]]])
                x, place = tf.nn.relu(x + y), place + 2
        pooled = tf.cast(tf.reduce_mean(x, (1, 2)), tf.float32)
        return pooled @ self.kernels[-1] + self.bias

    def _step(self, index):
        tf = self.tf
        pictures, labels = self._batch(index)
        with tf.GradientTape() as tape:
            logits = self._logits(pictures)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, self.trainable)
        for weight, velocity, gradient in zip(self.trainable, self.velocities, gradients, strict=True):
            decay = 1e-4 * weight if weight.ref() in self.decaying else 0.0
            velocity.assign(0.9 * velocity - 0.1 * (gradient + decay))
            weight.assign_add(velocity)
        wrong = tf.argmax(logits, 1, tf.int32) != labels
        self.wrong.assign_add(tf.reduce_sum(tf.cast(wrong, tf.float32)))
        return loss

    def take(self, count: int) -> float:
        """Seconds that `count` steps take."""
        start = time.perf_counter()
        for _ in range(count):
            loss = self.step(next(self.order))
        float(loss), float(self.wrong)
        return time.perf_counter() - start

    def versions(self) -> dict[str, str]:
        """Of TensorFlow."""
        return {"tensorflow": self.tf.__version__}
