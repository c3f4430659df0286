"""The basic block and the bottleneck (Fig. 5), plain or residual."""

from __future__ import annotations

import keras
from keras import ops

from resnet_keras.models.layers import Conv2D
from resnet_keras.models.normalization import normalization
from resnet_keras.models.shortcuts import identity, projects


class Block(keras.layers.Layer):
    """What both kinds of block share: a chain of conv, BN, ReLU whose last ReLU comes after the addition.

    Variables: ``conv1/kernel``, ``bn1/gamma`` ... and, where the shortcut projects, ``shortcut_conv/kernel`` and
    ``shortcut_bn/*``. Input [b, h, w, c], output [b, ceil(h / stride), ceil(w / stride), filters * expansion].
    """

    expansion = 1

    def __init__(
        self,
        filters: int,
        stride: int = 1,
        shortcut: str = "A",
        stride_in: str = "1x1",
        batch_norm: bool = True,
        **kwargs,
    ):
        """Set the block up.

        Args:
            filters: Filters of the 3x3 convolutions.
            stride: 2 in the first block of a stage that halves the map, else 1.
            shortcut: A key of `resnet_keras.models.shortcuts.OPTIONS`.
            stride_in: Which convolution of a bottleneck strides; see `Bottleneck`.
            batch_norm: BN after each convolution; without it there are no ``bn1`` and so on.
            **kwargs: `name` and `dtype`, as for any Keras layer.
        """
        super().__init__(**kwargs)
        self.filters, self.stride, self.shortcut, self.stride_in = filters, stride, shortcut, stride_in
        self.batch_norm = batch_norm
        self.convs, self.bns = [], []
        for number, (width, size, step) in enumerate(self.plan(), start=1):
            self.convs.append(Conv2D(width, size, step, name=f"conv{number}", dtype=self.dtype_policy))
            self.bns.append(normalization(batch_norm, name=f"bn{number}", dtype=self.dtype_policy))
        self.shortcut_conv = self.shortcut_bn = None

    def plan(self) -> list[tuple[int, int, int]]:
        """(filters, kernel size, stride) of each convolution."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.filters * self.expansion

    def parts(self, input_shape) -> list[tuple[keras.Layer, tuple]]:
        """Every layer with weights and the shape of its input: the chain, then the projection if there is one."""
        found, shape = [], tuple(input_shape)
        for conv, bn in zip(self.convs, self.bns, strict=True):
            found.append((conv, shape))
            shape = conv.compute_output_shape(shape)
            found.append((bn, shape))
        if self._projects(input_shape[-1]):
            if self.shortcut_conv is None:
                policy = self.dtype_policy
                self.shortcut_conv = Conv2D(self.channels, 1, self.stride, name="shortcut_conv", dtype=policy)
                self.shortcut_bn = normalization(self.batch_norm, name="shortcut_bn", dtype=policy)
            found += [(self.shortcut_conv, tuple(input_shape)), (self.shortcut_bn, shape)]
        return found

    def _projects(self, channels_in: int) -> bool:
        return projects(self.shortcut, grows=self.stride > 1 or channels_in != self.channels)

    def build(self, input_shape):
        """Build the chain and, where the option asks for one at this input, the projection."""
        for layer, shape in self.parts(input_shape):
            layer.build(shape)

    @property
    def keeps_shape(self) -> bool:
        """Whether a built block's output has the shape of its input, as every block's but a stage's first has."""
        return self.stride == 1 and self.convs[0].kernel.shape[2] == self.channels

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
        names = ("filters", "stride", "shortcut", "stride_in", "batch_norm")
        own = {name: getattr(self, name) for name in names}
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
