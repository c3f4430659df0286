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
from tests.models import reference
from tests.models.reference import array, randomize

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (2, 16, 16, 3), np.uint8)
LARGE = RNG.integers(0, 256, (2, 64, 96, 3), np.uint8)


def cifar(name="resnet8", **options):
    return randomize(build(name, input_shape=SMALL.shape[1:], **options))


def test_a_cifar_network_against_numpy():
    """Mean subtraction, conv1, three stages, average, fc: Section 4.2 written out, with n = 1."""
    network = cifar()
    weights = reference.weights_of(network)

    def below(name):
        return {path.removeprefix(name + "/"): w for path, w in weights.items() if path.startswith(name + "/")}

    x = reference.conv(SMALL - weights["mean/mean"], weights["conv1/kernel"])
    x = reference.relu(reference.batch_norm(x, *(below("bn1")[kind] for kind in reference.NORM)))
    for stage, (stride, channels) in enumerate([(1, 16), (2, 32), (2, 64)], start=1):
        x = reference.block(x, below(f"stage{stage}_block1"), (stride, 1), "A", channels)
    expected = x.mean((1, 2)) @ weights["fc/kernel"] + weights["fc/bias"]
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
    np.testing.assert_array_equal(array(logits), array(network(keras.ops.convert_to_tensor(SMALL))))


def test_the_walk_is_the_forward_pass_layer_by_layer():
    network = cifar(shortcut="C")
    steps = list(network.walk(SMALL))
    np.testing.assert_array_equal(array(steps[-1][3]), array(network(SMALL)))
    inside = [place for place, *_ in steps if "/" in place or not place.startswith("stage")]
    assert inside == [place for place, _ in network.parts()]
    assert [layer for _, layer, *_ in steps if layer in network.blocks] == network.blocks
    for _, layer, before, after in steps:
        np.testing.assert_array_equal(array(layer(before, training=False)), array(after))


def test_the_walk_takes_other_layers_and_ends_where_it_is_left():
    network, calls = cifar(), []
    chain = [layer for layer in network.chain() if layer is not network.blocks[0]]
    for *_, output in network.walk(SMALL, layers=chain):
        logits = output
    short = cifar()
    for part in (short.blocks[0].bns[-1].gamma, short.blocks[0].bns[-1].beta):  # F(x) = 0: the block does nothing
        part.assign(np.zeros(part.shape))
    np.testing.assert_allclose(array(logits), array(short(SMALL)), rtol=1e-5)
    network.walk(SMALL, layers=[lambda x, training: calls.append(x)])
    next(network.walk(SMALL, layers=[network.mean, lambda x, training: calls.append(x)]))
    assert calls == []


@pytest.mark.parametrize(
    ("name", "shape", "stored"),
    [
        ("resnet8", (16, 16, 3), (16, 16, 3)),
        ("resnet8", (3,), (16, 16, 3)),
        ("resnet8", (16, 16), None),
        ("resnet8", (), None),
        ("resnet18", (3,), (3,)),
        ("resnet18", (16, 16, 3), (3,)),  # of a set in memory: averaged
        ("plain18", (64, 48, 3), (3,)),
        ("vgg16", (32, 32, 3), (3,)),
        ("resnet18", (16, 16, 1), None),
    ],
)
def test_the_mean_is_stored(name, shape, stored, thin):
    shapes = {"input_shape": SMALL.shape[1:]} if name == "resnet8" else {"include_top": False}
    network, mean = build(name, **shapes), RNG.uniform(100, 150, shape).astype("float32")
    if stored is None:
        with pytest.raises(UserError, match=rf"a mean of shape \({', '.join(map(str, shape))}.*does not fit {name}"):
            network.set_mean(mean)
        assert not array(network.mean.mean).any()
        return
    network.set_mean(mean)
    expected = mean.mean((0, 1)) if len(shape) > len(stored) else np.broadcast_to(mean, stored)
    np.testing.assert_allclose(array(network.mean.mean), expected, rtol=1e-6)
    images = RNG.integers(0, 256, (2, *shape), np.uint8) if len(shape) == 3 else LARGE[:, :16, :16]
    np.testing.assert_allclose(array(network.mean(images)), images - expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_networks_of_table_1_and_vgg_train_on_sets_in_memory(name, thin, tmp_path):
    from resnet_keras.data import Dataset, Identity, Split
    from resnet_keras.store import Store
    from resnet_keras.training.recipe import Recipe
    from resnet_keras.training.run import Run
    from resnet_keras.training.trainer import train

    images, labels = RNG.integers(0, 256, (8, 32, 32, 3), np.uint8), np.arange(8, dtype=np.int32) % 2
    dataset = Dataset(Identity("tiny", "1", "tiny"), ("a", "b"), Split(images, labels), Split(images, labels))
    recipe = Recipe(iterations=3, batch_size=4, drops=(), log_interval=3, test_interval=3, checkpoint_interval=3)
    folder = train(Run(name, "tiny", recipe), store=Store(tmp_path), dataset=dataset)
    mean = array(folder.load_network().mean.mean)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)), rtol=1e-5)
    assert folder.status == "finished" and np.isfinite(folder.history["train_cross_entropy"]).all()


CASES = [
    ("resnet8", {"shortcut": "C", "classes": 3, "dtype": "mixed_bfloat16"}),
    ("plain8", {"features": ["stage3", "stage1"]}),
    ("resnet8", {"batch_norm": False}),
    ("resnet18", {"shortcut": "B", "pool_padding": "both", "include_top": False, "pooling": "max"}),
    ("resnet50", {"stride_in": "3x3", "classes": 5}),
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
        "    network = resnet_keras.load(path); logits = network.predict(images, verbose=0)\n"
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
        np.testing.assert_array_equal(network.predict(images, verbose=0), stored["logits"])


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
    pooled = array(maps["conv5"]).mean((1, 2))
    logits = pooled @ array(resnet18.top[-1].kernel) + array(resnet18.top[-1].bias)
    np.testing.assert_allclose(array(resnet18(LARGE)), logits, rtol=1e-3, atol=1e-3)


def test_a_backbone_takes_a_head_of_ones_own():
    """In Keras' functional style, of any image size, trainable through it; it ends with the deepest map asked for."""
    backbone = build("resnet18", features=["conv2", "conv3"], input_shape=(None, None, 3))
    inputs = keras.Input((None, None, 3))
    heads = [keras.layers.Conv2D(4, 1, name=stage)(x) for stage, x in backbone(inputs).items()]
    detector = keras.Model(inputs, heads)
    assert [tuple(x.shape) for x in detector(LARGE)] == [(2, 16, 24, 4), (2, 8, 12, 4)]
    assert len(detector.trainable_variables) == len(backbone.trainable_variables) + 4
    assert max(v.path for v in backbone.weights if "stage" in v.path).startswith("resnet18/stage3_block2")


@pytest.mark.parametrize(("pooling", "reduce"), [(None, None), ("avg", np.mean), ("max", np.max)])
def test_without_the_top(resnet18, pooling, reduce):
    network = build("resnet18", include_top=False, pooling=pooling, input_shape=(None, None, 3))
    maps = next(array(x) for place, _, _, x in resnet18.walk(LARGE) if place == "stage5_block2")
    np.testing.assert_allclose(array(network(LARGE)), reduce(maps, (1, 2)) if reduce else maps, rtol=1e-4, atol=1e-5)


def test_stages_are_named_after_the_paper(resnet18):
    assert list(resnet18.stages) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert [block.name for block in resnet18.blocks[:3]] == ["stage2_block1", "stage2_block2", "stage3_block1"]
    assert resnet18.stages["conv2"][0].name == "pool1"
    assert list(build("plain8", weights=False).stages) == ["conv1", "stage1", "stage2", "stage3"]
    assert build("plain8", weights=False).variables == []


def test_without_bn_a_network_trains_as_it_tests():
    network = cifar(batch_norm=False)
    trained, tested = (array(network(SMALL, training=training)) for training in (True, False))
    np.testing.assert_allclose(trained, tested, rtol=1e-5)
