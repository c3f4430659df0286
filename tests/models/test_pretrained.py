"""Weights of keras.applications, torchvision and this package: the same logits, whatever the file."""

import keras
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from resnet_keras import UserError, build, load
from tests.models.reference import array, randomize

RNG = np.random.default_rng(0)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def images(side):
    return RNG.integers(0, 256, (2, side, side, 3), np.uint8)


def assert_close(logits, expected, share=1e-4):
    """To a share of the largest logit."""
    assert logits.shape == expected.shape and expected.std() > 0
    assert np.abs(logits - expected).max() <= share * np.abs(expected).max()


def keras_peer(name, side=32):
    """A keras.applications model with random weights, biases and BN statistics; and its logits of raw images."""
    kind = name.upper() if name.startswith("vgg") else name.replace("resnet", "ResNet")
    module = keras.applications.vgg16 if "VGG" in kind else keras.applications.resnet
    make = getattr(keras.applications, kind)
    peer = randomize(make(weights=None, input_shape=(side, side, 3), classifier_activation=None, classes=7))
    first = next(layer.kernel for layer in peer.layers if layer.weights)
    first.assign(first / 64)  # pixels become small numbers, beside which biases and means tell
    return peer, lambda raw: array(peer(module.preprocess_input(raw.astype("float32"))))


@pytest.fixture(scope="module")
def resnet50():
    return keras_peer("resnet50")


@pytest.fixture(scope="module")
def state50(resnet50):
    layers = resnet50[0].layers
    return {f"{layer.name}/{variable.name}": array(variable) for layer in layers for variable in layer.weights}


@pytest.mark.parametrize(
    ("name", "file"),
    [("resnet50", "a.keras"), ("resnet50", "A.HDF5"), ("resnet50", "a.weights.h5"), ("vgg16", "a.keras")],
)
def test_keras_applications(name, file, tmp_path, resnet50):
    peer, logits = resnet50 if name == "resnet50" else keras_peer(name, side=64)
    written = tmp_path / file.replace(".HDF5", ".h5")
    (peer.save_weights if "weights" in file else peer.save)(written)
    network, raw = load(written.rename(tmp_path / file), name), images(peer.input_shape[1])
    assert network.name == name and network.arguments["classes"] == 7
    assert_close(array(network(raw)), logits(raw))


def test_a_backbone_takes_what_it_has(resnet50, state50):
    peer, _ = resnet50
    raw = images(32)
    maps = load(state50, "resnet50", features=["conv2", "conv4"])(raw)
    inner = keras.Model(peer.inputs, [peer.get_layer(f"conv{n}_out").output for n in ("2_block3", "4_block6")])
    expected = inner(keras.applications.resnet.preprocess_input(raw.astype("float32")))
    for mine, theirs in zip(maps.values(), expected, strict=True):
        assert_close(array(mine), array(theirs))
    topless = {name: value for name, value in state50.items() if "predictions" not in name}
    expected = array(load(state50, "resnet50", include_top=False, pooling="avg")(raw))
    np.testing.assert_array_equal(array(load(topless, "resnet50", pooling="avg")(raw)), expected)


def torchvision(network) -> dict[str, np.ndarray]:
    """The state dict of torchvision's network that computes what this one does, from (pixels / 255 - MEAN) / STD.

    Written from its definitions: no PyTorch is needed.
    """
    state = {}

    def norm(name, layer):
        state.update({f"{name}.{theirs}": array(getattr(layer, ours)) for ours, theirs in NORM.items()})
        state[f"{name}.num_batches_tracked"] = np.array(7)

    def conv(name, layer, scale=1.0):
        state[f"{name}.weight"] = np.ascontiguousarray((array(layer.kernel) * scale).transpose(3, 2, 0, 1))

    scale = (255 * STD)[:, None]
    if network.name.startswith("vgg"):
        _vgg(network, state, conv, norm, scale)
    else:
        stem = network.stages["conv1"]
        conv("conv1", stem[0], scale), norm("bn1", stem[1])
        for stage, number in zip(("conv2", "conv3", "conv4", "conv5"), range(1, 5), strict=True):
            blocks = [layer for layer in network.stages[stage] if hasattr(layer, "convs")]
            for place, block in enumerate(blocks):
                for part in range(len(block.convs)):
                    conv(f"layer{number}.{place}.conv{part + 1}", block.convs[part])
                    norm(f"layer{number}.{place}.bn{part + 1}", block.bns[part])
                if block.shortcut_conv is not None:
                    conv(f"layer{number}.{place}.downsample.0", block.shortcut_conv)
                    norm(f"layer{number}.{place}.downsample.1", block.shortcut_bn)
        state["fc.weight"], state["fc.bias"] = array(network.top[-1].kernel).T, array(network.top[-1].bias)
    kinds = {name: "int64" if "tracked" in name else "float32" for name in state}
    return {name: np.ascontiguousarray(value, kinds[name]) for name, value in state.items()}


def _vgg(network, state, conv, norm, scale):
    layers = [layer for layers in network.stages.values() for layer in layers]
    for number, layer in enumerate(layers):  # torchvision's features: convolutions, BNs, ReLUs and poolings
        if "conv" in layer.name:
            conv(f"features.{number}", layer, scale if number == 0 else 1.0)
            biases = array(layer.bias) if layer.use_bias else np.full(layer.filters, 0.25)
            state[f"features.{number}.bias"] = biases
        elif "bn" in layer.name:
            norm(f"features.{number}", layer)
            state[f"features.{number}.running_mean"] += 0.25  # what the bias before it adds
    dense = [layer for layer in network.top if hasattr(layer, "units")]
    height, width = (side // 32 for side in network.arguments["input_shape"][:2])
    for number, layer in zip((0, 3, 6), dense, strict=True):
        kernel = array(layer.kernel)
        if number == 0:  # its inputs are flattened [c, h, w] there, [h, w, c] here
            kernel = kernel.reshape(height, width, -1, layer.units).transpose(2, 0, 1, 3).reshape(-1, layer.units)
        state[f"classifier.{number}.weight"], state[f"classifier.{number}.bias"] = kernel.T, array(layer.bias)


def of_torchvision(name, **options):
    """One of our networks, built as torchvision's is, with random weights and its mean."""
    if name.startswith("resnet"):
        options |= {"shortcut": "B", "pool_padding": "both", **({"stride_in": "3x3"} if name == "resnet50" else {})}
    network = randomize(build(name, classes=7, input_shape=(64, 64, 3), **options))
    network.set_mean(255 * MEAN)
    return network


@pytest.mark.parametrize(
    ("name", "options"), [("resnet18", {}), ("resnet50", {}), ("vgg16", {}), ("vgg19", {"batch_norm": True})]
)
def test_torchvisions_state_dict(name, options, thin):
    network = of_torchvision(name, **options)
    again = load(torchvision(network), name, **({} if name.startswith("vgg") else {"input_shape": (64, 64, 3)}))
    assert_close(array(again(raw := images(64))), array(network(raw)))
    assert again.arguments == network.arguments


@pytest.mark.parametrize(
    ("prefix", "dtype", "share"),
    [("module.", "float64", 1e-4), ("_orig_mod.net.backbone.", "float16", 0.1), ("", "bfloat16", 0.1)],
)
def test_prefixes_and_precisions(prefix, dtype, share, tmp_path):
    """What DataParallel, Lightning and torch.compile put before names, and weights in other precisions."""
    network, raw, kind = of_torchvision("resnet18"), images(64), getattr(ml_dtypes, dtype, dtype)
    state = {prefix + name: v.astype(kind) if v.dtype == "float32" else v for name, v in torchvision(network).items()}
    save_file(state, tmp_path / "a.safetensors")
    assert_close(array(load(tmp_path / "a.safetensors", "resnet18")(raw)), array(network(raw)), share)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg19_bn"])
def test_torchvision_itself(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[peers]'")
    models = pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    torch.manual_seed(0)
    peer, raw = getattr(models, name)(num_classes=7).eval(), images(224)
    with torch.no_grad():
        for key, value in peer.state_dict().items():
            if value.ndim == 1:
                positive = key.endswith("running_var") or key.endswith("weight")
                value.uniform_(0.5, 1.5) if positive else value.normal_(0, 0.3)
        expected = peer(torch.from_numpy(((raw / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype("float32"))).numpy()
    network = load({key: value.numpy() for key, value in peer.state_dict().items()}, name.removesuffix("_bn"))
    assert_close(array(network(raw)), expected)


@pytest.mark.parametrize(("name", "options"), [
    ("resnet8", {"classes": 4, "input_shape": (16, 12, 3)}), ("plain8", {"batch_norm": False, "include_top": False}),
    ("vgg16", {"classes": 3, "input_shape": (32, 32, 3)}),
])  # fmt: skip
def test_weights_that_save_weights_made_of_our_own_network(name, options, tmp_path, thin):
    network = randomize(build(name, **options))
    network.save_weights(tmp_path / "own.weights.h5")
    again = load(tmp_path / "own.weights.h5", name)
    assert again.arguments == network.arguments
    raw = RNG.integers(0, 256, (2, *network.arguments["input_shape"]), np.uint8)
    np.testing.assert_array_equal(array(again(raw)), array(network(raw)))
    with pytest.raises(UserError, match=r"own.weights.h5 cannot be read \(.*\)"):
        load(tmp_path / "own.weights.h5", "vgg19" if name == "vgg16" else "resnet14", **options)


def test_weights_that_do_not_fit(state50):
    state = {**state50, "conv2_block1_1_conv/kernel": np.zeros((3, 3, 64, 64), "float32"), "odd": np.zeros(2)}
    del state["conv3_block1_0_bn/gamma"]
    with pytest.raises(UserError) as error:
        load(state, "resnet50")
    assert str(error.value) == (
        "the dictionary does not fit resnet50: stage3_block1/shortcut_bn/gamma is missing; "
        "stage2_block1/conv1/kernel is (3, 3, 64, 64), not (1, 1, 64, 64); odd is unknown."
    )
    deeper = {**state50, "conv4_block7_1_conv/kernel": state50["conv4_block6_1_conv/kernel"]}
    with pytest.raises(UserError, match="stage4_block7/conv1/kernel is unknown"):
        load(deeper, "resnet50", features=["conv5"])
    load(deeper, "resnet50", features=["conv3"])  # up to there the two are one network


def test_files_that_cannot_be_read_or_are_of_another_network(tmp_path):
    for torn in ("torn.safetensors", "torn.h5", "torn.keras"):
        (tmp_path / torn).write_bytes(b"\x10\0\0\0\0\0\0\0{")
    save_file({"a": np.zeros(1)}, tmp_path / "small.safetensors")
    build("resnet8").save(tmp_path / "own.keras")
    for file, name, says in (
        ("a.pth", "resnet50", "a.pth: give a file ending in .*pickle.*save_file"),
        ("b.h5", "resnet50", "there is no file .*b.h5"),
        ("torn.safetensors", "resnet50", "torn.safetensors cannot be read"),
        ("torn.h5", "resnet50", "torn.h5 cannot be read"),
        ("torn.keras", "resnet50", "torn.keras cannot be read"),
        ("small.safetensors", "resnet18", "keras.applications has no resnet18: it has resnet50"),
        ("small.safetensors", "resnet50", "small.safetensors does not fit resnet50: "),
        ("small.safetensors", None, "small.safetensors does not say which network it is of: add its name"),
        ("own.keras", "resnet20", "own.keras holds resnet8, not resnet20"),
    ):
        with pytest.raises(UserError, match=says) as error:
            load(tmp_path / file, name)
        assert "\n" not in str(error.value)
