"""How a photograph becomes what a network sees (Sec. 3.4): resized shorter sides, crops, and colour noise.

All sizes in pixels; an image is uint8 `[h, w, 3]` or a Pillow image of mode RGB. Resizing is bilinear over the area
that a new pixel covers (antialiased), by Pillow, so that every backend sees the same pixels. Positions are whole
numbers of the resized image.
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
    """The single view of an image that a network which takes `shape` is tested on and predicts from: uint8 `[h, w, 3]`.

    For a network of photographs, trained on crops of them (`cropped`), it is the central crop, from a shorter side that
    is larger in the paper's proportion, 256 : 224 (Sec. 3.4). For one of images in memory, which it saw as they are
    (Sec. 4.2), it is the largest part around the centre that has the network's proportions: an image of the network's
    own size stays as it is.
    """
    height, width, _ = shape
    if cropped and height == width:
        return centre_crop(image, round(height * SIDE / CROP), height)
    return np.array(ImageOps.fit(_pillow(image), (width, height), BILINEAR))


def centre_crop(image, side: int = SIDE, crop: int = CROP) -> np.ndarray:
    """The central `crop` x `crop` pixels at shorter side `side`: uint8 `[crop, crop, 3]`."""
    image = _pillow(image)
    width, height = resized(image.size, side)
    return cropped(image, side, (height - crop) // 2, (width - crop) // 2, crop)


def ten_crop(image, side: int = SIDE, crop: int = CROP) -> np.ndarray:
    """The 10 crops of Sec. 3.4, uint8 `[10, crop, crop, 3]`: four corners, the centre, and their mirror images."""
    image = _pillow(image)
    width, height = resized(image.size, side)
    down, right = height - crop, width - crop
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    five = np.stack([cropped(image, side, top, left, crop) for top, left in places])
    return np.concatenate([five, five[:, :, ::-1]])


def scales(image, sides: tuple[int, ...] = SIDES) -> list[np.ndarray]:
    """All of the image at each shorter side of `sides`: a list of uint8 `[h, w, 3]`."""
    return [shorter_side(image, side) for side in sides]


def shorter_side(image, side: int) -> np.ndarray:
    """All of the image with its shorter side at `side`, the longer in proportion (rounded down): uint8 `[h, w, 3]`.

    Raises a UserError for so long a strip that the result would not fit into memory.
    """
    image = _pillow(image)
    width, height = resized(image.size, side)
    if width * height > MOST:
        raise UserError(
            f"an image of {image.width}x{image.height} pixels cannot be shown with a shorter side of {side}: "
            "it is too long a strip; crop it first"
        )
    return np.array(image.resize((width, height), BILINEAR))


def cropped(image, side: int, top: int, left: int, crop: int = CROP, flip: bool = False) -> np.ndarray:
    """What `shorter_side(image, side)[top : top + crop, left : left + crop]` is, computed for the crop alone.

    With `flip` it is mirrored left to right.
    """
    image = _pillow(image)
    width, height = resized(image.size, side)
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + crop) * across, (top + crop) * down)
    view = np.array(image.resize((crop, crop), BILINEAR, box=box))
    return view[:, ::-1] if flip else view


def resized(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height of an image of `size` (width, height) when its shorter side is `side`."""
    shorter = min(size)
    return size[0] * side // shorter, size[1] * side // shorter


def colour_shift(draws: np.ndarray) -> np.ndarray:
    """What AlexNet's colour noise adds to red, green and blue of an image's pixels, in 0..255: float32 `[..., 3]`.

    The components of RGB are added, each with its eigenvalue, of colours in 0..1, times its draw (`[..., 3]`, of mean 0
    and deviation 0.1): the first component's noise has a deviation of 5.5.
    """
    shift = np.zeros((*np.shape(draws)[:-1], 3))
    for component in range(3):
        shift += np.asarray(draws)[..., component, None] * EIGENVALUES[component] * EIGENVECTORS[component]
    return (255.0 * shift).astype(np.float32)


def _pillow(image):
    return Image.fromarray(np.ascontiguousarray(image)) if isinstance(image, np.ndarray) else image
