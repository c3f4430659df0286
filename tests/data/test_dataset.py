"""Splits and the per-pixel mean."""

from fractions import Fraction

import numpy as np

from resnet_keras.data import Dataset, Identity, Split


def test_the_mean_is_per_pixel_over_the_training_images_alone():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (7, 2, 3, 3), dtype=np.uint8)
    test = Split(np.full((4, 2, 3, 3), 255, np.uint8), np.zeros(4, np.int32))
    mean = Dataset(Identity("a", "1", "a"), ("x",), Split(images, np.zeros(7, np.int32)), test).mean()
    assert mean.shape == (2, 3, 3) and mean.dtype == np.float32
    for place in np.ndindex(2, 3, 3):
        exact = Fraction(sum(int(image[place]) for image in images), 7)
        assert mean[place] == np.float32(float(exact))


def test_the_mean_does_not_overflow():
    images = np.full((70_000, 1, 1, 3), 255, np.uint8)
    split = Split(images, np.zeros(70_000, np.int32))
    assert (Dataset(Identity("a", "1", "a"), ("x",), split, split).mean() == 255).all()


def test_a_run_of_a_split_shares_its_memory():
    split = Split(np.zeros((9, 2, 2, 3), np.uint8), np.arange(9, dtype=np.int32))
    assert len(split[2:5]) == 3
    assert np.shares_memory(split[2:5].images, split.images)
