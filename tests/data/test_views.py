"""Resizing, crops and colour noise, against arithmetic done another way; ten crops: evaluation/test_views.py."""

import numpy as np
import pytest

from resnet_keras.data import views
from resnet_keras.errors import UserError


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (300, 451, 3), dtype=np.uint8)


def bilinear(image, height, width):
    """Antialiased bilinear resizing in NumPy: a triangle as wide as the area that a new pixel covers, in each axis."""

    def weights(old, new):
        scale = old / new
        centres = (np.arange(new) + 0.5) * scale - 0.5
        triangle = np.maximum(0, 1 - np.abs(np.arange(old)[None, :] - centres[:, None]) / max(scale, 1.0))
        return triangle / triangle.sum(axis=1, keepdims=True)

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("ab,bcd,ec->aed", rows, image.astype(float), columns, optimize=True)


def test_the_shorter_side_against_numpy(picture):
    for side in (224, 480):
        view = views.shorter_side(picture, side)
        assert view.shape == (side, 451 * side // 300, 3)
        assert np.abs(view - bilinear(picture, *view.shape[:2])).max() <= 1.01
    assert views.shorter_side(picture.transpose(1, 0, 2), 256).shape == (451 * 256 // 300, 256, 3)
    assert [min(image.shape[:2]) for image in views.scales(picture)] == [224, 256, 384, 480, 640]


@pytest.mark.parametrize(("side", "top", "left"), [(256, 0, 0), (256, 32, 160), (480, 256, 497), (313, 5, 77)])
def test_a_crop_alone_is_the_crop_of_the_full_view(picture, side, top, left):
    full = views.shorter_side(picture, side)[top : top + 224, left : left + 224]
    alone = views.cropped(picture, side, top, left)
    assert alone.shape == (224, 224, 3) and np.abs(alone.astype(int) - full).max() <= 1


def test_the_test_view_is_the_central_crop_of_photographs_and_as_much_as_fits_of_images_in_memory(picture):
    centre = views.test_view(picture, (224, 224, 3), cropped=True)
    full = views.shorter_side(picture, 256)  # 384 wide
    assert np.abs(centre.astype(int) - full[16:240, 80:304]).max() <= 1
    assert np.array_equal(views.test_view(picture, (32, 32, 3), cropped=True), views.centre_crop(picture, 37, 32))
    same = picture[:32, :48]
    assert np.array_equal(views.test_view(same, (32, 48, 3), cropped=False), same)
    view = views.test_view(picture[:, :450], (100, 100, 3), cropped=False)
    assert np.abs(view - bilinear(picture[:, :450], 100, 150)[:, 25:125]).max() <= 1.01


def test_tiny_pictures_become_large_and_a_strip_does_not_fill_the_memory():
    for shape in ((1, 1, 3), (7, 3, 3)):
        assert (views.ten_crop(np.full(shape, 77, np.uint8)) == 77).all()
    strip = np.zeros((2, 4000, 3), np.uint8)
    with pytest.raises(UserError, match=r"4000x2 pixels .* too long a strip"):
        views.shorter_side(strip, 640)
    assert views.centre_crop(strip).shape == (224, 224, 3)


def test_colour_noise_has_the_deviations_and_directions_of_the_components():
    draws = np.random.default_rng(1).normal(0, 0.1, (200_000, 3))
    shift = views.colour_shift(draws)
    values, vectors = np.linalg.eigh(np.cov(shift.T))
    # Eigenvalues of colours in 0..1, times 255, times the deviation of the draws: 5.5, 0.48 and 0.11 of 255.
    assert np.sqrt(values[::-1]) == pytest.approx(25.5 * np.array([0.2175, 0.0188, 0.0045]), rel=0.01)
    assert np.abs(vectors[:, ::-1].T @ np.array([[0.5675, 0.5808, 0.5836]]).T)[0] == pytest.approx(1, abs=1e-3)
    assert np.allclose(views.EIGENVECTORS @ views.EIGENVECTORS.T, np.eye(3), atol=1e-3)
