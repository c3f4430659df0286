"""Responses and gradient norms against arithmetic that shares nothing with the package."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras import build  # noqa: E402
from resnet_keras.evaluation.diagnostics import BATCH, GradientNorms, responses  # noqa: E402
from resnet_keras.training.steps import gradients  # noqa: E402

SHAPE = (8, 8, 3)


def trained_like(name, seed=0, **options):
    """A small network whose every variable is away from its start."""
    network = build(name, classes=4, input_shape=SHAPE, seed=seed, **options)
    draw = np.random.default_rng(seed)
    for variable in network.variables:
        kind = variable.path.rsplit("/", 1)[-1]
        shape = tuple(variable.shape)
        if kind in ("gamma", "moving_variance"):
            variable.assign(draw.uniform(0.5, 2.0, shape))
        elif kind in ("beta", "moving_mean", "bias"):
            variable.assign(draw.normal(0, 0.3, shape))
    network.set_mean(np.full(SHAPE, 128.0))
    return network


def pictures(count, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, *SHAPE)).astype(np.uint8), draw.integers(0, 4, count).astype(np.int32)


def depth(name):
    return int("".join(filter(str.isdigit, name)))


class Arithmetic:
    """A CIFAR network of basic blocks, option A or none, in NumPy and float64, from its variables alone."""

    def __init__(self, network, weights=None):
        values = {v.path.split("/", 1)[1]: np.asarray(keras.ops.convert_to_numpy(v), float) for v in network.variables}
        self.weights = values if weights is None else weights
        self.residual = network.name.startswith("resnet")
        self.stages, self.blocks = 3, (depth(network.name) - 2) // 6
        self.responses = {}

    def conv(self, x, place, stride=1):
        kernel = self.weights[f"{place}/kernel"]
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        size = (x.shape[1] - 3) // stride + 1
        taps = [
            x[:, i : i + stride * (size - 1) + 1 : stride, j : j + stride * (size - 1) + 1 : stride] @ kernel[i, j]
            for i in range(3)
            for j in range(3)
        ]
        return sum(taps)

    def norm(self, x, place, batch_statistics):
        if f"{place}/gamma" not in self.weights:
            return x
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (self.weights[f"{place}/{part}"] for part in parts)
        if batch_statistics:
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def logits(self, images, batch_statistics=False):
        x = images.astype(float) - 128.0
        x = self.respond("conv1", self.norm(self.conv(x, "conv1"), "bn1", batch_statistics))
        x = np.maximum(x, 0)
        for stage in range(1, self.stages + 1):
            for number in range(1, self.blocks + 1):
                x = self.block(
                    x, f"stage{stage}_block{number}", 2 if stage > 1 and number == 1 else 1, batch_statistics
                )
        return x.mean((1, 2)) @ self.weights["fc/kernel"] + self.weights["fc/bias"]

    def block(self, x, place, stride, batch_statistics):
        y = self.norm(self.conv(x, f"{place}/conv1", stride), f"{place}/bn1", batch_statistics)
        y = np.maximum(self.respond(f"{place}/conv1", y), 0)
        y = self.norm(self.conv(y, f"{place}/conv2"), f"{place}/bn2", batch_statistics)
        self.respond(f"{place}/conv2", y)
        if self.residual:
            shortcut = x[:, ::stride, ::stride]
            y = y + np.pad(shortcut, ((0, 0),) * 3 + ((0, y.shape[-1] - x.shape[-1]),))
        return np.maximum(y, 0)

    def respond(self, place, y):
        self.responses[place] = y
        return y

    def loss(self, images, labels):
        logits = self.logits(images, batch_statistics=True)
        logits = logits - logits.max(1, keepdims=True)
        return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels])


@pytest.mark.parametrize(("name", "batch_norm"), [("plain14", True), ("resnet14", True), ("resnet8", False)])
def test_responses_are_those_of_plain_arithmetic(name, batch_norm):
    network = trained_like(name, batch_norm=batch_norm)
    images, _ = pictures(BATCH + 37)  # an unequal last batch
    exact = Arithmetic(network)
    exact.logits(images)
    rows = responses(network, images)
    assert [row["place"] for row in rows] == list(exact.responses)
    assert [row["layer"] for row in rows] == list(range(1, depth(name)))  # all but fc
    expected = [response.std() for response in exact.responses.values()]
    np.testing.assert_allclose([row["std"] for row in rows], expected, rtol=1e-4)


def test_only_3x3_layers_respond():
    network = build("resnet8", shortcut="C", classes=4, input_shape=SHAPE)
    places = [row["place"] for row in responses(network, pictures(4)[0])]
    assert len(places) == 7 and not any("shortcut" in place for place in places)


@pytest.mark.parametrize("name", ["plain8", "resnet8"])
def test_gradients_are_slopes_of_plain_arithmetic(name):
    network = trained_like(name)
    images, labels = pictures(6)
    loss, found = gradients(network)(images, labels)
    exact = Arithmetic(network)
    assert loss == pytest.approx(exact.loss(images, labels), rel=1e-4)
    by_place = {v.path.split("/", 1)[1]: g for v, g in zip(network.trainable_variables, found, strict=True)}
    draw = np.random.default_rng(1)
    for place in ("conv1/kernel", "stage2_block1/conv1/kernel", "stage3_block1/bn2/gamma", "fc/kernel"):
        weight = exact.weights[place]
        for _ in range(3):
            spot = tuple(draw.integers(0, side) for side in weight.shape)
            slope = _slope(exact, weight, spot, images, labels)
            assert by_place[place][spot] == pytest.approx(slope, rel=2e-3, abs=2e-6)


def _slope(exact, weight, spot, images, labels, step=1e-5):
    kept, losses = weight[spot], []
    for shift in (step, -step):
        weight[spot] = kept + shift
        losses.append(exact.loss(images, labels))
    weight[spot] = kept
    return (losses[0] - losses[1]) / (2 * step)


def test_taking_gradients_changes_nothing():
    network = trained_like("resnet8")
    before = [np.array(variable) for variable in network.variables]
    GradientNorms(network, *pictures(8), batches=2).rows()
    assert all(np.array_equal(old, np.array(new)) for old, new in zip(before, network.variables, strict=True))


def test_norms_are_means_over_the_batches_and_follow_the_weights():
    network = trained_like("plain8")
    images, labels = pictures(8)
    norms = GradientNorms(network, images, labels, batches=2)
    rows = norms.rows()
    assert [row["place"] for row in rows][:2] == ["conv1", "stage1_block1/conv1"] and rows[-1]["place"] == "fc"
    assert [row["layer"] for row in rows] == list(range(1, 9))
    parts = [gradients(network)(images[half], labels[half]) for half in (slice(0, 4), slice(4, 8))]
    expected = np.mean([np.sqrt((found[0] ** 2).sum()) for _, found in parts])
    assert rows[0]["gradient_norm"] == pytest.approx(expected, rel=1e-5)
    assert rows[0]["cross_entropy"] == pytest.approx(np.mean([loss for loss, _ in parts]), rel=1e-5)
    kernel = network.trainable_variables[0]
    assert rows[0]["weight_norm"] == pytest.approx(np.sqrt((np.array(kernel) ** 2).sum()), rel=1e-5)
    kernel.assign(3.0 * np.array(kernel))  # BN takes the scale out again: a third of the gradient
    again = norms.rows()
    assert again[0]["gradient_norm"] == pytest.approx(rows[0]["gradient_norm"] / 3, rel=1e-3)
