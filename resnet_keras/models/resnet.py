"""Plain and residual networks for CIFAR (Sec. 4.2) and ImageNet (Table 1)."""

from __future__ import annotations

import keras
from keras import ops

from resnet_keras.models.blocks import BLOCKS, Conv2D
from resnet_keras.models.catalogue import architecture
from resnet_keras.models.initialization import initialize
from resnet_keras.models.normalization import BatchNormalization

# Filters, kernel size and stride of conv1; whether a 3x3 max pool of stride 2 follows.
STEMS = {"cifar": (16, 3, 1, False), "imagenet": (64, 7, 2, True)}


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


@keras.saving.register_keras_serializable("resnet_keras")
class ResNet(keras.Model):
    """A network of the catalogue. Make one with `resnet_keras.build`, which checks the arguments.

    Blocks are layers and the network is a loop over them, so that 1202 layers build: a functional graph of as many
    exceeds Python's recursion limit. Variables are named ``<network>/stage2_block1/conv1/kernel`` and so on.
    """

    def __init__(self, *, name, shortcut, classes, input_shape, seed=0, stride_in="1x1", dtype=None, **kwargs):
        """See `resnet_keras.build`."""
        super().__init__(name=name, dtype=dtype, autocast=False, **kwargs)
        net = architecture(name)
        self.arguments = {
            "shortcut": shortcut,
            "classes": classes,
            "input_shape": list(input_shape),
            "seed": seed,
            "stride_in": stride_in,
        }
        policy = self.dtype_policy
        filters, size, stride, pools = STEMS[net.family]
        mean_shape = input_shape if net.family == "cifar" else input_shape[-1:]
        self.mean = MeanSubtraction(mean_shape, name="mean", dtype=policy)
        self.conv1 = Conv2D(filters, size, stride, name="conv1", dtype=policy)
        self.bn1 = BatchNormalization(name="bn1", dtype=policy)
        self.pool1 = keras.layers.MaxPooling2D(3, 2, "same", name="pool1", dtype=policy) if pools else None
        self.blocks = [
            BLOCKS[net.block](width, step, shortcut, stride_in, name=block_name, dtype=policy)
            for block_name, width, step in block_plan(net)
        ]
        # The average and the logits are float32 in every precision: they cost nothing and the loss needs them.
        self.pool = keras.layers.GlobalAveragePooling2D(name="pool", dtype="float32")
        self.fc = keras.layers.Dense(classes, name="fc", dtype="float32")

    def build(self, input_shape=None):
        """Create every variable and draw the initial weights."""
        shape = (None, *self.arguments["input_shape"])
        stem = [layer for layer in (self.mean, self.conv1, self.bn1, self.pool1) if layer is not None]
        for layer in [*stem, *self.blocks, self.pool, self.fc]:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        initialize(self, self.arguments["seed"])

    def call(self, inputs, training=None):
        """Pictures [b, h, w, c], raw pixels 0..255, to float32 logits [b, classes]."""
        x = ops.relu(self.bn1(self.conv1(self.mean(inputs)), training=training))
        if self.pool1 is not None:
            x = self.pool1(x)
        for block in self.blocks:
            x = block(x, training=training)
        return self.fc(self.pool(x))

    def get_config(self):
        """What `from_config` needs to make the same network."""
        dtype = keras.saving.serialize_keras_object(self.dtype_policy)
        return {"name": self.name, "dtype": dtype, **self.arguments}


def block_plan(net) -> list[tuple[str, int, int]]:
    """(name, filters, stride) of each block of an `Architecture`, in order.

    The first block of every stage but the first halves the map (Sec. 3.3).
    """
    plan = []
    for index, (count, width) in enumerate(zip(net.blocks, net.filters, strict=True)):
        for number in range(1, count + 1):
            stride = 2 if index > 0 and number == 1 else 1
            plan.append((f"stage{net.first_stage + index}_block{number}", width, stride))
    return plan
