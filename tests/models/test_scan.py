"""A row of equal blocks run as a loop over stacked weights does what its blocks do one by one."""

import keras
import numpy as np
import pytest

from resnet_keras import build
from resnet_keras.models import scan
from tests.faults.conftest import TORTURE
from tests.models.reference import array, randomize

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


def compiled_step(network, training):
    """Maps, gradients and moving statistics from one compiled call, by name; and whether it holds a loop."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                maps = network(IMAGES, training=training)
                loss = sum(tf.reduce_sum(tf.cast(x, "float32") ** 2) for x in maps.values())
            return maps, tape.gradient(loss, [v.value for v in network.trainable_variables])

        maps, gradients = step()
        operations = step.get_concrete_function().graph.get_operations()
        loops = any("While" in operation.type for operation in operations)
        return named(network, maps, gradients, network.non_trainable_variables), loops
    import jax

    def loss(weights, others):
        maps, new = network.stateless_call(weights, others, IMAGES, training=training)
        return sum((x.astype("float32") ** 2).sum() for x in maps.values()), (maps, new)

    values = [[v.value for v in group] for group in (network.trainable_variables, network.non_trainable_variables)]
    loops = "scan[" in str(jax.make_jaxpr(jax.grad(loss, has_aux=True))(*values))
    gradients, (maps, new) = jax.jit(jax.grad(loss, has_aux=True))(*values)
    return named(network, maps, gradients, new), loops


def named(network, maps, gradients, others):
    by_path = {f"gradient of {v.path}": g for v, g in zip(network.trainable_variables, gradients, strict=True)}
    by_path |= {v.path: new for v, new in zip(network.non_trainable_variables, others, strict=True)}
    return {name: array(keras.ops.cast(value, "float32")) for name, value in {**maps, **by_path}.items()}


@pytest.mark.parametrize(
    ("shortcut", "dtype", "training"),
    [("A", "float32", True), ("A", "float32", False), ("C", "mixed_bfloat16", True)],
)
def test_the_loop_equals_its_blocks_one_by_one(shortcut, dtype, training):
    results = []
    for scan_from in (2, None):
        options = {"shortcut": shortcut, "dtype": dtype, "features": ["stage1"]}
        network = randomize(build("resnet20", input_shape=(8, 8, 3), **options))
        network.scan_from = scan_from
        results.append(compiled_step(network, training))
    (looped, has_loop), (one_by_one, other_has_loop) = results
    assert has_loop and not other_has_loop
    tolerance = 2e-4 if dtype == "float32" else 0.2
    for name, expected in one_by_one.items():
        difference = np.abs(looped[name] - expected).max()
        assert difference <= tolerance * max(1e-6, np.abs(expected).max()), name


def test_frozen_blocks_and_blocks_of_other_kinds_stay_out_of_the_loop():
    network = build("resnet32", input_shape=(8, 8, 3))

    def rows():
        return [len(layer.blocks) for layer in scan.joined(network.chain(), 2) if isinstance(layer, scan.BlockRow)]

    assert rows() == [5, 4, 4]
    network.blocks[2].bns[0].trainable = False
    assert rows() == [2, 2, 4, 4]
    assert scan.joined(network.chain(), None) == scan.joined(network.chain(), 6) == network.chain()


def test_op_by_op_nothing_is_stacked():
    network = randomize(build("resnet20", input_shape=(8, 8, 3)))
    expected = array(network(IMAGES))
    network.scan_from = 2
    np.testing.assert_array_equal(array(network(IMAGES)), expected)


@pytest.mark.slow
@pytest.mark.faults  # `make torture`
@pytest.mark.skipif(not TORTURE, reason="takes minutes: make torture")
def test_1202_layers_build_and_take_a_step():
    network = build("resnet1202", input_shape=(8, 8, 3), features=["stage3"])
    assert len(network.trainable_variables) == 3 * 1201
    values, loops = compiled_step(network, True)
    assert loops and all(np.isfinite(value).all() for value in values.values())
