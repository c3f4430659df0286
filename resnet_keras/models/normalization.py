"""Batch normalization with the paper's constants, through the backend's fused kernel where it has one."""

from __future__ import annotations

import keras
from keras import ops

MOMENTUM = 0.9  # of the moving statistics; the authors' Caffe keeps 0.9 of the old value a step
EPSILON = 1e-5  # added to the variance, as in the authors' released definitions


def normalization(wanted: bool, **kwargs):
    """A BN layer or, where none is wanted, a layer that changes nothing and has no weights."""
    return BatchNormalization(**kwargs) if wanted else keras.layers.Identity(**kwargs)


def normalize_in_groups(network, size: int) -> None:
    """In training, take BN's statistics over groups of `size` images, as so many devices would each over its own.

    The paper's were 64 images on CIFAR (128 on 2 GPUs) and 32 on ImageNet (256 on 8). Saved networks do not keep it.

    Args:
        network: A network of the catalogue.
        size: Images in a group, in the order of the batch, which is a multiple of it; 0 for the whole batch.
    """
    for _, layer, _ in network.parts():
        if isinstance(layer, BatchNormalization):
            layer.group = size


@keras.saving.register_keras_serializable("resnet_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`: the same variables and results, faster on TensorFlow.

    Keras computes the mean, the variance and the affine map as separate passes over memory; TensorFlow's fused kernel
    takes one or two. Statistics are float32 in every precision. Input and output: [batch, height, width, channels].

    Attributes:
        group: Images whose statistics are taken together in training; 0 for the whole batch. See `normalize_in_groups`.
    """

    group = 0

    def __init__(self, momentum: float = MOMENTUM, epsilon: float = EPSILON, **kwargs):
        """See `keras.layers.BatchNormalization` for the arguments; only these two defaults differ."""
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs`, with the batch's statistics in training and the moving ones otherwise."""
        if self.group and training and self.trainable:
            return self._grouped_training(inputs)
        if keras.config.backend() != "tensorflow" or not self._kernel_fits(inputs):
            return super().call(inputs, training=training, mask=mask)
        if training and self.trainable:
            return self._fused_training(inputs)
        return self._fused_inference(inputs)

    def _grouped_training(self, inputs):
        """Each group by its own mean and variance; the moving statistics take the mean of the groups'."""
        groups = ops.cast(ops.reshape(inputs, (-1, self.group, *inputs.shape[1:])), "float32")
        mean, variance = ops.moments(groups, axes=(1, 2, 3), keepdims=True)
        outputs = (groups - mean) * (ops.rsqrt(variance + self.epsilon) * self.gamma) + self.beta
        self._move(self.moving_mean, ops.mean(mean, axis=(0, 1, 2, 3)))
        self._move(self.moving_variance, ops.mean(variance, axis=(0, 1, 2, 3)))
        return ops.cast(ops.reshape(outputs, (-1, *inputs.shape[1:])), inputs.dtype)

    def _kernel_fits(self, inputs) -> bool:
        last = self.axis in (-1, len(inputs.shape) - 1)
        return last and len(inputs.shape) == 4 and self.scale and self.center

    def _fused_training(self, inputs):
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel reports the unbiased variance; Keras, and so a moving average made elsewhere, keeps the biased one.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * ((count - 1.0) / count))
        return outputs

    def _move(self, average, value):
        average.assign(average * self.momentum + value * (1.0 - self.momentum))

    def _fused_inference(self, inputs):
        import tensorflow as tf

        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=self.moving_mean,
            variance=self.moving_variance,
            epsilon=self.epsilon,
            is_training=False,
        )[0]
