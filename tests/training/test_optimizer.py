"""The paper's rule against a NumPy reference, across a drop of the learning rate."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras.training.optimizer import SGD  # noqa: E402


def reference(weight, rates, momentum, decay, gradient):
    """v <- momentum v - rate (g + decay w); w <- w + v, in float64."""
    velocity = np.zeros_like(weight)
    for rate in rates:
        velocity = momentum * velocity - rate * (gradient(weight) + decay * weight)
        weight = weight + velocity
    return weight


def descend(optimizer, variables, targets, rates):
    """Steps on 0.5 (w - target)^2, whose gradient is w - target."""
    optimizer.build(variables)
    for rate in rates:
        optimizer.learning_rate.assign(rate)
        pairs = zip(variables, targets, strict=True)
        gradients = [keras.ops.convert_to_tensor(variable) - target for variable, target in pairs]
        optimizer.apply(gradients, variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.fixture
def variables():
    layer = keras.layers.Dense(3, name="fc")
    layer.build((None, 5))
    layer.bias.assign([1.0, -2.0, 0.5])
    return [layer.kernel, layer.bias]


RATES = [0.1] * 25 + [0.01] * 25


@pytest.mark.parametrize("decay_on", ["kernels", "all"])
def test_fifty_steps_across_a_drop(variables, decay_on):
    rng = np.random.default_rng(0)
    targets = [rng.normal(size=variable.shape).astype("float32") for variable in variables]
    starts = [keras.ops.convert_to_numpy(variable).astype(np.float64) for variable in variables]
    decays = [0.05, 0.05 if decay_on == "all" else 0.0]
    optimizer = SGD(coupled_decay=0.05, decay_on=decay_on)
    results = descend(optimizer, variables, targets, RATES)
    for got, start, target, decay in zip(results, starts, targets, decays, strict=True):
        expected = reference(start, RATES, 0.9, decay, lambda weight, target=target: weight - target)
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def test_the_rate_lies_inside_the_velocity(variables):
    """PyTorch's rule, with the rate outside, differs right after a drop: so the test above can tell them apart."""
    start = np.array([1.0])
    inside = reference(start, [0.1] * 5 + [0.01], 0.9, 0.0, lambda weight: weight)
    velocity, weight = np.zeros(1), start
    for rate in [0.1] * 5 + [0.01]:
        velocity = 0.9 * velocity + weight
        weight = weight - rate * velocity
    assert abs(inside - weight) > 0.1


def test_survives_its_own_config():
    config = SGD(coupled_decay=3e-4, decay_on="all").get_config()
    again = SGD.from_config(config)
    assert (again.coupled_decay, again.decay_on) == (3e-4, "all")
