"""Every kind of picture is decoded, or refused by its name."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet_keras.data.photographs import decode, opened
from resnet_keras.errors import UserError

SMOOTH = np.add.outer(np.arange(60) * 2, np.arange(80))[..., None] * np.array([1, 0.5, 0.8]) + 20


def saved(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(SMOOTH.round().astype(np.uint8))


def far(one, other):
    return np.abs(one.astype(int) - np.asarray(other).astype(int)).mean()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_each_format_gives_its_pixels(picture, kind):
    assert far(decode(saved(picture, kind)), picture) < 2


def test_a_png_called_jpeg_is_read_by_what_it_holds(picture, tmp_path):
    path = tmp_path / "n02105855_2933.JPEG"
    path.write_bytes(saved(picture, "PNG"))
    assert np.array_equal(decode(path), picture)


def test_grey_becomes_rgb(picture):
    grey = picture.convert("L")
    pixels = decode(saved(grey, "PNG"))
    assert pixels.shape == (60, 80, 3) and all(np.array_equal(pixels[..., c], grey) for c in range(3))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_become_rgb(picture, mode):
    assert far(decode(saved(picture.convert(mode), quality=95)), picture) < 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1"])
def test_other_modes_become_rgb(picture, mode):
    converted = picture.convert(mode)
    assert np.array_equal(decode(saved(converted, "PNG")), converted.convert("RGB"))


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)
    pixels = decode(saved(Image.fromarray(deep), "PNG"))
    assert np.array_equal(pixels, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_one_pixel_is_a_picture():
    assert decode(saved(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG")).tolist() == [[[9, 8, 7]]]


def test_the_camera_was_held_sideways(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # the sensor's top is the picture's right side
    encoded = saved(picture, exif=exif)
    assert decode(encoded).shape == (60, 80, 3)
    assert far(decode(encoded, upright=True), np.rot90(SMOOTH, -1)) < 2


def bomb():
    """A PNG of a few hundred bytes that says it has 900 million pixels."""
    encoded = bytearray(saved(Image.new("L", (1, 1)), "PNG"))
    encoded[16:24] = (30_000).to_bytes(4, "big") * 2
    import zlib

    encoded[29:33] = zlib.crc32(encoded[12:29]).to_bytes(4, "big")
    return bytes(encoded)


BAD = {
    "empty": (lambda good: b"", "is no JPEG"),
    "text": (lambda good: b"<html>not found</html>", "is no JPEG"),
    "cut off": (lambda good: good[:-40], "broken picture .*truncated"),
    "only a header": (lambda good: good[:180], "broken picture|is no JPEG"),
    "a bomb": (lambda good: bomb(), "million pixels"),
    "fractions": (lambda good: saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "fractions"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_is_named(picture, tmp_path, kind):
    spoil, complaint = BAD[kind]
    path = tmp_path / "n01440764_18.JPEG"
    path.write_bytes(spoil(saved(picture)))
    with pytest.raises(UserError, match=f"n01440764_18.JPEG.*({complaint})"):
        decode(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none.jpg cannot be read \(No such file"):
        decode(tmp_path / "none.jpg")


def test_bytes_are_called_what_the_caller_calls_them():
    with pytest.raises(UserError, match=r"^record 7 is no"):
        decode(b"", "record 7")


@pytest.mark.parametrize(
    ("shorter", "size"), [(None, (800, 600)), (600, (800, 600)), (300, (400, 300)), (70, (100, 75))]
)
def test_a_large_jpeg_is_decoded_at_a_fraction_that_still_has_the_pixels(picture, shorter, size):
    large = picture.resize((800, 600), Image.Resampling.BICUBIC)
    found = opened(saved(large, quality=95), shorter=shorter)
    assert found.size == size
    assert far(np.asarray(found.resize((80, 60))), picture) < 3
