"""Long rows of equal blocks as one loop over their stacked weights.

A compiled step of ResNet-1202 would hold 600 copies of a block's operations and take minutes to trace; here a block is
traced once a stage. The loop also saves memory: in training it keeps each block's input alone, and computes the inside
of a block again on the way back.
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
    """Equal blocks, called as one layer; a compiled step runs them as a loop."""

    def __init__(self, blocks: list):
        self.blocks, self.name = blocks, blocks[-1].name

    def __call__(self, x, training=None):
        """The output of the last block; moving statistics change as if each block ran by itself."""
        if not _is_traced(x):  # op by op, a loop gains nothing
            for block in self.blocks:
                x = block(x, training=training)
            return x

        def body(x, weights, others):
            return self.blocks[0].stateless_call(weights, others, x, training=training)

        def stacked(kind: str) -> list:  # for each of a block's variables a tensor [blocks, ...]
            rows = (getattr(block, kind) for block in self.blocks)
            return [ops.stack([variable.value for variable in column]) for column in zip(*rows, strict=True)]

        weights, others = stacked("trainable_variables"), stacked("non_trainable_variables")
        x, changed = LOOPS[keras.config.backend()](body, x, weights, others, len(self.blocks), training)
        for index, values in enumerate(changed if training else []):
            for block, value in zip(self.blocks, ops.unstack(values, len(self.blocks)), strict=True):
                block.non_trainable_variables[index].assign(value)
        return x


def _is_traced(x) -> bool:
    """Whether this call records operations for a compiled step."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    import jax

    return keras.config.backend() == "jax" and isinstance(x, jax.core.Tracer)


def _jax_loop(body, x, weights, others, count, training):
    import jax

    def step(x, row):
        return body(x, *row)

    return jax.lax.scan(jax.checkpoint(step) if training else step, x, (weights, others))


def _tensorflow_loop(body, x, weights, others, count, training):
    import tensorflow as tf

    def at(tensors, i):
        return [tensor[i] for tensor in tensors]

    def arrays(tensors):
        return [tf.TensorArray(tensor.dtype, count, element_shape=tensor.shape[1:]) for tensor in tensors]

    def write(arrays, i, values):
        return [array.write(i, value) for array, value in zip(arrays, values, strict=True)]

    def forward(x, weights, others):
        """Output, the blocks' new `others` stacked, and in training every block's input."""

        def step(i, x, inputs, changed):
            inputs = inputs.write(i, x) if training else inputs
            x, new = body(x, at(weights, i), at(others, i))
            return i + 1, x, inputs, write(changed, i, new)

        start = (0, x, tf.TensorArray(x.dtype, count, element_shape=x.shape), arrays(others))
        _, x, inputs, changed = tf.while_loop(lambda i, *_: i < count, step, start, parallel_iterations=1)
        return x, [array.stack() for array in changed], inputs

    if not training:
        return forward(x, weights, others)[:2]

    @tf.custom_gradient
    def rematerialised(x, *stacked):
        weights_now, others_now = stacked[: len(weights)], stacked[len(weights) :]
        outputs, changed, inputs = forward(x, weights_now, others_now)

        def step(i, gradient, of_weights):
            sources = [inputs.read(i), *at(weights_now, i)]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                x, _ = body(sources[0], sources[1:], at(others_now, i))
            gradient, *parts = tape.gradient(x, sources, gradient)
            return i - 1, gradient, write(of_weights, i, parts)

        def backward(gradient, *_):
            start = (count - 1, gradient, arrays(weights_now))
            _, of_x, of_weights = tf.while_loop(lambda i, *_: i >= 0, step, start, parallel_iterations=1)
            return of_x, *(array.stack() for array in of_weights), *(None for _ in others_now)

        return (outputs, *changed), backward

    outputs, *changed = rematerialised(x, *weights, *others)
    return outputs, changed


LOOPS = {"tensorflow": _tensorflow_loop, "jax": _jax_loop}
