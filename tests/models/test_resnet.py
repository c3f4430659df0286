"""Whole networks: raw pixels, plain against residual, options, backbones, saving."""

import keras
import numpy as np
import pytest

from resnet_keras import UserError, build
from tests.models import reference
from tests.models.reference import array, randomize

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (2, 32, 32, 3), np.uint8)
LARGE = RNG.integers(0, 256, (2, 64, 96, 3), np.uint8)


def test_a_cifar_network_against_numpy():
    """Mean subtraction, conv1, three stages, average, fc: Section 4.2 written out, with n = 1."""
    net = build("resnet8")
    randomize(net)
    weights = {v.path.split("/", 1)[1]: array(v).astype("float64") for v in net.weights}

    def below(name):
        return {path.removeprefix(name + "/"): w for path, w in weights.items() if path.startswith(name + "/")}

    norm = [below("bn1")[kind] for kind in ("gamma", "beta", "moving_mean", "moving_variance")]
    x = reference.conv(SMALL - weights["mean/mean"], weights["conv1/kernel"])
    x = reference.relu(reference.batch_norm(x, *norm, training=False))
    for stage, (stride, channels) in enumerate([(1, 16), (2, 32), (2, 64)], start=1):
        x = reference.block(x, below(f"stage{stage}_block1"), (stride, 1), "A", channels, training=False)
    expected = x.mean((1, 2)) @ weights["fc/kernel"] + weights["fc/bias"]
    np.testing.assert_allclose(array(net(SMALL)), expected, rtol=1e-4, atol=1e-3)


def test_plain_is_residual_with_its_shortcuts_cut():
    plain, cut = build("plain20"), build("resnet20", shortcut="none")
    for net in (plain, cut):
        randomize(net)
    np.testing.assert_array_equal(array(plain(SMALL)), array(cut(SMALL)))
    residual = build("resnet20")
    randomize(residual)
    assert np.abs(array(residual(SMALL)) - array(plain(SMALL))).max() > 0.01
    for block in residual.blocks:
        block.shortcut = "none"
    np.testing.assert_array_equal(array(residual(SMALL)), array(plain(SMALL)))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_raw_bytes_and_floats_give_the_same_logits(dtype):
    net = build("resnet8", dtype=dtype)
    randomize(net)
    logits = net(SMALL)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    np.testing.assert_array_equal(array(logits), array(net(SMALL.astype("float32"))))
    np.testing.assert_array_equal(array(logits), array(net(keras.ops.convert_to_tensor(SMALL))))


@pytest.mark.parametrize(("given", "fits"), [((32, 32, 3), True), ((3,), True), ((32, 32), False), ((), False)])
def test_the_mean_is_stored(given, fits):
    net = build("resnet8")
    mean = RNG.uniform(100, 150, given).astype("float32")
    if not fits:
        with pytest.raises(UserError, match=r"give \(32, 32, 3\) or \(3,\)"):
            net.set_mean(mean)
        assert not array(net.mean.mean).any()
        return
    before = array(net(SMALL - mean))
    net.set_mean(mean)
    np.testing.assert_allclose(array(net(SMALL)), before, rtol=1e-4, atol=1e-4)


CASES = [
    ("resnet8", {"shortcut": "C", "classes": 3, "dtype": "mixed_bfloat16"}),
    ("plain8", {"features": ["stage3", "stage1"]}),
    ("resnet18", {"shortcut": "B", "pool_padding": "both", "include_top": False, "pooling": "max"}),
    ("resnet50", {"stride_in": "3x3", "classes": 5}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_saving_and_loading_gives_the_same_network(name, options, tmp_path):
    net = build(name, **options)
    randomize(net)
    net.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    pictures = SMALL if name.endswith("8") and name != "resnet18" else LARGE
    before, after = (keras.tree.map_structure(array, n(pictures)) for n in (net, again))
    keras.tree.map_structure(np.testing.assert_array_equal, before, after)
    assert [v.path for v in again.weights] == [v.path for v in net.weights]
    assert again.get_config() == net.get_config()
    assert again.dtype_policy == net.dtype_policy


def test_features_are_the_maps_of_the_whole_network():
    whole = build("resnet50", classes=3)
    backbone = build("resnet50", features=["conv3", "conv5", "conv1"])
    maps = backbone(LARGE)
    assert list(maps) == ["conv3", "conv5", "conv1"]
    shapes = {stage: tuple(x.shape) for stage, x in maps.items()}
    assert shapes == {"conv1": (2, 32, 48, 64), "conv3": (2, 8, 12, 512), "conv5": (2, 2, 3, 2048)}
    pooled = array(maps["conv5"]).mean((1, 2))
    logits = pooled @ array(whole.top[-1].kernel) + array(whole.top[-1].bias)
    np.testing.assert_allclose(array(whole(LARGE)), logits, rtol=1e-3, atol=1e-3)


def test_a_backbone_ends_with_the_deepest_map_asked_for():
    backbone = build("resnet18", features=["conv2", "conv3"])
    assert max(v.path for v in backbone.weights if "stage" in v.path).startswith("resnet18/stage3_block2")
    assert array(backbone(LARGE)["conv3"]).shape == (2, 8, 12, 128)


@pytest.mark.parametrize(("pooling", "shape"), [(None, (2, 2, 3, 512)), ("avg", (2, 512)), ("max", (2, 512))])
def test_without_the_top(pooling, shape):
    net = build("resnet18", include_top=False, pooling=pooling, input_shape=(None, None, 3))
    out = array(net(LARGE))
    assert out.shape == shape
    if pooling:
        maps = array(build("resnet18", include_top=False)(LARGE))
        expected = maps.mean((1, 2)) if pooling == "avg" else maps.max((1, 2))
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_a_backbone_takes_a_head_of_ones_own():
    """In Keras' functional style, of any picture size, and trainable through it."""
    backbone = build("resnet18", features=["conv3", "conv5"], input_shape=(None, None, 3))
    inputs = keras.Input((None, None, 3))
    maps = backbone(inputs)
    heads = [keras.layers.Conv2D(4, 1, name=stage)(x) for stage, x in maps.items()]
    detector = keras.Model(inputs, heads)
    assert [tuple(x.shape) for x in detector(LARGE)] == [(2, 8, 12, 4), (2, 2, 3, 4)]
    assert len(detector.trainable_variables) == len(backbone.trainable_variables) + 4


@pytest.mark.parametrize("side", [64, 81])
@pytest.mark.parametrize("padding", ["end", "both"])
def test_pool_padding(padding, side):
    """ "end" rounds up and lets the last window hang over the edge, as Caffe does; "both" sees one pixel around."""
    from resnet_keras.models.layers import MaxPooling2D

    layer = MaxPooling2D(padding)
    x = np.random.default_rng(0).uniform(0, 1, (2, side, side, 3)).astype("float32")
    start = 0 if padding == "end" else -1
    count = -(-(side - 3) // 2) + 1 if padding == "end" else (side - 1) // 2 + 1
    expected = np.stack(
        [
            [
                [
                    picture[max(0, top) : top + 3, max(0, left) : left + 3].max((0, 1))
                    for left in range(start, start + 2 * count, 2)
                ]
                for top in range(start, start + 2 * count, 2)
            ]
            for picture in x
        ]
    )
    np.testing.assert_array_equal(array(layer(x)), expected)
    assert layer.compute_output_shape(x.shape) == expected.shape


def test_where_a_bottleneck_strides():
    v1, later = build("resnet50"), build("resnet50", stride_in="3x3")
    strides = [[conv.strides[0] for conv in net.blocks[3].convs] for net in (v1, later)]
    assert strides == [[2, 1, 1], [1, 2, 1]]
    assert [v.path for v in v1.weights] == [v.path for v in later.weights]


def test_stages_are_named_after_the_paper():
    net = build("resnet18")
    assert list(net.stages) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert [block.name for block in net.blocks[:3]] == ["stage2_block1", "stage2_block2", "stage3_block1"]
    assert net.stages["conv2"][0].name == "pool1"
    assert list(build("plain8").stages) == ["conv1", "stage1", "stage2", "stage3"]
