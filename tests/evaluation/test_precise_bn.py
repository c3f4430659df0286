"""Precise BN against its definition, in arithmetic that shares nothing with the package."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras import build  # noqa: E402
from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.evaluation import precise_bn  # noqa: E402
from resnet_keras.models import repeat  # noqa: E402
from tests.evaluation.test_diagnostics import Arithmetic, pictures, trained_like  # noqa: E402


class Recorded(Arithmetic):
    """Keeps the mean and the biased variance that each BN layer sees."""

    def norm(self, x, place, batch_statistics):
        self.seen[place] = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return super().norm(x, place, batch_statistics)

    def statistics(self, images):
        self.seen = {}
        self.logits(images, batch_statistics=True)
        return self.seen


def values(network):
    return {v.path.split("/", 1)[1]: np.array(keras.ops.convert_to_numpy(v)) for v in network.variables}


def assert_plain_averages(network, before, batches):
    exact = Recorded(network, before)
    seen = [exact.statistics(batch) for batch in batches]
    after = values(network)
    for place in seen[0]:
        for number, name in enumerate(("moving_mean", "moving_variance")):
            plain = np.mean([statistics[place][number] for statistics in seen], axis=0)
            np.testing.assert_allclose(after[f"{place}/{name}"], plain, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["plain8", "resnet14"])
def test_statistics_are_plain_averages_over_the_batches(name):
    network = trained_like(name)
    batches = [pictures(16, seed)[0] // (1 + seed) for seed in range(3)]  # of very unlike statistics
    before = {place: value.astype(float) for place, value in values(network).items()}
    assert precise_bn.recompute(network, iter(batches)) == 3
    assert_plain_averages(network, before, batches)
    for place, value in values(network).items():
        if "moving" not in place:
            assert np.array_equal(value, before[place].astype(value.dtype)), place


def test_stages_that_run_as_a_loop_too(monkeypatch):
    monkeypatch.setattr(repeat, "MANY", 2)
    network = trained_like("resnet20")
    batches = [pictures(8, seed)[0] for seed in range(2)]
    before = {place: value.astype(float) for place, value in values(network).items()}
    precise_bn.recompute(network, batches)
    assert_plain_averages(network, before, batches)


def test_training_afterwards_averages_as_before():
    network = trained_like("plain8")
    momenta = [layer.momentum for _, layer, _ in network.parts() if hasattr(layer, "momentum")]
    precise_bn.recompute(network, [pictures(4)[0]])
    assert momenta == [layer.momentum for _, layer, _ in network.parts() if hasattr(layer, "momentum")] and momenta[0]


def test_no_batches_and_no_bn_are_refused():
    network = trained_like("plain8")
    with pytest.raises(UserError, match="0 batches"):
        precise_bn.recompute(network, [])
    with pytest.raises(UserError, match="no batch normalization"):
        precise_bn.recompute(build("plain8", classes=4, batch_norm=False), [pictures(4)[0]])
