"""Responses, gradients, lesions, loss surfaces and precise BN against arithmetic of its own in NumPy."""

import re

import numpy as np
import pytest

from resnet_keras import build
from resnet_keras.evaluation import inside, views
from resnet_keras.training.steps import gradients
from tests.models.reference import array, cross_entropy, forward, randomize, weights_of

SHAPE = (8, 8, 3)


def trained_like(name, **options):
    """A small network every variable of which is away from its start."""
    return randomize(build(name, classes=4, input_shape=SHAPE, **options))


def pictures(count, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, *SHAPE)).astype(np.uint8), draw.integers(0, 4, count).astype(np.int32)


def unchanged(network, before):
    return all(np.array_equal(old, array(new)) for old, new in zip(before, network.variables, strict=True))


@pytest.mark.parametrize(("name", "batch_norm"), [("plain14", True), ("resnet14", True), ("resnet8", False)])
def test_responses_are_those_of_plain_arithmetic(name, batch_norm, monkeypatch):
    monkeypatch.setattr(inside, "BATCH", 16)
    network = trained_like(name, batch_norm=batch_norm)
    images, _ = pictures(16 + 7)  # an unequal last batch
    _, seen = forward(name, weights_of(network), images)
    rows = inside.responses(network, images)
    assert [row["place"] for row in rows] == list(seen)
    assert [row["layer"] for row in rows] == list(range(1, len(seen) + 1))
    np.testing.assert_allclose([row["std"] for row in rows], [after.std() for _, after in seen.values()], rtol=1e-4)
    within = [np.median(after.std(axis=(1, 2, 3))) for _, after in seen.values()]
    np.testing.assert_allclose([row["std_image"] for row in rows], within, rtol=1e-4)


@pytest.mark.parametrize("name", ["plain8", "resnet8"])
def test_gradients_are_slopes_of_plain_arithmetic(name):
    network, (images, labels) = trained_like(name), pictures(6)
    loss, slopes = gradients(network)(images, labels)
    weights = weights_of(network)

    def exact():
        return cross_entropy(forward(name, weights, images, training=True)[0], labels)

    assert loss == pytest.approx(exact(), rel=1e-4)
    by_place = {v.path.split("/", 1)[1]: g for v, g in zip(network.trainable_variables, slopes, strict=True)}
    draw = np.random.default_rng(1)
    for place in ("conv1/kernel", "stage2_block1/conv1/kernel", "stage3_block1/bn2/gamma", "fc/kernel"):
        spot, losses = tuple(draw.integers(0, side) for side in weights[place].shape), []
        for step in (1e-5, -2e-5):
            weights[place][spot] += step
            losses.append(exact())
        weights[place][spot] += 1e-5
        assert by_place[place][spot] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=2e-3, abs=2e-6)


def test_norms_are_means_over_the_batches_follow_the_weights_and_change_nothing():
    network, (images, labels) = trained_like("plain8"), pictures(8)
    before = [array(variable).copy() for variable in network.variables]
    measure = inside.gradient_norms(network, images, labels, batches=2)
    rows = measure()
    assert unchanged(network, before)
    assert [row["place"] for row in rows][:2] == ["conv1", "stage1_block1/conv1"] and rows[-1]["place"] == "fc"
    assert [row["layer"] for row in rows] == list(range(1, 9))
    halves = [gradients(network)(images[half], labels[half]) for half in (slice(0, 4), slice(4, 8))]
    assert rows[0]["gradient_norm"] == pytest.approx(np.mean([np.sqrt((g[0] ** 2).sum()) for _, g in halves]), rel=1e-5)
    assert rows[0]["cross_entropy"] == pytest.approx(np.mean([loss for loss, _ in halves]), rel=1e-5)
    kernel = network.trainable_variables[0]
    assert rows[0]["weight_norm"] == pytest.approx(np.sqrt((array(kernel) ** 2).sum()), rel=1e-5)
    kernel.assign(3.0 * array(kernel))  # BN takes the scale out again: a third of the gradient
    assert measure()[0]["gradient_norm"] == pytest.approx(rows[0]["gradient_norm"] / 3, rel=1e-3)


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_leaving_out_a_silent_block_changes_nothing_and_another_does(shortcut):
    network, (images, _) = build("resnet14", shortcut=shortcut, classes=4, input_shape=SHAPE), pictures(24)
    silent = (1, 2)  # the last block of stage 1 and the first of stage 2
    for number in silent:
        for part in (network.blocks[number].bns[-1].gamma, network.blocks[number].bns[-1].beta):
            part.assign(np.zeros(part.shape))
    intact = array(network(images))
    for case, chain in inside.lesioned(network):
        if case["lesion"] == "delete":
            same = np.allclose(inside.logits(network, chain, images), intact, rtol=1e-4, atol=1e-4)
            assert same == (case["block"] - 1 in silent), case


def test_a_plain_block_that_keeps_the_shape_is_cut_out():
    """Without the second block of each stage, plain-14 is the plain-8 of its other layers."""
    network, (images, _) = trained_like("plain14"), pictures(24)
    chain = network.chain()
    for number in (5, 3, 1):
        chain = inside.without(chain, network.chain().index(network.blocks[number]))
    exact, _ = forward("plain8", weights_of(network), images)
    np.testing.assert_allclose(inside.logits(network, chain, images), exact, rtol=1e-3, atol=1e-3)


def test_swapped_blocks_compute_with_each_others_weights():
    network, (images, _) = trained_like("resnet20"), pictures(24)
    trade = {"stage1_block2": "stage1_block3", "stage1_block3": "stage1_block2"}
    weights = {re.sub("stage1_block[23]", lambda m: trade[m[0]], path): v for path, v in weights_of(network).items()}
    swaps = (layers for case, layers in inside.lesioned(network) if case["lesion"] == "swap" and case["block"] == 2)
    swapped = inside.logits(network, next(swaps), images)
    np.testing.assert_allclose(swapped, forward("resnet20", weights, images)[0], rtol=1e-3, atol=1e-3)
    assert not np.allclose(swapped, array(network(images)), rtol=1e-2)


def test_every_block_is_left_out_once_and_equal_neighbours_are_swapped():
    network, (images, labels) = trained_like("plain20"), pictures(24)
    before = [array(variable).copy() for variable in network.variables]
    first, *rows = inside.lesions(network, images, labels)
    assert unchanged(network, before)
    wrong = array(network(images)).argmax(1) != labels
    intact = {"lesion": "none", "block": 0, "place": "", "grows": False, "error": 100 * wrong.mean()}
    assert first == {**intact, "images": 24}
    deleted = [row for row in rows if row["lesion"] == "delete"]
    assert [row["block"] for row in deleted] == list(range(1, 10))
    assert [row["place"] for row in deleted if row["grows"]] == ["stage2_block1", "stage3_block1"]
    swapped = [row["place"] for row in rows if row["lesion"] == "swap"]
    assert swapped == ["stage1_block1", "stage1_block2", "stage2_block2", "stage3_block2"]


def test_every_filter_of_a_direction_has_the_norm_of_the_networks():
    network = trained_like("resnet8")
    parts = inside.random_direction(network, np.random.default_rng(0))
    for variable, part in zip(network.trainable_variables, parts, strict=True):
        weights = array(variable)
        assert part.shape == weights.shape
        if weights.ndim == 1:  # biases and BN stay
            assert not part.any()
            continue
        for filter, own in zip(np.moveaxis(part, -1, 0), np.moveaxis(weights, -1, 0), strict=True):
            assert np.linalg.norm(filter) == pytest.approx(np.linalg.norm(own), rel=1e-5)
            assert abs(np.corrcoef(filter.ravel(), own.ravel())[0, 1]) < 0.9  # no copy of it
    again = inside.random_direction(network, np.random.default_rng(0))
    assert all(np.array_equal(part, other) for part, other in zip(parts, again, strict=True))


@pytest.mark.parametrize("name", ["plain8", "resnet8"])
def test_the_loss_is_that_of_the_moved_weights(name, monkeypatch):
    monkeypatch.setattr(inside, "BATCH", 8)  # the last batch is not full
    network, (images, labels) = trained_like(name), pictures(20)
    before, weights = [array(variable).copy() for variable in network.variables], weights_of(network)
    rows = inside.surface(network, images, labels, points=3, seed=5)
    assert unchanged(network, before)
    assert [(row["x"], row["y"]) for row in rows] == [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    draw = np.random.default_rng(5)
    first, second = inside.random_direction(network, draw), inside.random_direction(network, draw)
    for row in rows:
        moved = dict(weights)
        for variable, across, up in zip(network.trainable_variables, first, second, strict=True):
            moved[variable.path.split("/", 1)[1]] = array(variable).astype(float) + row["x"] * across + row["y"] * up
        logits, _ = forward(name, moved, images)
        assert row["cross_entropy"] == pytest.approx(cross_entropy(logits, labels), rel=1e-3)
        assert row["error"] == pytest.approx(100 * np.mean(logits.argmax(1) != labels))
    centre, _ = forward(name, weights, images)
    assert rows[4]["cross_entropy"] == pytest.approx(cross_entropy(centre, labels), rel=1e-3)


@pytest.mark.parametrize("name", ["plain8", "resnet14"])
def test_statistics_are_plain_averages_over_the_batches(name):
    network, before = trained_like(name), weights_of(trained_like(name))
    momenta = [layer.momentum for _, layer in network.parts() if hasattr(layer, "momentum")]
    batches = [pictures(16, seed)[0] // (1 + seed) for seed in range(3)]  # of very unlike statistics
    views.recompute_statistics(network, iter(batches))
    seen = [forward(name, before, batch, training=True)[1] for batch in batches]
    after = weights_of(network)
    for place in seen[0]:
        bn = place.replace("conv", "bn")
        for kind, statistic in (("moving_mean", np.mean), ("moving_variance", np.var)):
            plain = np.mean([statistic(each[place][0], axis=(0, 1, 2)) for each in seen], axis=0)
            np.testing.assert_allclose(after.pop(f"{bn}/{kind}"), plain, rtol=2e-3, atol=2e-3)
    assert all(np.array_equal(value, before[place]) for place, value in after.items())
    assert momenta == [layer.momentum for _, layer in network.parts() if hasattr(layer, "momentum")] and momenta[0]
