"""The three ways of testing against arithmetic in NumPy; the stream against counts of what is held."""

import io

import keras
import numpy as np
import pytest
from PIL import Image

from resnet_keras import build
from resnet_keras.data import Split
from resnet_keras.data.images import workers
from resnet_keras.data.photos import Photograph, Photographs
from resnet_keras.errors import UserError
from resnet_keras.evaluation import views


def png(seed, height=300, width=451):
    """An encoded picture: patches of one colour, so that every crop of it is another."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


class Linear:
    """In place of a network: logits are a matrix times the mean colours of the four quarters of the picture."""

    name = "resnet18"

    def __init__(self, classes=7):
        self.matrix = np.random.default_rng(3).normal(0, 0.04, (12, classes))

    def predict_on_batch(self, images):
        assert images.dtype == np.uint8
        x = images.astype(float)
        half = x.shape[1] // 2
        quarters = [x[:, :half, :half], x[:, :half, half:], x[:, half:, :half], x[:, half:, half:]]
        return np.concatenate([quarter.mean(axis=(1, 2)) for quarter in quarters], axis=1) @ self.matrix


class Source:
    """Encoded pictures that come as often as they are asked for, and how often that was."""

    def __init__(self, *encoded):
        self.encoded, self.asked = encoded, 0

    def __getitem__(self, number):
        self.asked += 1
        return Photograph(self.encoded[number % len(self.encoded)], number, f"picture {number}")


def photographs(*encoded):
    return Photographs(Source(*encoded), range(len(encoded)))


def numpy_softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def shrunk(encoded, side=256):
    image = Image.open(io.BytesIO(encoded))
    width, height = (size * side // min(image.size) for size in image.size)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def ten_by_hand(encoded):
    x = shrunk(encoded)
    bottom, right = x.shape[0] - 224, x.shape[1] - 224
    crops = []
    for top, left in ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)):
        crop = x[top : top + 224, left : left + 224]
        crops += [crop, crop[:, ::-1]]
    return np.stack(crops)


def test_ten_crops_average_softmax_scores_not_logits():
    network = Linear()
    pictures = [png(seed) for seed in range(11)]  # two batches, the last one not full
    batches = list(views.evaluated(network, photographs(*pictures), "10"))
    assert [len(labels) for _, labels in batches] == [8, 3]
    assert np.concatenate([labels for _, labels in batches]).tolist() == list(range(11))
    found = np.concatenate([scores for scores, _ in batches])
    logits = [network.predict_on_batch(ten_by_hand(encoded)) for encoded in pictures]
    np.testing.assert_allclose(found, [numpy_softmax(ten).mean(axis=0) for ten in logits], atol=2e-3)
    of_logits = np.array([numpy_softmax(ten.mean(axis=0)) for ten in logits])
    assert np.abs(found - of_logits).max() > 0.02  # the two are not the same here


def test_the_single_view_is_the_centre_crop():
    network = Linear()
    ((found, _),) = views.evaluated(network, photographs(png(1)))
    np.testing.assert_allclose(
        found[0], numpy_softmax(network.predict_on_batch(ten_by_hand(png(1))[8:9]))[0], atol=2e-3
    )


@pytest.fixture(scope="module")
def network():
    """A ResNet-18 whose classifier tells positions apart."""
    network = build("resnet18", classes=5, seed=2)
    network.set_mean([120.0, 115.0, 105.0])
    dense = network.top[-1]
    dense.kernel.assign(np.random.default_rng(0).normal(0, 0.02, dense.kernel.shape))
    logits = network.predict_on_batch(np.random.default_rng(9).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    dense.kernel.assign(dense.kernel / logits.std())  # softmax scores that are neither 0 nor 1
    dense.bias.assign(np.random.default_rng(1).normal(0, 0.5, dense.bias.shape))
    return network


def test_the_fully_convolutional_form_is_the_network_itself_at_its_own_size(network):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    direct = network.predict_on_batch(pictures)
    np.testing.assert_allclose(views.ScoreMap(network).predict_on_batch(pictures), direct, rtol=1e-4, atol=1e-4)


def test_multi_scale_averages_positions_then_flips_and_scales(network):
    draw = np.random.default_rng(5)
    scales = [draw.integers(0, 256, (*sides, 3), dtype=np.uint8) for sides in ((64, 96), (96, 130))]
    found = views.MODES["multiscale"].scorer(network)([scales])
    kernel, bias = (np.asarray(keras.ops.convert_to_numpy(v), float) for v in network.top[-1].variables)
    scores = []
    for picture in scales:
        for shown in (picture, picture[:, ::-1]):
            x = shown[None]
            for layer in network.chain()[:-2]:
                x = layer(x, training=False)
            maps = np.asarray(keras.ops.convert_to_numpy(x), float)[0]
            assert maps.shape[0] > 1 and maps.shape[1] > maps.shape[0]  # the whole map of a whole picture
            scores.append(numpy_softmax((maps @ kernel + bias).mean(axis=(0, 1))))
    np.testing.assert_allclose(found, [np.mean(scores, axis=0)], rtol=1e-4)


def test_vgg_is_turned_into_a_convolution_of_its_first_wide_layer():
    network = build("vgg16", classes=3, input_shape=(64, 64, 3))
    draw = np.random.default_rng(0)
    for layer in network.top:
        if isinstance(layer, keras.layers.Dense):
            layer.bias.assign(draw.normal(0, 0.5, layer.bias.shape))
    maps = views.ScoreMap(network)
    pictures = draw.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    direct = keras.ops.convert_to_numpy(network(pictures))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(maps(pictures)), direct, rtol=1e-3, atol=1e-3)
    larger = draw.integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    assert maps.positions(larger).shape == (1, 2, 3, 3)


def test_a_stream_is_held_a_few_batches_at_a_time():
    source, most, seen = Source(png(0)), 0, 0
    stream = views.evaluated(Linear(), Photographs(source, range(50_000)), "10")
    for _ in range(6):
        scores, _ = next(stream)
        seen += len(scores)
        most = max(most, source.asked - seen)
    stream.close()
    assert seen == 48 and most <= 4 * workers() + views.MODES["10"].batch


def test_a_broken_picture_is_named():
    with pytest.raises(UserError, match="picture 1"):
        list(views.evaluated(Linear(), photographs(png(0), png(0)[:200]), "10"))


def test_pictures_in_memory_have_one_view():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    split = Split(images, np.arange(3, dtype=np.int32))
    network = Linear()
    ((scores, labels),) = views.evaluated(network, split)
    np.testing.assert_allclose(scores, numpy_softmax(network.predict_on_batch(images)))
    assert labels.tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="views of photographs"):
        next(views.evaluated(network, split, "multiscale"))


@pytest.mark.parametrize(("name", "mode", "says"), [("resnet20", "10", "Sec. 4.2"), ("resnet50", "11", "multiscale")])
def test_what_the_paper_does_not_do_is_refused(name, mode, says):
    with pytest.raises(UserError, match=says):
        views.check(name, mode)
