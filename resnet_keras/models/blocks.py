"""The basic block and the bottleneck (Fig. 5), plain or residual, and the layers that they are made of."""

from __future__ import annotations

import keras
from keras import ops

from resnet_keras.models.normalization import BatchNormalization
from resnet_keras.models.shortcuts import identity, projects


@keras.saving.register_keras_serializable("resnet_keras")
class Conv2D(keras.layers.Conv2D):
    """A convolution without bias, zero-padded by (kernel_size - 1) / 2 pixels on *each* side, as the authors pad.

    Keras' ``padding="same"`` at stride 2 pads an even map on the bottom and right alone, which would set the residual
    branch one pixel off option A's subsample. [b, h, w, c] -> [b, ceil(h / stride), ceil(w / stride), filters].
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, **kwargs):
        """Takes `keras.layers.Conv2D`'s arguments for a square, odd kernel."""
        self.border = (kernel_size - 1) // 2 if strides > 1 else 0
        super().__init__(
            filters, kernel_size, strides=strides, padding="valid" if self.border else "same", use_bias=False, **kwargs
        )

    def call(self, inputs):
        """Pad and convolve."""
        return super().call(pad(inputs, self.border))

    def compute_output_shape(self, input_shape):
        """Shape of the output, padding included."""
        batch, height, width, channels = input_shape
        sides = [None if side is None else side + 2 * self.border for side in (height, width)]
        return super().compute_output_shape((batch, *sides, channels))


def pad(x, border: int):
    """Surround maps [b, h, w, c] with `border` pixels of zeros on each side."""
    return ops.pad(x, ((0, 0), (border, border), (border, border), (0, 0))) if border else x


class Block(keras.layers.Layer):
    """What both kinds of block share: a chain of conv, BN, ReLU whose last ReLU comes after the addition.

    Variables: ``conv1/kernel``, ``bn1/gamma`` ... and, where the shortcut projects, ``shortcut_conv/kernel`` and
    ``shortcut_bn/*``. Input [b, h, w, c], output [b, ceil(h / stride), ceil(w / stride), filters * expansion].
    """

    expansion = 1

    def __init__(self, filters: int, stride: int = 1, shortcut: str = "A", stride_in: str = "1x1", **kwargs):
        """Set the block up.

        Args:
            filters: Filters of the 3x3 convolutions.
            stride: 2 in the first block of a stage that halves the map, else 1.
            shortcut: A key of `resnet_keras.models.shortcuts.OPTIONS`.
            stride_in: Which convolution of a bottleneck strides; see `Bottleneck`.
            **kwargs: `name` and `dtype`, as for any Keras layer.
        """
        super().__init__(**kwargs)
        self.filters, self.stride, self.shortcut, self.stride_in = filters, stride, shortcut, stride_in
        self.convs, self.bns = [], []
        for number, (width, size, step) in enumerate(self.plan(), start=1):
            self.convs.append(Conv2D(width, size, step, name=f"conv{number}", dtype=self.dtype_policy))
            self.bns.append(BatchNormalization(name=f"bn{number}", dtype=self.dtype_policy))
        self.shortcut_conv = self.shortcut_bn = None

    def plan(self) -> list[tuple[int, int, int]]:
        """(filters, kernel size, stride) of each convolution."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.filters * self.expansion

    def build(self, input_shape):
        """Build the chain and, where the option asks for one at this input, the projection."""
        shape = input_shape
        for conv, bn in zip(self.convs, self.bns, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            bn.build(shape)
        if projects(self.shortcut, grows=self.stride > 1 or input_shape[-1] != self.channels):
            self.shortcut_conv = Conv2D(self.channels, 1, self.stride, name="shortcut_conv", dtype=self.dtype_policy)
            self.shortcut_bn = BatchNormalization(name="shortcut_bn", dtype=self.dtype_policy)
            self.shortcut_conv.build(input_shape)
            self.shortcut_bn.build(shape)

    def call(self, inputs, training=None):
        """relu(F(x) + shortcut(x)), or relu(F(x)) in a plain network (Eq. 1 and 2)."""
        x = self.residual(inputs, training)
        if self.shortcut != "none":
            x = x + self.carried(inputs, training)
        return ops.relu(x)

    def residual(self, x, training=None):
        """F(x): the stacked layers, up to the last BN."""
        for number, (conv, bn) in enumerate(zip(self.convs, self.bns, strict=True)):
            x = bn(conv(ops.relu(x) if number else x), training=training)
        return x

    def carried(self, x, training=None):
        """What the shortcut carries: x itself, or its projection."""
        if self.shortcut_conv is None:
            return identity(x, self.stride, self.channels)
        return self.shortcut_bn(self.shortcut_conv(x), training=training)

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        batch, height, width, _ = input_shape
        sides = [None if side is None else -(-side // self.stride) for side in (height, width)]
        return (batch, *sides, self.channels)

    def get_config(self):
        """The constructor's arguments."""
        own = {key: getattr(self, key) for key in ("filters", "stride", "shortcut", "stride_in")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("resnet_keras")
class BasicBlock(Block):
    """Two 3x3 convolutions (Fig. 5, left); the first one strides."""

    def plan(self):
        """(filters, kernel size, stride) of each convolution."""
        return [(self.filters, 3, self.stride), (self.filters, 3, 1)]


@keras.saving.register_keras_serializable("resnet_keras")
class Bottleneck(Block):
    """1x1, 3x3, 1x1 convolutions, the last with four times the filters (Fig. 5, right).

    `stride_in` says which convolution strides: ``"1x1"``, the first, as in the paper ("v1"), or ``"3x3"``, as in most
    later code ("v1.5").
    """

    expansion = 4

    def plan(self):
        """(filters, kernel size, stride) of each convolution."""
        first, second = (self.stride, 1) if self.stride_in == "1x1" else (1, self.stride)
        return [(self.filters, 1, first), (self.filters, 3, second), (self.channels, 1, 1)]


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}
