"""Networks: their forward pass in NumPy, initial weights, backbones, saving and loading; VGG's layers and dropout."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import resnet_keras
from resnet_keras import UserError, build
from resnet_keras.models.layers import he_normal
from tests.conftest import ROOT
from tests.faults.conftest import length
from tests.models import reference
from tests.models.reference import array, randomize, weights_of

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (2, 16, 16, 3), np.uint8)
LARGE = RNG.integers(0, 256, (2, 64, 96, 3), np.uint8)
SQUARE = LARGE[:, :, :64]


def cifar(name="resnet8", **options):
    return randomize(build(name, input_shape=SMALL.shape[1:], **options))


def test_a_cifar_network_against_numpy():
    """Mean subtraction, conv1, three stages, average, fc: Section 4.2 written out, with n = 1."""
    network = cifar()
    expected, _ = reference.forward("resnet8", weights_of(network), SMALL)
    np.testing.assert_allclose(array(network(SMALL)), expected, rtol=1e-4, atol=1e-3)


def test_plain_is_residual_with_its_shortcuts_cut():
    plain, cut, residual = cifar("plain14"), cifar("resnet14", shortcut="none"), cifar("resnet14")
    np.testing.assert_array_equal(array(plain(SMALL)), array(cut(SMALL)))
    assert np.abs(array(residual(SMALL)) - array(plain(SMALL))).max() > 0.01
    for block in residual.blocks:
        block.shortcut = "none"
    np.testing.assert_array_equal(array(residual(SMALL)), array(plain(SMALL)))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_raw_bytes_and_floats_give_the_same_logits(dtype):
    network = cifar(dtype=dtype)
    logits = network(SMALL)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    np.testing.assert_array_equal(array(logits), array(network(SMALL.astype("float32"))))


def test_the_mean_is_stored(thin):
    """A CIFAR network has a mean image, the others a mean colour, for which a set in memory's image is averaged."""
    for name, shape, stored in (
        ("resnet8", (16, 16, 3), (16, 16, 3)), ("resnet8", (3,), (16, 16, 3)), ("resnet18", (3,), (3,)),
        ("resnet18", (16, 16, 3), (3,)),
    ):  # fmt: skip
        network = build(name, **({"input_shape": (16, 16, 3)} if name == "resnet8" else {"include_top": False}))
        with pytest.raises(UserError, match=rf"a mean of shape \(16, 16, 1\) does not fit {name}"):
            network.set_mean(np.ones((16, 16, 1)))
        assert not array(network.mean.mean).any()
        mean = RNG.uniform(100, 150, shape).astype("float32")
        network.set_mean(mean)
        expected = mean.mean((0, 1)) if len(shape) > len(stored) else np.broadcast_to(mean, stored)
        np.testing.assert_allclose(array(network.mean.mean), expected, rtol=1e-6)
        np.testing.assert_allclose(array(network.mean(SMALL)), SMALL - expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "options"), [
    ("resnet8", {"shortcut": "C", "classes": 3, "dtype": "mixed_bfloat16"}),
    ("plain8", {"features": ["stage3", "stage1"], "batch_norm": False}),
    ("resnet50", {"stride_in": "3x3", "pool_padding": "both", "include_top": False, "pooling": "max"}),
    ("vgg16", {"include_top": False, "pooling": "avg", "batch_norm": True}),
])  # fmt: skip
def test_saving_and_loading_gives_the_same_network(name, options, tmp_path, thin):
    network = randomize(build(name, **options))
    network.save(tmp_path / "network.keras")
    images = RNG.integers(0, 256, (2, *network.arguments["input_shape"]), np.uint8)[:, :64, :64]
    before = keras.tree.map_structure(array, network(images))
    loaded = resnet_keras.load(tmp_path / "network.keras")
    for again in (loaded, keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)):
        keras.tree.map_structure(np.testing.assert_array_equal, before, keras.tree.map_structure(array, again(images)))
        assert [v.path for v in again.weights] == [v.path for v in network.weights]
        assert again.get_config() == network.get_config() and again.dtype_policy == network.dtype_policy


FRESH = """
import sys, numpy as np, resnet_keras
assert "keras" not in sys.modules
for path in sys.argv[1:]:
    network = resnet_keras.load(path)
    np.savez(network.name, logits=network(np.load("images.npy")), **{v.path: v for v in network.variables})
"""


@pytest.mark.faults
def test_a_fresh_process_loads_the_bundled_networks(tmp_path):
    """Saved by an older version: their logits are those of the networks built by name with the same variables."""
    np.save(tmp_path / "images.npy", images := RNG.integers(0, 256, (2, 32, 32, 3), np.uint8))
    files = sorted(ROOT.glob("results/models/*/network.keras"))[: length(1, 2)]
    command, environment = [sys.executable, "-c", FRESH, *map(str, files)], {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0 and files, ran.stderr
    for file in files:
        bfloat16 = "bfloat16" in file.with_name("config.json").read_text()
        network = build(file.parent.name.partition("-")[0], dtype="mixed_bfloat16" if bfloat16 else "float32")
        stored = np.load(tmp_path / f"{network.name}.npz")
        for variable in network.variables:
            variable.assign(stored[variable.path])
        np.testing.assert_array_equal(array(network(images)), stored["logits"])


def test_features_are_the_maps_of_the_network():
    resnet18 = build("resnet18", classes=3, input_shape=(None, None, 3))
    backbone = build("resnet18", features=["conv3", "conv5", "conv1"], input_shape=(None, None, 3))
    maps = backbone(LARGE)
    shapes = {stage: tuple(x.shape) for stage, x in maps.items()}
    assert list(shapes) == ["conv3", "conv5", "conv1"]
    assert shapes == {"conv1": (2, 32, 48, 64), "conv3": (2, 8, 12, 128), "conv5": (2, 2, 3, 512)}
    outputs = {place: x for place, _, _, x in resnet18.walk(LARGE)}
    np.testing.assert_array_equal(array(maps["conv3"]), array(outputs["stage3_block2"]))
    logits = array(maps["conv5"]).mean((1, 2)) @ array(resnet18.top[-1].kernel) + array(resnet18.top[-1].bias)
    np.testing.assert_allclose(array(resnet18(LARGE)), logits, rtol=1e-3, atol=1e-3)
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        topless = build("resnet18", include_top=False, pooling=pooling, input_shape=(None, None, 3))
        np.testing.assert_allclose(array(topless(LARGE)), reduce(maps["conv5"], (1, 2)), rtol=1e-4, atol=1e-5)
    inputs = keras.Input((None, None, 3))  # in Keras' functional style, with heads of one's own, trainable through it
    detector = keras.Model(inputs, [keras.layers.Conv2D(4, 1, name=stage)(x) for stage, x in backbone(inputs).items()])
    assert [tuple(x.shape) for x in detector(LARGE)] == [(2, 8, 12, 4), (2, 2, 3, 4), (2, 32, 48, 4)]
    assert len(detector.trainable_variables) == len(backbone.trainable_variables) + 6


def test_the_layers_of_vgg_in_order():
    network = build("vgg16", input_shape=(32, 32, 3), classes=7, weights=False)
    names = [layer.name for layer in network.chain() if layer.name.startswith(("conv", "pool"))]
    stages = [[f"conv{s}_{p}" for p in range(1, n + 1)] + [f"pool{s}"] for s, n in enumerate((2, 2, 3, 3, 3), start=1)]
    assert names == [name for stage in stages for name in stage]
    assert [layer.units for layer in network.top if "fc" in layer.name] == [4096, 4096, 7]


def test_dropout_acts_in_training_alone_and_by_the_seed(thin):
    networks = [build("vgg16", input_shape=(64, 64, 3), classes=5, seed=seed) for seed in (1, 1)]
    still = array(networks[0](SQUARE))
    np.testing.assert_array_equal(still, array(networks[0](SQUARE)))
    drawn = [array(network(SQUARE, training=True)) for network in networks]
    np.testing.assert_array_equal(*drawn)
    assert not np.allclose(drawn[0], still) and not np.allclose(drawn[0], array(networks[0](SQUARE, training=True)))


def test_a_map_is_the_last_before_its_pooling(thin):
    backbone = randomize(build("vgg16", features=["conv1", "conv5"]))
    body = randomize(build("vgg16", include_top=False))
    maps = {stage: array(x) for stage, x in backbone(SQUARE).items()}
    assert maps["conv1"].shape == (2, 64, 64, 4) and maps["conv5"].shape == (2, 4, 4, 4)
    np.testing.assert_array_equal(array(body(SQUARE)), maps["conv5"].reshape(2, 2, 2, 2, 2, 4).max((2, 4)))
    assert all(m.min() == 0 for m in maps.values())


@pytest.mark.parametrize("shape", [(3, 3, 64, 64), (1, 1, 256, 128), (2048, 50)])
def test_initial_weights_have_variance_two_over_fan_in_and_depend_on_seed_and_place_alone(shape):
    draws = he_normal(shape, 0, "conv1/kernel")
    assert draws.dtype == "float32"
    fan_in = np.prod(shape[:-1])
    assert abs(draws.mean()) < 5 * np.sqrt(2 / fan_in / draws.size)
    np.testing.assert_allclose(draws.var(), 2 / fan_in, rtol=0.05)
    assert abs(draws).max() > 3 * draws.std()  # a plain Gaussian, not the truncated one of Keras' he_normal
    others = [he_normal(shape, *key) for key in ((0, "conv1/kernel"), (1, "conv1/kernel"), (0, "conv2/kernel"))]
    assert [np.array_equal(draws, other) for other in others] == [True, False, False]


@pytest.mark.parametrize(("shortcut", "kinds"), [("A", 7), ("B", 9)])
def test_what_a_network_starts_with(shortcut, kinds):
    """Kernels are drawn; gamma and variances start at 1, the last gamma of a block too, and the rest at 0."""
    network, kernels = build("resnet8", shortcut=shortcut, seed=5), 0
    for variable in network.weights:
        place, kind = variable.path.split("/", 1)[1], variable.path.rsplit("/", 1)[-1]
        if kind == "kernel":
            np.testing.assert_array_equal(array(variable), he_normal(tuple(variable.shape), 5, place))
            kernels += 1
        else:
            assert (array(variable) == (1 if kind in ("gamma", "moving_variance") else 0)).all(), place
    assert kernels == kinds + 1  # convolutions and the classifier
    if shortcut == "A":  # a plain twin has the same places, and so starts with the same values
        twin = [variable.path.split("/", 1)[1] for variable in build("plain8").weights]
        assert twin == [variable.path.split("/", 1)[1] for variable in network.weights]
