"""The paper's rule against a NumPy reference."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras.training.optimizer import SGD  # noqa: E402


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
