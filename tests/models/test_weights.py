"""Weights pushed from keras.applications and torchvision into our networks and back: the same logits."""

import importlib.util
import sys

import keras
import numpy as np
import pytest

from resnet_keras import UserError, build
from resnet_keras.models import weights
from resnet_keras.models.catalogue import assemble
from resnet_keras.models.layouts import LAYOUTS
from tests.models.reference import array, randomize

RNG = np.random.default_rng(0)
CAFFE_MEAN = np.array([123.68, 116.779, 103.939], "float32")


def pictures(side):
    return RNG.integers(0, 256, (2, side, side, 3), np.uint8)


def close(found, expected):
    """To 1e-4 of the largest logit."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert expected.std() > 0


def keras_peer(name, side, **options):
    """A keras.applications model with random weights, biases and BN statistics; and its logits of raw pictures."""
    kind = {"resnet": name.replace("resnet", "ResNet"), "vgg": name.upper()}[name.rstrip("0123456789")]
    module = keras.applications.vgg16 if "VGG" in kind else keras.applications.resnet
    options = {"weights": None, "input_shape": (side, side, 3), "classifier_activation": None, "classes": 7, **options}
    peer = getattr(keras.applications, kind)(**options)
    randomize(peer)
    first = next(layer.kernel for layer in peer.layers if layer.weights)
    first.assign(first / 64)  # pixels become small numbers, beside which biases and means tell

    def logits(raw):
        return array(peer(module.preprocess_input(raw.astype("float32"))))

    return peer, logits


@pytest.fixture(scope="module")
def resnet50():
    return keras_peer("resnet50", 64)


def pushed_back(network, name, side, **options):
    """A fresh keras.applications model filled from ours."""
    peer, logits = keras_peer(name, side, **options)
    weights.save(network, peer)
    return logits


@pytest.mark.slow
@pytest.mark.parametrize("side", [224, 160])
def test_resnet50_of_keras_applications_and_back(side):
    peer, logits = keras_peer("resnet50", side, classes=1000)
    raw = pictures(side)
    network = weights.load(peer)
    assert network.arguments["classes"] == 1000
    close(array(network(raw)), logits(raw))
    close(pushed_back(network, "resnet50", side, classes=1000)(raw), logits(raw))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [("vgg16", 160), ("vgg19", 224)])
def test_vgg_of_keras_applications_and_back(name, side):
    peer, logits = keras_peer(name, side)
    raw = pictures(side)
    expected = logits(raw)
    network = weights.load(peer)
    assert network.name == name and tuple(network.arguments["input_shape"]) == (side, side, 3)
    close(array(network(raw)), expected)
    del peer, logits
    close(pushed_back(network, name, side)(raw), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet101", "resnet152"])
def test_deeper_networks_of_keras_applications(name):
    peer, logits = keras_peer(name, 64)
    raw = pictures(64)
    network = weights.load(peer)
    assert network.name == name
    close(array(network(raw)), logits(raw))


def test_biases_epsilon_and_colours_are_folded(resnet50):
    """Each convention matters: without it the logits differ."""
    peer, logits = resnet50
    raw = pictures(64)
    close(array(weights.load(peer)(raw)), logits(raw))
    other = weights.load(peer, inputs="torch")
    assert np.abs(array(other(raw)) - logits(raw)).max() > 1e-2 * np.abs(logits(raw)).max()
    unbiased = {name: np.zeros_like(v) if name.endswith("_conv/bias") else v for name, v in weights.read(peer).items()}
    other = weights.load(unbiased)
    assert np.abs(array(other(raw)) - logits(raw)).max() > 1e-2 * np.abs(logits(raw)).max()
    given = weights.read(peer)["conv2_block1_1_bn/moving_variance"].astype("float64")
    network = weights.load(peer)
    np.testing.assert_allclose(array(network.blocks[0].bns[0].moving_variance), given + 1e-8, rtol=1e-7)


EVERY = [(layout, name) for layout in LAYOUTS for name in LAYOUTS[layout].networks]


@pytest.mark.parametrize(("layout", "name"), EVERY)
def test_there_and_back_is_exact_and_every_name_is_another(layout, name, monkeypatch):
    """All networks of a layout, thinned to four channels so that it is quick."""
    from resnet_keras.models import catalogue, vgg

    layout, thin = LAYOUTS[layout], (4, 4, 4, 4, 4)
    make = catalogue._make
    monkeypatch.setattr(catalogue, "_make", lambda *a: make(*a[:5], thin[: len(a[5])], *a[6:]))
    monkeypatch.setattr(vgg, "FC_WIDTH", 4)
    network = build(name, classes=3, input_shape=(64, 64, 3), **layout.networks[name])
    randomize(network)
    network.set_mean(CAFFE_MEAN if layout.inputs == "caffe" else np.array([0.485, 0.456, 0.406]) * 255)
    before = {v.path: array(v) for v in network.variables}
    tensors = weights.export(network, layout.name)
    assert len(tensors) == len(layout.names(network)) + len(layout.extras(network))
    for variable in network.variables:
        if not variable.path.endswith("state"):
            variable.assign(np.zeros(variable.shape, "float32"))
    weights.load_into(network, tensors, layout=layout.name)
    for variable in network.variables:
        np.testing.assert_allclose(array(variable), before[variable.path], rtol=1e-6, atol=1e-9)


FILES = [("keras.applications", end) for end in ("a.keras", "a.h5", "a.weights.h5", "a.safetensors")]
FILES += [("torchvision", "a.safetensors")]


@pytest.mark.parametrize(("layout", "file"), FILES, ids=lambda part: part)
def test_files_there_and_back(layout, file, tmp_path, resnet50):
    options = {"classes": 7, "input_shape": (64, 64, 3), **LAYOUTS[layout].networks["resnet50"]}
    network = build("resnet50", **options)
    randomize(network)
    network.set_mean(CAFFE_MEAN if layout == "keras.applications" else np.array([0.485, 0.456, 0.406]) * 255)
    weights.save(network, tmp_path / file, layout)
    assert [path.name for path in tmp_path.iterdir()] == [file]
    again = weights.load(tmp_path / file)
    assert again.name == "resnet50"
    raw = pictures(64)
    close(array(again(raw)), array(network(raw)))
    if file.endswith(".h5"):  # Keras itself reads what we wrote
        peer, logits = keras_peer("resnet50", 64)
        peer.load_weights(tmp_path / file)
        close(logits(raw), array(network(raw)))


def test_what_keras_writes_is_read(tmp_path, resnet50):
    peer, logits = resnet50
    raw = pictures(64)
    for file in ("a.keras", "a.h5", "a.weights.h5"):
        (peer.save_weights if "weights" in file else peer.save)(tmp_path / file)
        close(array(weights.load(tmp_path / file)(raw)), logits(raw))


def test_a_backbone_takes_what_it_has(resnet50):
    peer, _ = resnet50
    raw = pictures(64)
    maps = weights.load(peer, features=["conv2", "conv4"])(raw)
    inner = keras.Model(peer.inputs, [peer.get_layer(f"conv{n}_out").output for n in ("2_block3", "4_block6")])
    expected = inner(keras.applications.resnet.preprocess_input(raw.astype("float32")))
    for found, wanted in zip(maps.values(), expected, strict=True):
        close(array(found), array(wanted))
    body = weights.load(peer, include_top=False, pooling="avg")
    assert array(body(raw)).shape == (2, 2048)


def test_a_peer_without_its_top():
    peer, _ = keras_peer("resnet50", 64, include_top=False)
    network = weights.load(peer)
    raw = pictures(64)
    close(array(network(raw)), array(peer(keras.applications.resnet.preprocess_input(raw.astype("float32")))))


def test_weights_that_do_not_fit_change_nothing(resnet50):
    network = build("resnet50", pool_padding="both", classes=7, input_shape=(64, 64, 3))
    before = [array(v) for v in network.variables]
    tensors = weights.read(resnet50[0])
    tensors["conv2_block1_1_conv/kernel"] = np.zeros((3, 3, 64, 64), "float32")
    del tensors["conv3_block1_0_bn/gamma"], tensors["conv1_bn/beta"]
    tensors |= {"block6_conv1/kernel": np.zeros(3), "odd": np.zeros(2)}
    with pytest.raises(weights.WeightsDoNotFit) as error:
        weights.load_into(network, tensors)
    assert str(error.value) == (
        "these weights do not fit resnet50: conv1_bn/beta is missing; conv2_block1_1_conv/kernel is (3, 3, 64, 64) "
        "where resnet50 has (1, 1, 64, 64); conv3_block1_0_bn/gamma is missing and 2 more."
    )
    assert len(error.value.tensors) == 5 and error.value.tensors[-1] == "odd is unknown to resnet50"
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(array(variable), value)


def test_a_model_that_does_not_fit_is_left_alone():
    network = build("resnet50", pool_padding="both", classes=5, input_shape=(64, 64, 3))
    network.set_mean(CAFFE_MEAN)
    peer, _ = keras_peer("resnet50", 64)
    before = peer.get_weights()
    with pytest.raises(weights.WeightsDoNotFit, match=r"predictions/kernel is \(2048, 5\) where the model given has"):
        weights.save(network, peer)
    for now, value in zip(peer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, value)


def small(**options):
    return build("resnet50", classes=2, input_shape=(32, 32, 3), **options)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda folder: weights.load(folder / "a.pth"), "a.pth may be a pickle.*save_file"),
        (lambda folder: weights.load(folder / "a.txt"), "a.txt: give a file ending in .safetensors, .keras, .h5"),
        (lambda folder: weights.load(folder / "b.h5"), "there is no file .*b.h5"),
        (lambda folder: weights.load(folder / "torn.safetensors"), "torn.safetensors cannot be read"),
        (lambda folder: weights.load(folder / "torn.h5"), "torn.h5 cannot be read"),
        (lambda folder: weights.load({"a": np.zeros(1)}), "these weights .a ...* are of no network known here"),
        (lambda folder: weights.load({}, "resnet18", layout="keras.applications"), "have no resnet18: keras.app.* has"),
        (lambda folder: weights.load({}, layout="timm"), "unknown layout 'timm': use one of keras.applications, torch"),
        (lambda folder: weights.load(small()), "resnet50 is a network of this package already"),
        (lambda folder: weights.export(small(), "torchvision"), "has stride_in='3x3', this one stride_in='1x1': build"),
        (lambda folder: weights.export(build("plain20"), "torchvision"), "torchvision has no plain20: torchvision has"),
        (
            lambda folder: weights.export(small(pool_padding="both"), "keras.applications"),
            "resnet50 subtracts the mean .0.0, 0.0, 0.0.*123.68.*inputs='centred'",
        ),
        (
            lambda folder: weights.export(small(pool_padding="both"), "keras.applications", inputs="rgb"),
            "unknown inputs 'rgb': use one of caffe, torch, centred",
        ),
        (lambda folder: weights.save(small(), folder / "a.safetensors"), "could be of any layout: add layout="),
        (
            lambda folder: weights.save(
                small(pool_padding="both"), folder / "a.onnx", "keras.applications", inputs="centred"
            ),
            "a.onnx: give a file ending in",
        ),
    ],
)
def test_errors(call, says, tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    (tmp_path / "torn.h5").write_bytes(b"\x89HDF")
    with pytest.raises(UserError, match=says) as error:
        call(tmp_path)
    assert "\n" not in str(error.value)


# ---- torchvision, where PyTorch is installed --------------------------------------------------------------------


@pytest.fixture(scope="module")
def torchvision():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[peers]'")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: pip install '.[peers]'")
    try:
        import torchvision
    except RuntimeError:  # beside another PyTorch than it was built for: without its operators, which no network needs
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        import torchvision
    yield torchvision


def torch_peer(torchvision, name, **options):
    """A torchvision network with random weights and BN statistics; and its logits of raw pictures."""
    import torch

    torch.manual_seed(0)
    peer = getattr(torchvision.models, name)(num_classes=7, **options).eval()
    with torch.no_grad():
        for key, value in peer.state_dict().items():
            if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
                value.uniform_(0.5, 1.5)
            elif value.ndim == 1:
                value.normal_(0, 0.3)

    def logits(raw):
        given = (raw.astype("float32") / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        with torch.no_grad():
            return peer(torch.from_numpy(given.transpose(0, 3, 1, 2).astype("float32"))).numpy()

    return peer, logits


TORCH = [("resnet18", 224), ("resnet34", 160), ("resnet50", 224), ("resnet50", 160), ("resnet101", 64)]
TORCH += [("resnet152", 64), ("vgg16", 224), ("vgg19_bn", 224)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), TORCH)
def test_torchvision_and_back(torchvision, name, side):
    peer, logits = torch_peer(torchvision, name)
    raw = pictures(side)
    expected = logits(raw)
    network = weights.load(peer)
    assert network.name == name.removesuffix("_bn") and network.arguments["classes"] == 7
    close(array(network(raw)), expected)
    fresh, logits = torch_peer(torchvision, name)
    weights.save(network, fresh)
    close(logits(raw), expected)


def test_torchvision_state_dict_in_a_file(torchvision, tmp_path):
    from safetensors.torch import save_file

    peer, logits = torch_peer(torchvision, "resnet18")
    save_file(peer.state_dict(), tmp_path / "a.safetensors")
    raw = pictures(64)
    close(array(weights.load(tmp_path / "a.safetensors")(raw)), logits(raw))
    half = {key: value.bfloat16() if value.is_floating_point() else value for key, value in peer.state_dict().items()}
    save_file(half, tmp_path / "half.safetensors")
    assert weights.load(tmp_path / "half.safetensors").name == "resnet18"


def test_every_name_is_torchvisions(torchvision):
    """Name by name and shape by shape, for every network both have."""
    import torch

    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg16", "vgg19", "vgg16_bn"):
        with torch.device("meta"):
            theirs = {key: tuple(v.shape) for key, v in getattr(torchvision.models, name)().state_dict().items()}
        own, layout = name.removesuffix("_bn"), LAYOUTS["torchvision"]
        options = {**layout.networks[own], **({"batch_norm": name.endswith("_bn")} if "vgg" in name else {})}
        network = assemble(own, **options)
        assert {*layout.names(network), *layout.extras(network)} == set(theirs)
