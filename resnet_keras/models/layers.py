"""The plain layers that every network is made of, padded as the authors pad."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("resnet_keras")
class Conv2D(keras.layers.Conv2D):
    """A convolution, zero-padded by (kernel_size - 1) / 2 pixels on *each* side, as the authors pad.

    Keras' ``padding="same"`` at stride 2 pads an even map on the bottom and right alone, which would set the residual
    branch one pixel off option A's subsample. [b, h, w, c] -> [b, ceil(h / stride), ceil(w / stride), filters].
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, use_bias: bool = False, **kwargs):
        """Takes `keras.layers.Conv2D`'s arguments for a square, odd kernel; there is no bias unless asked for."""
        self.border = (kernel_size - 1) // 2 if strides > 1 else 0
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding="valid" if self.border else "same",
            data_format="channels_last",
            use_bias=use_bias,
            **kwargs,
        )

    def call(self, inputs):
        """Pad and convolve."""
        return super().call(pad(inputs, self.border, self.border))

    def compute_output_shape(self, input_shape):
        """Shape of the output, padding included."""
        return super().compute_output_shape(padded_shape(input_shape, 2 * self.border))


@keras.saving.register_keras_serializable("resnet_keras")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """The 3x3 max pool of stride 2 after conv1 (Table 1): [b, h, w, c], not negative, to half the height and width.

    `pool_padding` says where the map, after its ReLU, gets its row and column of zeros: ``"end"``, as in the authors'
    definition (Caffe rounds the size up and so lets the last window hang over the bottom and right edges), or
    ``"both"`` sides, as in torchvision and keras.applications. Keras' "same" agrees with the authors on even maps only.
    """

    def __init__(self, pool_padding: str = "end", **kwargs):
        """`pool_padding`: a key of `POOL_BORDERS`."""
        super().__init__(3, 2, padding="valid", data_format="channels_last", **kwargs)
        self.pool_padding = pool_padding

    def call(self, inputs):
        """Pad and pool."""
        return super().call(pad(inputs, *POOL_BORDERS[self.pool_padding]))

    def compute_output_shape(self, input_shape):
        """Shape of the output, padding included."""
        return super().compute_output_shape(padded_shape(input_shape, sum(POOL_BORDERS[self.pool_padding])))

    def get_config(self):
        """The constructor's arguments."""
        own = {key: value for key, value in super().get_config().items() if key in ("name", "trainable", "dtype")}
        return {**own, "pool_padding": self.pool_padding}


POOL_BORDERS = {"end": (0, 1), "both": (1, 1)}  # zeros before and after, in pixels


def pad(x, before: int, after: int):
    """Surround maps [b, h, w, c] with zeros: `before` pixels on the top and left, `after` on the bottom and right."""
    side = (before, after)
    return ops.pad(x, ((0, 0), side, side, (0, 0))) if before or after else x


def padded_shape(shape, more: int) -> tuple:
    """A map's shape with `more` rows and columns; unknown sides stay unknown."""
    batch, *sides, channels = shape
    return (batch, *(None if side is None else side + more for side in sides), channels)


@keras.saving.register_keras_serializable("resnet_keras")
class MeanSubtraction(keras.layers.Layer):
    """Subtracts a stored mean picture, or mean colour, from raw pixels; no division.

    Input: uint8 or float in 0..255, [b, h, w, c]. Output: the same shape in the compute dtype. The subtraction itself
    is in float32, so that a low-precision network sees pixels rounded once, after it.
    """

    def __init__(self, mean_shape: tuple[int, ...], **kwargs):
        """`mean_shape`: (h, w, c) for the per-pixel mean of CIFAR, (c,) for a mean colour."""
        super().__init__(autocast=False, **kwargs)
        self.mean_shape = tuple(mean_shape)

    def build(self, input_shape):
        """Make the stored mean, zero until it is set."""
        self.mean = self.add_weight(name="mean", shape=self.mean_shape, initializer="zeros", trainable=False)

    def call(self, inputs):
        """Subtract the mean."""
        pixels = ops.cast(inputs, "float32") - ops.cast(self.mean, "float32")
        return ops.cast(pixels, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "mean_shape": self.mean_shape}
