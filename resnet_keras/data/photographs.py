"""Photographs of any size and kind to RGB, by Pillow, with every unreadable one named."""

from __future__ import annotations

import contextlib
import io
import os
import zlib
from collections.abc import Iterator

import numpy as np

from resnet_keras.errors import UserError

# What a file holds is told by its first bytes, never by its name: ImageNet has a PNG that is called .JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def decode(source: bytes | str | os.PathLike, where: str | None = None, upright: bool = False) -> np.ndarray:
    """RGB values of one photograph.

    Grey, palette and CMYK pictures become RGB, 16 bits a value become 8, and transparency is dropped.

    Args:
        source: the encoded picture, or the path of its file.
        where: what messages call it; default: the path.
        upright: turn it as the camera was held (EXIF). Data sets are read without, as published numbers are.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        UserError: it is empty, broken, cut off, of no known format, or far too large; the message names it.
    """
    return np.array(opened(source, where, upright=upright))


def opened(
    source: bytes | str | os.PathLike, where: str | None = None, shorter: int | None = None, upright: bool = False
):
    """The same as a Pillow picture of mode RGB, decoded.

    Args:
        source: see `decode`.
        where: see `decode`.
        shorter: where no more pixels are wanted on the shorter side than these, a JPEG is decoded at 1/2, 1/4 or 1/8 of
            its size if that still has them: much faster for a photograph straight from a camera.
        upright: see `decode`.

    Raises:
        UserError: see `decode`.
    """
    from PIL import Image, ImageOps

    encoded = isinstance(source, bytes)
    where = where or ("a picture" if encoded else os.fspath(source))
    with naming(where, FORMATS), Image.open(io.BytesIO(source) if encoded else source, formats=FORMATS) as image:
        if shorter:
            least = min(image.size)
            image.draft("RGB", tuple(-(-side * shorter // least) for side in image.size))
        image.load()
        turned = ImageOps.exif_transpose(image) if upright else image
        return _rgb(turned, where)


def _rgb(image, where: str):
    from PIL import Image

    if image.mode == "F":
        raise UserError(f"{where} has fractions for values; save it with 8 or 16 bits a value")
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip and not scale
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


@contextlib.contextmanager
def naming(where: str, formats: tuple[str, ...]) -> Iterator[None]:
    """Say of which picture it is that Pillow cannot read it.

    Args:
        where: the picture's name.
        formats: those allowed, for the message.

    Raises:
        UserError: in place of whatever Pillow raises.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(
            f"{where} is no {', '.join(formats[:-1])} or {formats[-1]} picture; mend or remove it"
        ) from None
    except Image.DecompressionBombError:
        most = 2 * Image.MAX_IMAGE_PIXELS // 10**6
        raise UserError(f"{where} has more than {most} million pixels; make it smaller or remove it") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"{where} cannot be read ({error.strerror})") from None
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise UserError(f"{where} is a broken picture ({error}); mend or remove it") from None
