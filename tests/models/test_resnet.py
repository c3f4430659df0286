"""Whole networks: raw pixels, plain against residual, the walk, options, backbones, saving, loading, training."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import resnet_keras
from resnet_keras import UserError, build
from tests.evaluation import arithmetic
from tests.models.reference import array, randomize, weights_of

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (2, 16, 16, 3), np.uint8)
LARGE = RNG.integers(0, 256, (2, 64, 96, 3), np.uint8)


def cifar(name="resnet8", **options):
    return randomize(build(name, input_shape=SMALL.shape[1:], **options))


def test_a_cifar_network_against_numpy():
    """Mean subtraction, conv1, three stages, average, fc: Section 4.2 written out, with n = 1."""
    network = cifar()
    expected, _ = arithmetic.forward("resnet8", weights_of(network), SMALL)
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


def test_the_walk_is_the_forward_pass_layer_by_layer():
    network, calls = cifar(shortcut="C"), []
    steps = list(network.walk(SMALL))
    np.testing.assert_array_equal(array(steps[-1][3]), array(network(SMALL)))
    inside = [place for place, *_ in steps if "/" in place or not place.startswith("stage")]
    assert inside == [place for place, _ in network.parts()]
    assert [layer for _, layer, *_ in steps if layer in network.blocks] == network.blocks
    for _, layer, before, after in steps:
        np.testing.assert_array_equal(array(layer(before, training=False)), array(after))
    next(network.walk(SMALL, layers=[network.mean, lambda x, training: calls.append(x)]))
    assert calls == []  # a walk that is left early runs no further layers


MEANS = [
    ("resnet8", (16, 16, 3), (16, 16, 3)), ("resnet8", (3,), (16, 16, 3)), ("resnet8", (), None),
    ("resnet18", (3,), (3,)), ("resnet18", (16, 16, 3), (3,)),  # of a set in memory: averaged
    ("resnet18", (16, 16, 1), None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "stored"), MEANS)
def test_the_mean_is_stored(name, shape, stored, thin):
    network = build(name, **({"input_shape": (16, 16, 3)} if name == "resnet8" else {"include_top": False}))
    mean = RNG.uniform(100, 150, shape).astype("float32")
    if stored is None:
        with pytest.raises(UserError, match=rf"a mean of shape \({', '.join(map(str, shape))}.*does not fit {name}"):
            network.set_mean(mean)
        assert not array(network.mean.mean).any()
        return
    network.set_mean(mean)
    expected = mean.mean((0, 1)) if len(shape) > len(stored) else np.broadcast_to(mean, stored)
    np.testing.assert_allclose(array(network.mean.mean), expected, rtol=1e-6)
    np.testing.assert_allclose(array(network.mean(SMALL)), SMALL - expected, rtol=1e-4, atol=1e-4)


CASES = [
    ("resnet8", {"shortcut": "C", "classes": 3, "dtype": "mixed_bfloat16"}),
    ("plain8", {"features": ["stage3", "stage1"], "batch_norm": False}),
    ("resnet50", {"stride_in": "3x3", "pool_padding": "both", "include_top": False, "pooling": "max"}),
    ("vgg16", {"include_top": False, "pooling": "avg", "batch_norm": True}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
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


def test_a_fresh_process_loads_the_bundled_networks(tmp_path):
    """Saved by an older version: their logits are those of the networks built by name with the same variables."""
    code = (
        "import sys, numpy as np, resnet_keras; assert 'keras' not in sys.modules; images = np.load(sys.argv[1])\n"
        "for path in sys.argv[2:]:\n"
        "    network = resnet_keras.load(path); logits = network(images)\n"
        "    np.savez(network.name, logits=logits, **{v.path: v for v in network.variables})\n"
    )
    images = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    files = sorted(ROOT.glob("results/models/*/network.keras"))
    command, path = [sys.executable, "-c", code, "images.npy", *map(str, files)], {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True)
    assert ran.returncode == 0 and files, ran.stderr
    for file in files:
        network = build(file.parent.name.partition("-")[0], dtype="mixed_bfloat16")
        stored = np.load(tmp_path / f"{network.name}.npz")
        for variable in network.variables:
            variable.assign(stored[variable.path])
        np.testing.assert_array_equal(array(network(images)), stored["logits"])


@pytest.fixture(scope="module")
def resnet18():
    return build("resnet18", classes=3, input_shape=(None, None, 3))


def test_features_are_the_maps_of_the_network(resnet18):
    backbone = build("resnet18", features=["conv3", "conv5", "conv1"])
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


def test_a_backbone_takes_a_head_of_ones_own():
    """In Keras' functional style, of any image size, trainable through it; it ends with the deepest map asked for."""
    backbone = build("resnet18", features=["conv2", "conv3"], input_shape=(None, None, 3))
    inputs = keras.Input((None, None, 3))
    heads = [keras.layers.Conv2D(4, 1, name=stage)(x) for stage, x in backbone(inputs).items()]
    detector = keras.Model(inputs, heads)
    assert [tuple(x.shape) for x in detector(LARGE)] == [(2, 16, 24, 4), (2, 8, 12, 4)]
    assert len(detector.trainable_variables) == len(backbone.trainable_variables) + 4
    assert max(v.path for v in backbone.weights if "stage" in v.path).startswith("resnet18/stage3_block2")
