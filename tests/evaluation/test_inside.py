"""Responses, gradient norms and lesions against arithmetic that shares nothing with the package."""

import re

import numpy as np
import pytest

from resnet_keras import build
from resnet_keras.evaluation import inside
from resnet_keras.training.steps import gradients
from tests.evaluation.arithmetic import SHAPE, array, cross_entropy, forward, pictures, trained_like, unchanged
from tests.models.reference import weights_of


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
    assert first == {"lesion": "none", "block": 0, "place": "", "grows": False, "error": 100 * wrong.mean()}
    deleted = [row for row in rows if row["lesion"] == "delete"]
    assert [row["block"] for row in deleted] == list(range(1, 10))
    assert [row["place"] for row in deleted if row["grows"]] == ["stage2_block1", "stage3_block1"]
    swapped = [row["place"] for row in rows if row["lesion"] == "swap"]
    assert swapped == ["stage1_block1", "stage1_block2", "stage2_block2", "stage3_block2"]
