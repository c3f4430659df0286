"""The built-in images: always the same bits, balanced, and told apart by shape alone."""

import hashlib
import math
from itertools import combinations

import numpy as np
import pytest
from matplotlib.path import Path

from resnet_keras.data import Split, shapes16

DIGESTS = {
    "train": "81eded0cdfaca7af592af6b3b010dcc12b89b089e1ddf8163e14445231278e16",
    "test": "b47cc72acaa9a57e63e518e4a5c550a36692ed41ab409739b8223110316dbbbe",
}


@pytest.fixture(scope="module")
def splits():
    return {split: Split(*shapes16.draw_images(split)) for split in ("train", "test")}


def test_the_images_never_change(splits):
    """A change of one bit needs a new VERSION, or results of different images would stand side by side."""
    assert shapes16.VERSION == "1"
    assert {split: hashlib.sha256(splits[split].images.tobytes()).hexdigest() for split in splits} == DIGESTS


def test_sizes_balance_and_no_image_twice(splits):
    for split, count in (("train", 10_000), ("test", 2_000)):
        images, labels = splits[split].images, splits[split].labels
        assert images.shape == (count, 16, 16, 3) and images.dtype == np.uint8
        assert labels.dtype == np.int32 and (np.bincount(labels) == count // 10).all()
    assert len(shapes16.CLASSES) == 10
    assert len({image.tobytes() for split in splits.values() for image in split.images}) == 12_000


def error_of_nearest(train, test):
    """Test error in percent of the nearest class mean, each feature scaled by its deviation."""
    spread = train[0].std(axis=0)
    means = np.stack([train[0][train[1] == label].mean(axis=0) for label in range(10)]) / spread
    distance = ((test[0][:, None] / spread - means) ** 2).sum(axis=2)
    return 100 * (distance.argmin(axis=1) != test[1]).mean()


def colours(images):
    """Mean and deviation of each colour over the image, and its histogram."""
    pixels = images.reshape(len(images), -1, 3).astype(float)
    bins = [((pixels >= low) & (pixels < low + 64)).mean(axis=1) for low in range(0, 256, 64)]
    return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1), *bins], axis=1)


def test_colours_and_mean_images_do_not_tell_the_classes(splits):
    """Guessing errs in 90 of 100; colour statistics and the average image of a class hardly do better."""
    train, test = splits["train"], splits["test"]
    by_colour = error_of_nearest((colours(train.images), train.labels), (colours(test.images), test.labels))
    flat = [split.images.reshape(len(split), -1).astype(np.float32) for split in (train, test)]
    by_pixel = error_of_nearest((flat[0], train.labels), (flat[1], test.labels))
    assert by_colour > 80
    assert by_pixel > 80


def mask(outline, degrees, mirrored):
    x, y = np.meshgrid(np.linspace(-1.4, 1.4, 57), np.linspace(-1.4, 1.4, 57))
    turn = np.radians(degrees)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], -1)
    points = points * [-1, 1] if mirrored else points
    outline = outline - outline.mean(axis=0)
    return Path(outline / np.abs(outline).max()).contains_points(points.reshape(-1, 2))


def test_no_class_becomes_another_when_turned_or_mirrored():
    """The best overlap of two outlines, over all turns and mirrorings, is clearly less than whole.

    The circle and the hexagon are the closest, and meant to be: they ask for a sharp eye.
    """
    masks = {
        name: [mask(outline, degrees, mirrored) for degrees in range(0, 360, 10) for mirrored in (False, True)]
        for name, outline in shapes16.OUTLINES.items()
    }
    for one, other in combinations(shapes16.CLASSES, 2):
        overlap = max((masks[one][0] & m).sum() / (masks[one][0] | m).sum() for m in masks[other])
        assert overlap < 0.9, (one, other, overlap)


def test_no_cosine_lies_where_libraries_could_round_it_differently():
    exact = [10_000 * math.cos(math.radians(degree)) for degree in range(360)]
    assert min(abs(value % 1.0 - 0.5) for value in exact) > 1e-6
    assert np.abs(shapes16.COSINES * 10_000 - exact).max() <= 0.5
    degrees = np.arange(-400, 400, 7)
    cosine, sine = shapes16.direction(degrees)
    assert np.allclose(cosine, np.cos(np.radians(degrees)), atol=1e-4)
    assert np.allclose(sine, np.sin(np.radians(degrees)), atol=1e-4)


@pytest.mark.parametrize("name", shapes16.CLASSES)
def test_distance_from_an_outline(name):
    """Inside as matplotlib has it; distance to the nearest of many points laid along the edge."""
    corners = shapes16.OUTLINES[name] * 10 + [16, 15]
    x, y = np.arange(32) + 0.5, np.arange(30) + 0.5
    distance = shapes16.polygon_distance(x[None, None, :], y[None, :, None], corners[None])[0]
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    share = np.linspace(0, 1, 1000)[:, None]
    edge = np.concatenate([a + (b - a) * share for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    nearest = np.array([np.hypot(*(edge - point).T).min() for point in points])
    signed = np.where(Path(corners).contains_points(points), -nearest, nearest)
    clear = nearest > 0.02
    assert np.allclose(distance.ravel()[clear], signed[clear], atol=0.01)
