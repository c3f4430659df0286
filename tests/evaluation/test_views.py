"""The three ways of testing against arithmetic in NumPy; the stream against counts of what is in memory."""

import io
import types

import keras
import numpy as np
import pytest
from PIL import Image

from resnet_keras import build
from resnet_keras.data import Split
from resnet_keras.data.photos import Photograph, Photographs
from resnet_keras.errors import UserError
from resnet_keras.evaluation import views
from resnet_keras.evaluation.accuracy import evaluate
from tests.models.reference import array


def png(seed, height=300, width=451):
    """An encoded image: patches of one colour, so that every crop of it is another."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


class Linear:
    """In place of a network: logits are a matrix times the mean colours of the four quarters of the image."""

    name = "resnet18"
    matrix = np.random.default_rng(3).normal(0, 0.04, (12, 7))

    def predict_on_batch(self, images):
        assert images.dtype == np.uint8
        x, half = images.astype(float), images.shape[1] // 2
        quarters = [x[:, :half, :half], x[:, :half, half:], x[:, half:, :half], x[:, half:, half:]]
        return np.concatenate([quarter.mean(axis=(1, 2)) for quarter in quarters], axis=1) @ self.matrix


def numpy_softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def ten_by_hand(encoded):
    image = Image.open(io.BytesIO(encoded))
    x = np.asarray(image.resize([size * 256 // min(image.size) for size in image.size], Image.Resampling.BILINEAR))
    bottom, right = x.shape[0] - 224, x.shape[1] - 224
    crops = []
    for top, left in ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)):
        crop = x[top : top + 224, left : left + 224]
        crops += [crop, crop[:, ::-1]]
    return np.stack(crops)


def test_one_view_is_the_centre_and_ten_crops_average_softmax_scores_not_logits():
    network, encoded = Linear(), [png(seed) for seed in range(3)]
    photographs = Photographs([Photograph(each, number, "") for number, each in enumerate(encoded)], range(3))
    logits = [network.predict_on_batch(ten_by_hand(each)) for each in encoded]
    for mode, exact in (
        ("1", [numpy_softmax(ten[8]) for ten in logits]),
        ("10", [numpy_softmax(ten).mean(axis=0) for ten in logits]),
    ):
        scores, labels = (np.concatenate(p) for p in zip(*views.evaluated(network, photographs, mode), strict=True))
        assert labels.tolist() == [0, 1, 2]
        np.testing.assert_allclose(scores, exact, atol=2e-3)
    assert np.abs(exact - np.array([numpy_softmax(ten.mean(axis=0)) for ten in logits])).max() > 0.02


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


def test_multi_scale_averages_positions_then_flips_and_scales(network):
    draw = np.random.default_rng(5)
    scales = [draw.integers(0, 256, (*sides, 3), dtype=np.uint8) for sides in ((64, 96), (96, 130))]
    kernel, bias = (array(v).astype(float) for v in network.top[-1].variables)
    pairs, scores = [np.stack([each, each[:, ::-1]]) for each in scales], []
    split = types.SimpleNamespace(cropped=True, each=lambda _: [(pairs, 0)])
    ((averaged, _),) = views.evaluated(network, split, "multiscale")
    for shown in (each[None, :, ::step] for each in scales for step in (1, -1)):
        x = shown
        for layer in network.chain()[:-2]:
            x = layer(x, training=False)
        maps = array(x)[0].astype(float)
        assert maps.shape[0] > 1 and maps.shape[1] > maps.shape[0]  # the whole map of a whole image
        scores.append(numpy_softmax((maps @ kernel + bias).mean(axis=(0, 1))))
    np.testing.assert_allclose(averaged[0], np.mean(scores, axis=0), rtol=1e-4)


def test_the_fully_convolutional_form_is_the_network_itself_at_its_own_size_and_slides_over_larger_images(network):
    vgg, draw = build("vgg16", classes=3, input_shape=(64, 64, 3)), np.random.default_rng(0)
    for layer in vgg.top:
        if isinstance(layer, keras.layers.Dense):
            layer.bias.assign(draw.normal(0, 0.5, layer.bias.shape))
    for each, side in ((network, 224), (vgg, 64)):
        images = draw.integers(0, 256, (2, side, side, 3), dtype=np.uint8)
        maps = views.ScoreMap(each).predict_on_batch(images)
        np.testing.assert_allclose(maps, each.predict_on_batch(images), rtol=1e-3, atol=1e-3)
    larger = draw.integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    assert views.ScoreMap(vgg).positions(larger).shape == (1, 2, 3, 3)


def test_a_stream_has_a_few_photographs_in_memory_at_a_time():
    asked, most = [], 0

    class Source:
        def __getitem__(self, number):
            asked.append(number)
            return Photograph(png(0), number, "")

    stream = views.evaluated(Linear(), Photographs(Source(), range(50_000)), "10")
    for seen in range(1, 31):
        next(stream)
        most = max(most, len(asked) - seen)
    stream.close()
    assert most <= 33


def test_images_in_memory_have_one_view_and_so_have_those_of_cifar():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    split, network = Split(images, np.arange(3, dtype=np.int32)), Linear()
    ((scores, labels),) = views.evaluated(network, split)
    np.testing.assert_allclose(scores, numpy_softmax(network.predict_on_batch(images)))
    assert labels.tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="views of photographs"):
        next(views.evaluated(network, split, "multiscale"))
    trained = types.SimpleNamespace(network=types.SimpleNamespace(name="resnet20"))
    with pytest.raises(UserError, match=r"Sec\. 4\.2"):
        evaluate(trained, mode="10")
