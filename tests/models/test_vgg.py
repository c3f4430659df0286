"""VGG: the published layers, ReLU everywhere, dropout in training alone."""

import numpy as np

from resnet_keras import build
from tests.models.reference import array, randomize

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


def test_layers_in_order():
    network = build("vgg16", input_shape=(32, 32, 3), classes=7, weights=False)
    names = [
        layer.name for layer in network.chain() if layer.name[:4] in ("mean", "conv", "pool") or "fc" in layer.name
    ]
    stages = [[f"conv{s}_{p}" for p in range(1, n + 1)] + [f"pool{s}"] for s, n in enumerate((2, 2, 3, 3, 3), start=1)]
    assert names == ["mean", *(name for stage in stages for name in stage), "fc6", "fc7", "fc8"]
    assert [layer.units for layer in network.top if "fc" in layer.name] == [4096, 4096, 7]


def test_dropout_acts_in_training_alone_and_by_the_seed(thin):
    networks = [build("vgg16", input_shape=(64, 64, 3), classes=5, seed=seed) for seed in (1, 1)]
    still = array(networks[0](IMAGES))
    np.testing.assert_array_equal(still, array(networks[0](IMAGES)))
    drawn = [array(network(IMAGES, training=True)) for network in networks]
    np.testing.assert_array_equal(*drawn)
    assert not np.allclose(drawn[0], still) and not np.allclose(drawn[0], array(networks[0](IMAGES, training=True)))


def test_a_map_is_the_last_before_its_pooling(thin):
    backbone = randomize(build("vgg16", features=["conv1", "conv5"]))
    body = randomize(build("vgg16", include_top=False))
    maps = {stage: array(x) for stage, x in backbone(IMAGES).items()}
    assert maps["conv1"].shape == (2, 64, 64, 4) and maps["conv5"].shape == (2, 4, 4, 4)
    np.testing.assert_array_equal(array(body(IMAGES)), maps["conv5"].reshape(2, 2, 2, 2, 2, 4).max((2, 4)))
    assert all(m.min() == 0 for m in maps.values())
