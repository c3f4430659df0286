"""The streamed pipeline: what it draws, what it makes of photographs on disk, and what it says of bad ones."""

import numpy as np
import pytest

from resnet_keras.data import load, photos, views
from resnet_keras.errors import UserError

from .conftest import photograph, write


@pytest.fixture
def dataset(scenes):
    return load(scenes, crop=32)


def test_the_splits_of_a_folder(dataset, scenes):
    assert dataset.classes == ("cat", "dog") and dataset.train.cropped
    assert (len(dataset.train), len(dataset.test), dataset.validation) == (12, 4, None)
    assert dataset.shape == (32, 32, 3) and dataset.mean().tolist() == pytest.approx([123.68, 116.779, 103.939])
    items = [dataset.train.read(i) for i in range(12)]
    assert all(dataset.classes[item.label] in item.where for item in items)
    # A shuffle by the SHA-256 of the paths decides which photographs a batch has.
    order = [item.where.removeprefix(f"{scenes}/train/") for item in items]
    assert order[:4] == ["dog/3.JPEG", "dog/2.JPEG", "cat/4.JPEG", "dog/0.JPEG"]
    apart = load(scenes, validation=5, crop=32)
    assert [apart.validation.read(i) for i in range(5)] == items[7:]
    assert [apart.train.read(i) for i in range(7)] == items[:7]


def drawn(count, crop=224):
    parts = [photos.draw_crops(3, iteration, 256, 10_000, crop) for iteration in range(count)]
    return photos.Draws(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def test_sides_crops_and_flips_are_uniform_and_the_noise_is_normal():
    from scipy import stats

    draws = drawn(400)
    sides = np.bincount(draws.side, minlength=481)
    assert sides[:256].sum() == 0 and len(sides) == 481
    expected = len(draws.side) / 225
    assert ((sides[256:] - expected) ** 2 / expected).sum() < 224 + 5 * np.sqrt(2 * 224)
    for place in (draws.top, draws.left):
        assert place.max() < 2**24 and abs(place.mean() / 2**24 - 0.5) < 0.005
    assert abs(draws.flip.mean() - 0.5) < 0.01
    together = np.corrcoef([draws.side, draws.top, draws.left, draws.flip, *draws.noise.T])
    assert np.abs(together - np.eye(7)).max() < 0.02
    assert all(stats.kstest(column[:25_600] / 0.1, "norm").pvalue > 1e-3 for column in draws.noise.T)
    smaller = drawn(50, crop=56).side
    assert (smaller.min(), smaller.max()) == (64, 120)


def test_a_training_crop_is_cut_from_the_resized_image(dataset):
    item = dataset.train.read(0)
    resized = views.shorter_side(item.image(), 50).astype(int)
    height, width = resized.shape[:2]
    for places, flip, rows, columns in (
        ((2**24 - 1, 0), False, slice(height - 32, None), slice(32)),  # the lowest row, the leftmost column
        ((0, 2**24 - 1), True, slice(32), slice(width - 32, None)),
        ((2**23, 2**23), False, *(slice((side - 31) // 2, (side - 31) // 2 + 32) for side in (height, width))),
    ):
        crop = photos.training_crop(item, 50, *places, flip, 32)
        assert np.abs(crop - resized[rows, columns][:, :: -1 if flip else 1]).max() <= 1


def test_batches_are_a_function_of_seed_and_iteration(dataset):
    """However they are asked for, and whatever the threads do."""
    feed, late = dataset.feed(5, 8, True), dataset.feed(5, 8, True)
    row = [feed.take(iteration, 1) for iteration in range(4)]
    later = [late.take(2, 1), late.take(3, 1)]
    both = dataset.feed(5, 8, True).take(2, 2)
    for fields in zip(both, *later, *row[2:], strict=True):
        assert np.array_equal(np.concatenate(fields[1:3]), fields[0])
        assert np.array_equal(np.concatenate(fields[3:]), fields[0])
    assert not np.array_equal(dataset.feed(6, 8, True).take(2, 2).images, both.images)


def test_a_batch_has_its_labels_and_its_noise(dataset):
    keras = pytest.importorskip("keras")
    batch, draws = dataset.feed(0, 12, True).take(0, 1), photos.draw_crops(0, 0, 12, 12, 32)
    assert [dataset.train.read(i).label for i in draws.index] == batch.labels[0].tolist()
    noisy, labels = photos.add_noise(photos.Batch(*(field[0] for field in batch)))
    noise = keras.ops.convert_to_numpy(noisy) - batch.images[0]
    assert np.allclose(noise, views.colour_shift(draws.noise)[:, None, None, :], atol=1e-4)
    assert np.abs(noise).max() > 1 and labels.shape == (12,)


def test_the_test_views_are_complete_in_order_and_what_a_batch_without_augmentation_consists_of(dataset):
    def central(item):
        return views.test_view(item.image(), (32, 32, 3), cropped=True)

    images, labels = zip(*dataset.test.batches(3), strict=True)
    items = [dataset.test.read(place) for place in range(4)]
    assert list(map(len, labels)) == [3, 1]
    assert np.array_equal(np.concatenate(images), list(map(central, items)))
    assert np.concatenate(labels).tolist() == [item.label for item in items]
    batch = dataset.feed(0, 12, False).take(0, 1)
    first = dataset.train.read(photos.draw_crops(0, 0, 12, 12, 32).index[0])
    assert np.array_equal(batch.images[0, 0], central(first)) and (batch.shift == 0).all()


def test_a_photograph_that_breaks_while_a_network_trains_is_named(dataset, scenes):
    feed = dataset.feed(0, 4, True)
    write(scenes, {"train/dog/3.JPEG": photograph(1)[:-60]})
    with pytest.raises(UserError, match=r"train/dog/3\.JPEG is a broken image"):
        for iteration in range(3):
            feed.take(iteration, 1)
    feed.close()
