"""The basic block and the bottleneck (Fig. 5), plain or residual, with the shortcut options A, B and C (Sec. 4.1)."""

import keras
from keras import ops

from resnet_keras.models.catalogue import convolutions, projects
from resnet_keras.models.layers import Conv2D, normalization


class Block(keras.layers.Layer):
    """What both kinds of block share: relu(F(x) + shortcut(x)), where F is a chain of conv, BN, ReLU, conv, BN.

    [b, h, w, c] -> [b, ceil(h / stride), ceil(w / stride), channels]. `filters` are those of the 3x3 convolutions; for
    the options see `resnet_keras.build`.
    """

    kind = "basic"

    def __init__(self, filters, stride=1, shortcut="A", stride_in="1x1", batch_norm=True, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.stride, self.shortcut, self.stride_in = filters, stride, shortcut, stride_in
        self.batch_norm, self.channels = batch_norm, self.plan()[-1][0]
        self.convs, self.bns = [], []
        for number, (width, size, step) in enumerate(self.plan(), start=1):
            self.convs.append(Conv2D(width, size, step, name=f"conv{number}", dtype=self.dtype_policy))
            self.bns.append(normalization(batch_norm, name=f"bn{number}", dtype=self.dtype_policy))
        self.shortcut_conv = self.shortcut_bn = None

    def plan(self) -> list[tuple[int, int, int]]:
        """(filters, kernel size, stride) of each convolution of F."""
        return convolutions(self.kind, self.filters, self.stride, self.stride_in)

    def parts(self) -> list[keras.Layer]:
        """The layers inside: those of F in order, then the projection of a built block that has one."""
        parts = [layer for pair in zip(self.convs, self.bns, strict=True) for layer in pair]
        return [*parts, self.shortcut_conv, self.shortcut_bn] if self.shortcut_conv else parts

    def build(self, input_shape):
        """Build the layers of F and, where the option asks for one at this input, the projection."""
        shape = input_shape
        for conv, bn in zip(self.convs, self.bns, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            bn.build(shape)
        if projects(self.shortcut, grows=self.stride > 1 or input_shape[-1] != self.channels):
            policy = self.dtype_policy
            self.shortcut_conv = Conv2D(self.channels, 1, self.stride, name="shortcut_conv", dtype=policy)
            self.shortcut_bn = normalization(self.batch_norm, name="shortcut_bn", dtype=policy)
            self.shortcut_conv.build(input_shape)
            self.shortcut_bn.build(shape)

    @property
    def keeps_shape(self) -> bool:
        """Whether a built block's output has the shape of its input, as every block's but a stage's first has."""
        return self.stride == 1 and self.convs[0].kernel.shape[2] == self.channels

    def call(self, inputs, training=None, watch=None):
        """relu(F(x) + shortcut(x)), or relu(F(x)) in a plain network (Eq. 1 and 2); for `watch` see `through`."""
        x = self.residual(inputs, training, watch)
        if self.shortcut != "none":
            x = x + self.carried(inputs, training, watch)
        return ops.relu(x)

    def residual(self, x, training=None, watch=None):
        """F(x): the stacked layers, up to the last BN."""
        for number, (conv, bn) in enumerate(zip(self.convs, self.bns, strict=True)):
            x = through([conv, bn], ops.relu(x) if number else x, training, watch)
        return x

    def carried(self, x, training=None, watch=None):
        """What the shortcut carries: x itself (option A where it grows: see `identity`), or its projection."""
        if self.shortcut_conv is None:
            return identity(x, self.stride, self.channels)
        return through([self.shortcut_conv, self.shortcut_bn], x, training, watch)

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        batch, *sides, _ = input_shape
        return (batch, *(side and -(-side // self.stride) for side in sides), self.channels)


class BasicBlock(Block):
    """Two 3x3 convolutions (Fig. 5, left); the first one strides."""


class Bottleneck(Block):
    """1x1, 3x3, 1x1 convolutions, the last with four times the filters (Fig. 5, right); for strides see `build`."""

    kind = "bottleneck"


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


def identity(x, stride: int, channels: int):
    """Option A's shortcut: every `stride`-th pixel from the first on, and zeros for the new channels, at the end.

    The paper leaves their place open; elsewhere, the networks would differ by a permutation of channels alone.
    """
    missing = channels - x.shape[-1]
    if stride == 1 and not missing:
        return x
    if keras.config.backend() == "tensorflow":
        # Pooling single pixels takes the same ones. A strided slice costs eight times that in training, because its
        # gradient has no fast kernel on a CPU; XLA, which JAX has, fuses the slice with what stands beside it.
        x = ops.average_pool(x, 1, stride, data_format="channels_last")
    else:
        x = x[:, ::stride, ::stride, :]
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))


def through(layers: list, x, training=None, watch=None):
    """The output of `layers`, applied to x one after the other; `watch` sees each layer, its input and its output."""
    for layer in layers:
        before, x = x, layer(x, training=training)
        if watch:
            watch(layer, before, x)
    return x
