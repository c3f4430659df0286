"""The built-in images: always the same bits, balanced, and told apart by shape alone."""

import hashlib

import numpy as np
import pytest

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
    for split, count in (("train", 10_000), ("test", 2_000)):
        images, labels = splits[split].images, splits[split].labels
        assert images.shape == (count, 16, 16, 3) and images.dtype == np.uint8
        assert labels.dtype == np.int32 and (np.bincount(labels) == count // 10).all()
    assert len({image.tobytes() for split in splits.values() for image in split.images}) == 12_000


def error_of_nearest(train, test, features):
    """In percent, of the nearest class mean, each feature scaled by its deviation."""
    known, asked = features(train.images), features(test.images)
    spread = known.std(axis=0)
    means = np.stack([known[train.labels == label].mean(axis=0) for label in range(10)]) / spread
    distance = ((asked[:, None] / spread - means) ** 2).sum(axis=2)
    return 100 * (distance.argmin(axis=1) != test.labels).mean()


def colours(images):
    """Mean and deviation of each colour over the image, and its histogram."""
    pixels = images.reshape(len(images), -1, 3).astype(float)
    bins = [((pixels >= low) & (pixels < low + 64)).mean(axis=1) for low in range(0, 256, 64)]
    return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1), *bins], axis=1)


def test_colours_and_mean_images_do_not_tell_the_classes(splits):
    """Guessing errs in 90 of 100; colour statistics and the average image of a class hardly do better."""
    for features in (colours, lambda images: images.reshape(len(images), -1).astype(np.float32)):
        assert error_of_nearest(splits["train"], splits["test"], features) > 80
