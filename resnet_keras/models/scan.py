"""Long rows of equal blocks as one loop over their stacked weights.

A compiled step of ResNet-1202 would hold 600 copies of a block's operations and take minutes to trace; here a block is
traced once a stage. In training the loop keeps each block's input alone, and computes its inside again on the way back.
"""

import itertools

import keras
from keras import ops

MANY = 60  # equal blocks in a row from which the loop traces faster than the copies cost; ResNet-110 has 17


def joined(layers: list, many: int | None = MANY) -> list:
    """The layers, with a `BlockRow` in place of `many` or more equal blocks one after the other; None for no row."""

    def kind(layer):
        if not getattr(layer, "keeps_shape", False):
            return id(layer)
        weights = [(tuple(variable.shape), variable.trainable) for variable in layer.variables]
        return type(layer), layer.plan(), layer.shortcut, layer.batch_norm, weights

    if many is None or len(layers) < many:
        return layers
    rows = [list(row) for _, row in itertools.groupby(layers, kind)]
    return [layer for row in rows for layer in ([BlockRow(row)] if len(row) >= many else row)]


class BlockRow:
    """Equal blocks, called as one layer that runs them as a loop."""

    def __init__(self, blocks: list):
        self.blocks, self.name = blocks, blocks[-1].name

    def __call__(self, x, training=None):
        """The output of the last block; moving statistics change as if each block ran by itself."""

        def body(x, weights, others):
            return self.blocks[0].stateless_call(weights, others, x, training=training)

        def stacked(kind: str) -> list:  # for each of a block's variables a tensor [blocks, ...]
            rows = (getattr(block, kind) for block in self.blocks)
            return [ops.stack([variable.value for variable in column]) for column in zip(*rows, strict=True)]

        loop, stacks = LOOPS[keras.config.backend()], map(stacked, ("trainable_variables", "non_trainable_variables"))
        x, changed = loop(keras.remat(body) if training else body, x, *stacks)
        for index, values in enumerate(changed if training else []):
            for block, value in zip(self.blocks, ops.unstack(values, len(self.blocks)), strict=True):
                block.non_trainable_variables[index].assign(value)
        return x


def _jax_loop(body, x, weights, others):
    import jax

    return jax.lax.scan(lambda x, row: body(x, *row), x, (weights, others))


def _tensorflow_loop(body, x, weights, others):
    import tensorflow as tf

    count = weights[0].shape[0]
    rows = [tf.TensorArray(each.dtype, count).unstack(each) for each in (*weights, *others)]
    changed = [tf.TensorArray(each.dtype, count, element_shape=each.shape[1:]) for each in others]

    def step(i, x, changed):
        row = [array.read(i) for array in rows]
        x, new = body(x, row[: len(weights)], row[len(weights) :])
        return i + 1, x, [array.write(i, value) for array, value in zip(changed, new, strict=True)]

    _, x, changed = tf.while_loop(lambda i, *_: i < count, step, (0, x, changed), parallel_iterations=1)
    return x, [array.stack() for array in changed]


LOOPS = {"tensorflow": _tensorflow_loop, "jax": _jax_loop}
