"""Photographs: resizing, crops and colour noise against other arithmetic; what the streamed pipeline draws and makes.

Ten crops: evaluation/test_views.py.
"""

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from resnet_keras.data import load, photos, views
from resnet_keras.data.images import decode
from resnet_keras.errors import UserError


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 451, 3), dtype=np.uint8))


def bilinear(image, height, width):
    """Antialiased bilinear resizing in NumPy: a triangle as wide as the area that a new pixel covers, in each axis."""

    def weights(old, new):
        scale = old / new
        centres = (np.arange(new) + 0.5) * scale - 0.5
        triangle = np.maximum(0, 1 - np.abs(np.arange(old)[None, :] - centres[:, None]) / max(scale, 1.0))
        return triangle / triangle.sum(axis=1, keepdims=True)

    rows, columns = weights(image.height, height), weights(image.width, width)
    return np.einsum("ab,bcd,ec->aed", rows, np.asarray(image, float), columns, optimize=True)


def test_the_shorter_side_against_numpy(picture):
    for side in (224, 480):
        view = views.shorter_side(picture, side)
        assert view.shape == (side, 451 * side // 300, 3)
        assert np.abs(view - bilinear(picture, *view.shape[:2])).max() <= 1.01
    assert views.shorter_side(picture.transpose(Image.Transpose.TRANSPOSE), 256).shape == (451 * 256 // 300, 256, 3)
    assert [min(image.shape[:2]) for image in views.scales(picture)] == [224, 256, 384, 480, 640]


@pytest.mark.parametrize(("side", "top", "left"), [(256, 0, 0), (256, 32, 160), (480, 256, 497), (313, 5, 77)])
def test_a_crop_alone_is_the_crop_of_the_full_view(picture, side, top, left):
    full = views.shorter_side(picture, side)[top : top + 224, left : left + 224]
    alone = views.crop_of(picture, side, top, left)
    assert alone.shape == (224, 224, 3) and np.abs(alone.astype(int) - full).max() <= 1


def test_the_test_view_is_the_central_crop_of_photographs_and_as_much_as_fits_of_images_in_memory(picture):
    centre = views.test_view(picture, (224, 224, 3), cropped=True)
    full = views.shorter_side(picture, 256)  # 384 wide
    assert np.abs(centre.astype(int) - full[16:240, 80:304]).max() <= 1
    same, even = picture.crop((0, 0, 48, 32)), picture.crop((0, 0, 450, 300))
    assert np.array_equal(views.test_view(same, (32, 48, 3), cropped=False), same)
    view = views.test_view(even, (100, 100, 3), cropped=False)
    assert np.abs(view - bilinear(even, 100, 150)[:, 25:125]).max() <= 1.01


def test_tiny_pictures_become_large_and_a_strip_does_not_fill_the_memory():
    for size in ((1, 1), (3, 7)):
        assert (views.ten_crop(Image.new("RGB", size, (77, 77, 77))) == 77).all()
    strip = Image.new("RGB", (4000, 2))
    with pytest.raises(UserError, match=r"4000x2 pixels .* too long a strip"):
        views.shorter_side(strip, 640)
    assert views.test_view(strip, (224, 224, 3), cropped=True).shape == (224, 224, 3)


def test_colour_noise_has_the_deviations_and_directions_of_the_components():
    draws = np.random.default_rng(1).normal(0, 0.1, (200_000, 3))
    values, vectors = np.linalg.eigh(np.cov(views.colour_shift(draws).T))
    # Eigenvalues of colours in 0..1, times 255, times the deviation of the draws: 5.5, 0.48 and 0.11 of 255.
    assert np.sqrt(values[::-1]) == pytest.approx(25.5 * np.array([0.2175, 0.0188, 0.0045]), rel=0.01)
    assert np.abs(vectors[:, ::-1].T @ np.array([[0.5675, 0.5808, 0.5836]]).T)[0] == pytest.approx(1, abs=1e-3)
    assert np.allclose(views.EIGENVECTORS @ views.EIGENVECTORS.T, np.eye(3), atol=1e-3)


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
    resized = views.shorter_side(decode(item.source), 50).astype(int)
    height, width = resized.shape[:2]
    for places, flip, rows, columns in (
        ((2**24 - 1, 0), False, slice(height - 32, None), slice(32)),  # the lowest row, the leftmost column
        ((0, 2**24 - 1), True, slice(32), slice(width - 32, None)),
        ((2**23, 2**23), False, *(slice((side - 31) // 2, (side - 31) // 2 + 32) for side in (height, width))),
    ):
        crop = photos.training_crop(item, 50, *places, flip, 32)
        assert np.abs(crop - resized[rows, columns][:, :: -1 if flip else 1]).max() <= 1


def test_batches_are_a_function_of_seed_and_iteration_with_their_labels_and_noise(dataset):
    """However they are asked for, and whatever the threads do."""
    keras = pytest.importorskip("keras")
    feed, late = dataset.feed(5, 8, True), dataset.feed(5, 8, True)
    row = [feed.take(iteration, 1) for iteration in range(4)]
    later = [late.take(2, 1), late.take(3, 1)]
    both = dataset.feed(5, 8, True).take(2, 2)
    for fields in zip(both, *later, *row[2:], strict=True):
        assert np.array_equal(np.concatenate(fields[1:3]), fields[0])
        assert np.array_equal(np.concatenate(fields[3:]), fields[0])
    assert not np.array_equal(dataset.feed(6, 8, True).take(2, 2).images, both.images)
    draws = photos.draw_crops(5, 0, 8, 12, 32)
    noisy, labels = photos.add_noise(photos.Batch(*(field[0] for field in row[0])))
    assert [dataset.train.read(i).label for i in draws.index] == list(labels)
    noise = keras.ops.convert_to_numpy(noisy) - row[0].images[0]
    assert np.allclose(noise, views.colour_shift(draws.noise)[:, None, None, :], atol=1e-4) and np.abs(noise).max() > 1


def test_the_test_views_are_complete_in_order_and_what_a_batch_without_augmentation_consists_of(dataset):
    def central(item):
        return views.test_view(decode(item.source), (32, 32, 3), cropped=True)

    images, labels = zip(*dataset.test.batches(3), strict=True)
    items = [dataset.test.read(place) for place in range(4)]
    assert list(map(len, labels)) == [3, 1]
    assert np.array_equal(np.concatenate(images), list(map(central, items)))
    assert np.concatenate(labels).tolist() == [item.label for item in items]
    batch = dataset.feed(0, 12, False).take(0, 1)
    first = dataset.train.read(photos.draw_crops(0, 0, 12, 12, 32).index[0])
    assert np.array_equal(batch.images[0, 0], central(first)) and (batch.shift == 0).all()
