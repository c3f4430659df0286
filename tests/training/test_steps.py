"""Steps on the backend: against NumPy's loss and the paper's rule, and the same on TensorFlow and JAX."""

import json

import keras
import numpy as np
import pytest

import resnet_keras
from resnet_keras.data.augment import draw_plan
from resnet_keras.training.optimizer import SGD
from resnet_keras.training.steps import engine, losses
from tests.conftest import python


def make_engine(tiny, dtype="float32"):
    network = resnet_keras.build("resnet8", classes=4, input_shape=(8, 8, 3), dtype=dtype)
    network.mean.mean.assign(tiny.mean())
    return engine(network, SGD(), tiny.train.images, tiny.train.labels)


def train(tiny, calls, dtype="float32"):
    """Steps in calls of these lengths, at rate 0.1 and then 0.01."""
    machine, done, results = make_engine(tiny, dtype), 0, []
    for steps in calls:
        rates = np.where(np.arange(done, done + steps) < 6, 0.1, 0.01).astype(np.float32)
        results.append(machine.train(draw_plan(3, done, steps, 32, 300, pad=1), rates))
        done += steps
    return machine, np.concatenate(results)


def test_losses_against_numpy():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(7, 4)).astype("float32") * 5, np.array([0, 1, 2, 3, 0, 1, 2], np.int32)
    wrong, entropy = (float(value) for value in losses(keras.ops.convert_to_tensor(logits), labels))
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert wrong == (probabilities.argmax(axis=1) != labels).sum()
    assert entropy == pytest.approx(-np.log(probabilities[np.arange(7), labels]).sum(), rel=1e-5)


@pytest.mark.parametrize("decay_on", ["kernels", "all"])
def test_fifty_steps_across_a_drop_of_the_rate(decay_on):
    """Of 0.5 (w - target)^2; right after the drop PyTorch's rule, with the rate outside the velocity, differs."""
    layer = keras.layers.Dense(3, name="fc")
    layer.build((None, 5))
    layer.bias.assign([1.0, -2.0, 0.5])
    variables, rates = [layer.kernel, layer.bias], [0.1] * 25 + [0.01] * 25
    rng = np.random.default_rng(0)
    targets = [rng.normal(size=variable.shape).astype("float32") for variable in variables]
    starts = [keras.ops.convert_to_numpy(variable).astype(np.float64) for variable in variables]
    optimizer = SGD(coupled_decay=0.05, decay_on=decay_on)
    optimizer.build(variables)
    for rate in rates:
        optimizer.learning_rate.assign(rate)
        optimizer.apply([v - target for v, target in zip(variables, targets, strict=True)], variables)

    decays = (0.05, 0.05 if decay_on == "all" else 0.0)
    for variable, weight, target, decay in zip(variables, starts, targets, decays, strict=True):
        velocity = np.zeros_like(weight)
        for rate in rates:
            velocity = 0.9 * velocity - rate * (weight - target + decay * weight)
            weight = weight + velocity
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), weight, rtol=2e-5, atol=2e-6)


def test_how_many_steps_a_call_changes_no_bit(tiny):
    at_once, trace = train(tiny, [12])
    in_parts, other_trace = train(tiny, [1, 5, 2, 4])
    assert np.array_equal(trace, other_trace)
    assert all(np.array_equal(value, in_parts.state()[name]) for name, value in at_once.state().items())
    if keras.config.backend() == "tensorflow":
        assert in_parts.steps.experimental_get_tracing_count() == 1, "compiled anew for another number of steps"


def test_the_loss_holds_no_penalty_and_falls(tiny):
    machine, trace = train(tiny, [10] * 8)
    assert trace[-5:, 1].mean() < trace[:3, 1].mean() / 2
    error, entropy = machine.evaluate(tiny.test)
    logits = np.array(machine.network(tiny.test.images, training=False), np.float64)
    log_scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert entropy == pytest.approx(-log_scores[np.arange(90), tiny.test.labels].mean(), rel=1e-4)
    assert error == pytest.approx(100 * (logits.argmax(axis=1) != tiny.test.labels).mean())


def test_state_of_float32_survives_and_foreign_state_is_refused(tiny):
    machine, trace = train(tiny, [3], dtype="mixed_bfloat16")
    state = machine.state()
    assert {str(value.dtype) for value in state.values()} <= {"float32", "int64", "int32"} and np.isfinite(trace).all()
    assert any(np.abs(value).max() > 0 for name, value in state.items() if name.startswith("velocity/"))
    again = make_engine(tiny, "mixed_bfloat16")
    again.restore(state)
    assert all(np.array_equal(value, again.state()[name]) for name, value in state.items())
    with pytest.raises(ValueError, match="shape"):
        again.restore({**state, "resnet8/fc/kernel": np.zeros((2, 2), np.float32)})


OTHER_BACKEND = """
import json, sys
import numpy as np
from tests.training.test_steps import train
from resnet_keras.data import Dataset, Identity, Split
arrays = np.load(sys.argv[1])
split = Split(arrays["x"], arrays["y"])
tiny = Dataset(Identity("tiny", "1", "tiny"), tuple("abcd"), split, split[:90])
machine, trace = train(tiny, [1, 4, 3])  # by itself, and in the loop
print(json.dumps([trace.tolist(), machine.evaluate(tiny.test), machine.steps._cache_size()]))
"""


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="compares TensorFlow with JAX")
def test_jax_takes_the_same_steps(tiny, tmp_path):
    pytest.importorskip("jax", reason="the extra `jax` is not installed")
    np.savez(tmp_path / "tiny.npz", x=tiny.train.images, y=tiny.train.labels)
    asked = python("-c", OTHER_BACKEND, tmp_path / "tiny.npz", KERAS_BACKEND="jax")
    assert asked.returncode == 0, asked.stderr[-2000:]
    other, (error, entropy), compiled = json.loads(asked.stdout.splitlines()[-1])
    assert compiled == 2, "a shorter call was compiled anew"
    machine, trace = train(tiny, [1] * 8)
    np.testing.assert_allclose(trace[:4], np.array(other)[:4], rtol=2e-3, atol=1e-3)
    ours = machine.evaluate(tiny.train[:90])
    assert abs(ours[1] - entropy) < 0.1 and abs(ours[0] - error) < 12
