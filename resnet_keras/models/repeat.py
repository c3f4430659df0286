"""Runs the layers of a stage: long rows of equal blocks as one loop over stacked weights, the rest one by one.

A compiled step of ResNet-1202 would hold 600 copies of a block's operations and take minutes to trace. Here a block is
traced once for each stage. The weights stay variables of their own blocks, stacked inside the step, so paths and
checkpoints do not depend on which way a stage is run. The loop is also what saves memory: in training it keeps each
block's input alone, and computes the inside of a block again on the way back.
"""

from __future__ import annotations

import contextlib
import itertools

import keras
from keras import ops

MANY = 60  # equal blocks in a row from which the loop traces faster than the copies cost; ResNet-110 has 17


def run(layers: list, x, training: bool):
    """The output of `layers`, applied to x one after the other."""
    for _, row in itertools.groupby(layers, _kind):
        row = list(row)
        if len(row) >= MANY and keras.config.backend() in LOOPS and _is_traced(x):
            x = _loop(row, x, training)
        else:
            for layer in row:
                x = layer(x, training=training)
    return x


@contextlib.contextmanager
def unrolled():
    """Within it every layer runs one by one: for a graph that goes to other software, which may not know the loop."""
    global MANY
    kept, MANY = MANY, float("inf")
    try:
        yield
    finally:
        MANY = kept


def _kind(layer):
    """Equal for layers that do the same with weights of the same shapes and keep the shape of their input."""
    if not getattr(layer, "keeps_shape", False):
        return id(layer)
    config = {**layer.get_config(), "name": None, "dtype": None}
    weights = [(tuple(variable.shape), variable.trainable) for variable in layer.variables]
    return f"{type(layer).__name__} {config} {weights}"


def _is_traced(x) -> bool:
    """Whether this call records operations for a compiled step; op by op, a loop gains nothing."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    import jax

    return isinstance(x, jax.core.Tracer)


def _loop(blocks: list, x, training: bool):
    """Run equal blocks, and update their moving statistics as running them one by one would."""
    first = blocks[0]

    def body(x, weights, others):
        return first.stateless_call(weights, others, x, training=training)

    weights = _stacked([block.trainable_variables for block in blocks])
    others = _stacked([block.non_trainable_variables for block in blocks])
    x, news = LOOPS[keras.config.backend()](body, x, weights, others, len(blocks), training)
    if training:
        for index, new in enumerate(news):
            for block, value in zip(blocks, ops.unstack(new, len(blocks)), strict=True):
                block.non_trainable_variables[index].assign(value)
    return x


def _stacked(rows: list[list]) -> list:
    """Variables of each block -> one tensor [blocks, ...] for each of a block's variables."""
    return [ops.stack([variable.value for variable in column]) for column in zip(*rows, strict=True)]


def _jax_loop(body, x, weights, others, count, training):
    import jax

    def step(x, row):
        return body(x, *row)

    return jax.lax.scan(jax.checkpoint(step) if training else step, x, (weights, others))


def _tensorflow_loop(body, x, weights, others, count, training):
    import tensorflow as tf

    def forward(x, weights, others, keep):
        """Output, new `others` stacked, and every block's input as a TensorArray where they are to be kept."""
        inputs = tf.TensorArray(x.dtype, count, element_shape=x.shape)
        news = [tf.TensorArray(other.dtype, count, element_shape=other.shape[1:]) for other in others]

        def step(i, x, inputs, news):
            inputs = inputs.write(i, x) if keep else inputs
            x, new = body(x, [weight[i] for weight in weights], [other[i] for other in others])
            return i + 1, x, inputs, [array.write(i, value) for array, value in zip(news, new, strict=True)]

        start = (0, x, inputs, news)
        _, x, inputs, news = tf.while_loop(lambda i, *_: i < count, step, start, parallel_iterations=1)
        return x, [new.stack() for new in news], inputs

    def backward(inputs, weights, others, gradient):
        """Gradients of the first input and of the stacked weights, from the last block to the first."""
        found = [tf.TensorArray(weight.dtype, count, element_shape=weight.shape[1:]) for weight in weights]

        def step(i, gradient, found):
            given = [inputs.read(i), *(weight[i] for weight in weights)]
            with tf.GradientTape() as tape:
                tape.watch(given)
                x, _ = body(given[0], given[1:], [other[i] for other in others])
            gradient, *of_weights = tape.gradient(x, given, gradient)
            return (
                i - 1,
                gradient,
                [array.write(i, value) for array, value in zip(found, of_weights, strict=True)],
            )

        start = (count - 1, gradient, found)
        _, gradient, found = tf.while_loop(lambda i, *_: i >= 0, step, start, parallel_iterations=1)
        return gradient, [array.stack() for array in found]

    @tf.custom_gradient
    def rematerialised(x, *stacked):
        weights_now, others_now = stacked[: len(weights)], stacked[len(weights) :]
        outputs, news, inputs = forward(x, weights_now, others_now, keep=True)

        def gradients(gradient, *_):
            of_x, of_weights = backward(inputs, weights_now, others_now, gradient)
            return of_x, *of_weights, *(None for _ in others_now)

        return (outputs, *news), gradients

    if training:
        outputs, *news = rematerialised(x, *weights, *others)
        return outputs, news
    return forward(x, weights, others, keep=False)[:2]


LOOPS = {"tensorflow": _tensorflow_loop, "jax": _jax_loop}
