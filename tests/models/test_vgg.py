"""VGG: the published layers, ReLU everywhere, dropout in training alone."""

import keras
import numpy as np
import pytest

from resnet_keras import build
from tests.models.reference import array, randomize

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


def test_layers_in_order():
    net = build("vgg16", input_shape=(32, 32, 3), classes=7)
    names = [layer.name for layer in net.chain() if layer.weights or "pool" in layer.name]
    stages = [[f"conv{s}_{p}" for p in range(1, n + 1)] + [f"pool{s}"] for s, n in enumerate((2, 2, 3, 3, 3), start=1)]
    assert names == ["mean", *(name for stage in stages for name in stage), "fc6", "fc7", "fc8"]
    assert [tuple(v.shape) for v in net.top[-1].weights] == [(4096, 7), (7,)]


def test_dropout_acts_in_training_alone_and_by_the_seed():
    nets = [build("vgg16", input_shape=(32, 32, 3), classes=5, seed=seed) for seed in (1, 1)]
    pictures = PICTURES[:, :32, :32]
    still = array(nets[0](pictures))
    np.testing.assert_array_equal(still, array(nets[0](pictures)))
    drawn = [array(net(pictures, training=True)) for net in nets]
    np.testing.assert_array_equal(*drawn)
    assert not np.allclose(drawn[0], still)
    assert not np.allclose(drawn[0], array(nets[0](pictures, training=True)))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_convolutions_have_a_bias_or_a_normalization(batch_norm):
    net = build("vgg19", batch_norm=batch_norm, include_top=False)
    kinds = {v.path.rsplit("/", 2)[-2][:2] + "/" + v.path.rsplit("/", 1)[-1] for v in net.weights}
    biased = {"co/kernel", "co/bias", "me/mean"}
    normalized = {"co/kernel", "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance", "me/mean"}
    assert kinds == (normalized if batch_norm else biased)


def test_a_map_is_the_last_before_its_pooling():
    backbone = build("vgg16", features=["conv1", "conv5"])
    body = build("vgg16", include_top=False)
    maps = {stage: array(x) for stage, x in backbone(PICTURES).items()}
    assert maps["conv1"].shape == (2, 64, 64, 64) and maps["conv5"].shape == (2, 4, 4, 512)
    pooled = maps["conv5"].reshape(2, 2, 2, 2, 2, 512).max((2, 4))
    np.testing.assert_array_equal(array(body(PICTURES)), pooled)
    assert all(m.min() == 0 for m in maps.values())


def test_saving_and_loading(tmp_path):
    net = build("vgg16", include_top=False, pooling="avg", batch_norm=True)
    randomize(net)
    net.save(tmp_path / "vgg.keras")
    again = keras.saving.load_model(tmp_path / "vgg.keras", safe_mode=True)
    np.testing.assert_array_equal(array(net(PICTURES)), array(again(PICTURES)))
