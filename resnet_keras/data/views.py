"""How a photograph becomes what a network sees (Sec. 3.4): resized shorter sides, crops, and colour noise.

Sizes and positions are in whole pixels; an `image` is a Pillow image of mode RGB. Resizing is bilinear over the area
that a new pixel covers (antialiased), by Pillow: every backend sees the same pixels.
"""

import numpy as np
from PIL import Image, ImageOps

from resnet_keras.errors import UserError

SIDE, CROP = 256, 224  # test views: the shorter side and the crop (Sec. 3.4)
SIDES = (224, 256, 384, 480, 640)  # of the multi-scale test (Sec. 3.4)
JITTER = (256, 480)  # training: the shorter side is drawn from here, both included (Sec. 3.4)
MOST = 2**26  # pixels of a resized image; only an absurdly long strip has more
BILINEAR = Image.Resampling.BILINEAR

# Principal components of ImageNet's RGB values in 0..1: eigenvalues, and an eigenvector in each row. Computed over the
# training set by the authors of fb.resnet.torch (datasets/imagenet.lua), and used by most reproductions since.
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array([[-0.5675, -0.5808, -0.5836], [0.7192, -0.0045, -0.6948], [0.4009, -0.8140, 0.4203]])


def test_view(image, shape: tuple[int, int, int], cropped: bool) -> np.ndarray:
    """The single view of an image that a network for `shape` is tested on and predicts from: uint8 `[h, w, 3]`.

    Of one trained on crops of photographs (`cropped`) the central crop, of a shorter side larger as 256 : 224 (Sec.
    3.4); else (Sec. 4.2) the largest part around the centre that has the network's proportions.
    """
    height, width, _ = shape
    if not cropped or height != width:
        return np.array(ImageOps.fit(image, (width, height), BILINEAR))
    side = round(height * SIDE / CROP)
    right, down = (size - height for size in resized(image.size, side))
    return crop_of(image, side, down // 2, right // 2, height)


def ten_crop(image) -> np.ndarray:
    """The 10 crops of Sec. 3.4, uint8 `[10, 224, 224, 3]`: four corners, the centre, and their mirror images."""
    right, down = (size - CROP for size in resized(image.size, SIDE))
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    five = np.stack([crop_of(image, SIDE, top, left) for top, left in places])
    return np.concatenate([five, five[:, :, ::-1]])


def scales(image) -> list[np.ndarray]:
    """All of the image at each shorter side of `SIDES`: a list of uint8 `[h, w, 3]`."""
    return [shorter_side(image, side) for side in SIDES]


def shorter_side(image, side: int) -> np.ndarray:
    """All of the image with its shorter side at `side`: uint8 `[h, w, 3]`; a UserError for too long a strip."""
    width, height = resized(image.size, side)
    if width * height > MOST:
        raise UserError(f"an image of {image.width}x{image.height} pixels is too long a strip for side {side}; crop it")
    return np.array(image.resize((width, height), BILINEAR))


def crop_of(image, side: int, top: int, left: int, crop: int = CROP, flip: bool = False) -> np.ndarray:
    """`shorter_side(image, side)[top : top + crop, left : left + crop]`, or its mirror image, and nothing beside it."""
    width, height = resized(image.size, side)
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + crop) * across, (top + crop) * down)
    view = np.array(image.resize((crop, crop), BILINEAR, box=box))
    return view[:, ::-1] if flip else view


def resized(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height, rounded down, of an image of `size` (width, height) when its shorter side is `side`."""
    return size[0] * side // min(size), size[1] * side // min(size)


def colour_shift(draws: np.ndarray) -> np.ndarray:
    """What AlexNet's colour noise adds to red, green and blue, of 255: float32 `[..., 3]`; `draws` deviate by 0.1."""
    return (255.0 * np.sum((draws * EIGENVALUES)[..., None] * EIGENVECTORS, axis=-2)).astype(np.float32)
