"""The loss surface against NumPy's forward pass with the weights moved by hand, and directions against the formula."""

import numpy as np
import pytest

from resnet_keras.evaluation import inside as module
from tests.evaluation.arithmetic import array, cross_entropy, forward, pictures, trained_like, unchanged
from tests.models.reference import weights_of


def test_every_filter_of_a_direction_has_the_norm_of_the_networks():
    network = trained_like("resnet8")
    parts = module.direction(network, np.random.default_rng(0))
    for variable, part in zip(network.trainable_variables, parts, strict=True):
        weights = array(variable)
        assert part.shape == weights.shape
        if weights.ndim == 1:  # biases and BN stay
            assert not part.any()
            continue
        for filter, own in zip(np.moveaxis(part, -1, 0), np.moveaxis(weights, -1, 0), strict=True):
            assert np.linalg.norm(filter) == pytest.approx(np.linalg.norm(own), rel=1e-5)
            assert abs(np.corrcoef(filter.ravel(), own.ravel())[0, 1]) < 0.9  # no copy of it
    again = module.direction(network, np.random.default_rng(0))
    assert all(np.array_equal(part, other) for part, other in zip(parts, again, strict=True))


@pytest.mark.parametrize("name", ["plain8", "resnet8"])
def test_the_loss_is_that_of_the_moved_weights(name, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 8)  # the last batch is not full
    network, (images, labels) = trained_like(name), pictures(20)
    before, weights = [array(variable).copy() for variable in network.variables], weights_of(network)
    rows = module.surface(network, images, labels, points=3, seed=5)
    assert unchanged(network, before)
    assert [(row["x"], row["y"]) for row in rows] == [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    draw = np.random.default_rng(5)
    first, second = module.direction(network, draw), module.direction(network, draw)
    for row in rows:
        moved = dict(weights)
        for variable, across, up in zip(network.trainable_variables, first, second, strict=True):
            moved[variable.path.split("/", 1)[1]] = array(variable).astype(float) + row["x"] * across + row["y"] * up
        logits, _ = forward(name, moved, images)
        assert row["cross_entropy"] == pytest.approx(cross_entropy(logits, labels), rel=1e-3)
        assert row["error"] == pytest.approx(100 * np.mean(logits.argmax(1) != labels))
    centre, _ = forward(name, weights, images)
    assert rows[4]["cross_entropy"] == pytest.approx(cross_entropy(centre, labels), rel=1e-3)
