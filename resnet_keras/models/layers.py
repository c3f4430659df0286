"""What every network is made of: convolution and pooling padded as the authors pad, the mean, BN, first weights."""

import zlib

import keras
import numpy as np
from keras import ops

from resnet_keras.quiet import cpu_class

MOMENTUM = 0.9  # of BN's moving statistics; the authors' Caffe keeps 0.9 of the old value a step
EPSILON = 1e-5  # added to BN's variance, as in the authors' released definitions
SMALL = set(range(6, 15))  # sides of maps on which `small_map_convolution` was measured to be faster


class Padded:
    """A layer around whose maps [b, h, w, c] stand zeros: `border` pixels on the top and left, bottom and right."""

    def call(self, inputs):
        """Pad, and do as Keras does."""
        sides = ((0, 0), self.border, self.border, (0, 0))
        return super().call(ops.pad(inputs, sides) if any(self.border) else inputs)

    def compute_output_shape(self, input_shape):
        """Shape of the output, padding included; unknown sides stay unknown."""
        batch, *sides, channels = input_shape
        return super().compute_output_shape((batch, *(side and side + sum(self.border) for side in sides), channels))


class Conv2D(Padded, keras.layers.Conv2D):
    """A convolution, zero-padded by (kernel_size - 1) / 2 pixels on *each* side, as the authors pad.

    Keras' ``padding="same"`` at stride 2 pads an even map on the bottom and right alone, which would set the residual
    branch one pixel off option A's subsample. [b, h, w, c] -> [b, ceil(h / stride), ceil(w / stride), filters].
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, use_bias: bool = False, **kwargs):
        border = (kernel_size - 1) // 2 if strides > 1 else 0
        kwargs |= {"padding": "valid" if border else "same", "data_format": "channels_last"}
        super().__init__(filters, kernel_size, strides=strides, use_bias=use_bias, **kwargs)
        self.border = (border, border)

    def convolution_op(self, inputs, kernel):
        """As Keras does it; on CPUs with AVX2 alone, by `small_map_convolution`, which trains faster there."""
        fits = (*self.kernel_size, *self.strides) == (3, 3, 1, 1) and set(inputs.shape[1:3]) <= SMALL
        on_cpu = keras.config.backend() == "tensorflow" and not keras.distribution.list_devices("gpu")
        if fits and kernel.shape[2] >= 64 and on_cpu and cpu_class() == "AVX2":
            return small_map_convolution(inputs, kernel)
        return super().convolution_op(inputs, kernel)


def small_map_convolution(x, kernel):
    """TensorFlow's 3x3 convolution, with the kernel's gradient as a convolution of x by the gradient of the output.

    oneDNN's own kernel for it takes 1.05 to 1.9 times as long on AVX2, on small maps of 64 channels or more.
    """
    import tensorflow as tf

    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)  # read once: a loop holds no variable

    def gradients(outer):
        images, filters = tf.transpose(x, (3, 1, 2, 0)), tf.transpose(outer, (1, 2, 0, 3))
        to_kernel = tf.nn.conv2d(images, filters, 1, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return tf.nn.conv2d_transpose(outer, kernel, tf.shape(x), 1), tf.transpose(to_kernel, (1, 2, 0, 3))

    return tf.custom_gradient(lambda x, kernel: (tf.nn.conv2d(x, kernel, 1, "SAME"), gradients))(x, kernel)


class MaxPooling2D(Padded, keras.layers.MaxPooling2D):
    """The 3x3 max pool of stride 2 after conv1 (Table 1): [b, h, w, c], not negative, to half the height and width.

    `pool_padding` says where the zeros stand: at the ``"end"``, as the authors' (Caffe lets the last window hang over
    the bottom and right edges; Keras' "same" is that on even maps only), or on ``"both"`` sides, as in torchvision.
    """

    def __init__(self, pool_padding: str = "end", **kwargs):
        super().__init__(3, 2, padding="valid", data_format="channels_last", **kwargs)
        self.border = {"end": (0, 1), "both": (1, 1)}[pool_padding]


class MeanSubtraction(keras.layers.Layer):
    """Subtracts a stored mean image (h, w, c), or mean colour (c,), from raw pixels [b, h, w, c]; no division.

    In float32, whatever the compute dtype: a low-precision network sees pixels rounded once, after the subtraction.
    """

    def __init__(self, mean_shape: tuple[int, ...], **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mean_shape = tuple(mean_shape)

    def build(self, input_shape):
        """Make the stored mean, zero until it is set."""
        self.mean = self.add_weight(name="mean", shape=self.mean_shape, initializer="zeros", trainable=False)

    def call(self, inputs):
        """Subtract the mean."""
        return ops.cast(ops.cast(inputs, "float32") - ops.cast(self.mean, "float32"), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        return input_shape


def normalization(batch_norm: bool, **kwargs):
    """A BN layer or, in a network without BN, a layer that changes nothing and has no weights."""
    if batch_norm:
        return BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, **kwargs)
    return keras.layers.Identity(**kwargs)


def normalize_in_groups(network, size: int) -> None:
    """In training, take BN's statistics over `size` images each, which divides the batch; 0: all. It is not saved."""
    for _, layer in network.parts():
        if isinstance(layer, BatchNormalization):
            layer.group = size


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer on [b, h, w, c]; on TensorFlow by its fused kernel, in fewer passes over memory."""

    group = 0  # images whose statistics are taken together in training; see `normalize_in_groups`

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs`, with the batch's statistics in training and the moving ones otherwise."""
        training = bool(training and self.trainable)
        if self.group and training:  # each group by its own statistics; the moving ones take the mean of the groups'
            groups = ops.cast(ops.reshape(inputs, (-1, self.group, *inputs.shape[1:])), "float32")
            mean, variance = ops.moments(groups, axes=(1, 2, 3), keepdims=True)
            outputs = (groups - mean) * (ops.rsqrt(variance + self.epsilon) * self.gamma) + self.beta
            self._move(self.moving_mean, ops.mean(mean, axis=(0, 1, 2, 3)))
            self._move(self.moving_variance, ops.mean(variance, axis=(0, 1, 2, 3)))
            return ops.cast(ops.reshape(outputs, (-1, *inputs.shape[1:])), inputs.dtype)
        if keras.config.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        mean, variance = ([], []) if training else (self.moving_mean, self.moving_variance)
        options = {"scale": self.gamma, "offset": self.beta, "epsilon": self.epsilon, "is_training": training}
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(x=inputs, mean=mean, variance=variance, **options)
        if training:
            # The kernel reports the unbiased variance; Keras, and so a moving average made elsewhere, keeps the biased.
            count = ops.cast(ops.size(inputs) // inputs.shape[-1], "float32")
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance * ((count - 1.0) / count))
        return outputs

    def _move(self, average, value):
        average.assign(average * self.momentum + value * (1.0 - self.momentum))


def he_normal(shape: tuple[int, ...], seed: int, place: str) -> np.ndarray:
    """A He-initialised kernel, float32: a plain Gaussian of variance 2 / fan-in ([13] of the paper, Sec. 3.4).

    [height, width, in, out] or [in, out]. As `place`, the path below the network's name, decides it, it is the same on
    every backend, and in a plain network and its residual twin.
    """
    key = np.array([seed, zlib.crc32(place.encode())], np.uint64)
    draws = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape)
    return (draws * np.sqrt(2.0 / np.prod(shape[:-1]))).astype(np.float32)
