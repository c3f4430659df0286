"""Precise BN against its definition, in arithmetic that shares nothing with the package."""

import numpy as np
import pytest

from resnet_keras.evaluation import precise_bn
from tests.evaluation.arithmetic import array, forward, pictures, trained_like
from tests.models.reference import weights_of


@pytest.mark.parametrize(("name", "loop"), [("plain8", False), ("resnet14", False), ("resnet20", True)])
def test_statistics_are_plain_averages_over_the_batches(name, loop):
    network, before = trained_like(name), weights_of(trained_like(name))
    network.scan_from = 2 if loop else None
    momenta = [layer.momentum for _, layer in network.parts() if hasattr(layer, "momentum")]
    batches = [pictures(16, seed)[0] // (1 + seed) for seed in range(3)]  # of very unlike statistics
    precise_bn.recompute(network, iter(batches))
    seen = [forward(name, before, batch, training=True)[1] for batch in batches]
    after = weights_of(network)
    for place in seen[0]:
        bn = place.replace("conv", "bn")
        for kind, statistic in (("moving_mean", np.mean), ("moving_variance", np.var)):
            plain = np.mean([statistic(each[place][0], axis=(0, 1, 2)) for each in seen], axis=0)
            np.testing.assert_allclose(after.pop(f"{bn}/{kind}"), plain, rtol=2e-3, atol=2e-3)
    assert all(np.array_equal(value, before[place]) for place, value in after.items())
    assert momenta == [layer.momentum for _, layer in network.parts() if hasattr(layer, "momentum")] and momenta[0]


def test_the_batches_are_the_runs_own(tiny):
    from resnet_keras.data.augment import Plan, apply, draw

    config = {"seed": 3, "recipe": {"batch_size": 64, "bn_batch": 32, "augment": True}}
    batches = precise_bn.training_batches(tiny, config)
    first, second = (array(next(batches)) for _ in range(2))
    plan = draw(3, 1, 1, 32, len(tiny.train), pad=1)  # an eighth of the side
    exact, _ = apply(tiny.train.images, tiny.train.labels, Plan(*(field[0] for field in plan)))
    assert first.shape == (32, 8, 8, 3) and np.array_equal(second, array(exact))
