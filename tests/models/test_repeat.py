"""A stage run as a loop over stacked weights does what its blocks do one by one."""

import keras
import numpy as np
import pytest

from resnet_keras import build
from resnet_keras.models import repeat
from tests.models.reference import array, randomize

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)


def compiled_step(net, training):
    """Logits, gradients and moving statistics from one compiled call, by name; and whether it holds a loop."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                logits = net(PICTURES, training=training)
                loss = tf.reduce_sum(logits**2)
            return logits, tape.gradient(loss, [v.value for v in net.trainable_variables])

        logits, gradients = step()
        operations = step.get_concrete_function().graph.get_operations()
        loops = any("While" in operation.type for operation in operations)
        return named(net, logits, gradients, net.non_trainable_variables), loops
    import jax

    def loss(weights, others):
        logits, new = net.stateless_call(weights, others, PICTURES, training=training)
        return (logits**2).sum(), (logits, new)

    given = [[v.value for v in group] for group in (net.trainable_variables, net.non_trainable_variables)]
    loops = "scan[" in str(jax.make_jaxpr(jax.grad(loss, has_aux=True))(*given))
    gradients, (logits, new) = jax.jit(jax.grad(loss, has_aux=True))(*given)
    return named(net, logits, gradients, new), loops


def named(net, logits, gradients, others):
    by_path = {f"gradient of {v.path}": g for v, g in zip(net.trainable_variables, gradients, strict=True)}
    by_path |= {v.path: new for v, new in zip(net.non_trainable_variables, others, strict=True)}
    return {name: array(value) for name, value in {"logits": logits, **by_path}.items()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("shortcut", "dtype"), [("A", "float32"), ("C", "float32"), ("A", "mixed_bfloat16")])
def test_the_loop_equals_its_blocks_one_by_one(shortcut, dtype, training, monkeypatch):
    found = []
    for many in (3, 1000):
        monkeypatch.setattr(repeat, "MANY", many)
        net = build("resnet32", shortcut=shortcut, dtype=dtype, input_shape=(16, 16, 3))
        randomize(net)
        found.append(compiled_step(net, training))
    (looped, has_loop), (unrolled, other_has_loop) = found
    assert has_loop and not other_has_loop
    tolerance = 2e-4 if dtype == "float32" else 0.2
    for name, expected in unrolled.items():
        difference = np.abs(looped[name] - expected).max()
        assert difference <= tolerance * max(1e-6, np.abs(expected).max()), name


def test_frozen_blocks_and_blocks_of_other_kinds_stay_out_of_the_loop(monkeypatch):
    monkeypatch.setattr(repeat, "MANY", 3)
    net = build("resnet32", input_shape=(16, 16, 3))
    rows = [len(list(row)) for _, row in repeat.itertools.groupby(net.blocks, repeat._kind)]
    assert rows == [5, 1, 4, 1, 4]
    net.blocks[2].bns[0].trainable = False
    rows = [len(list(row)) for _, row in repeat.itertools.groupby(net.blocks, repeat._kind)]
    assert rows == [2, 1, 2, 1, 4, 1, 4]


@pytest.mark.slow
def test_1202_layers_build_and_take_a_step():
    net = build("resnet1202")
    assert len(net.trainable_variables) == 3 * 1201 + 2
    found, loops = compiled_step(build("resnet1202", input_shape=(16, 16, 3)), True)
    assert loops and all(np.isfinite(value).all() for value in found.values())
