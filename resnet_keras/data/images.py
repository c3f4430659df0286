"""Image files: a decoder for every kind (by content, as ImageNet has a PNG called .JPEG), a walk through a folder."""

import contextlib
import functools
import hashlib
import io
import json
import logging
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from resnet_keras.errors import UserError, first_line
from resnet_keras.files import data_dir
from resnet_keras.quiet import cores

say = functools.cache(logging.getLogger(__name__).warning)  # each line once in a process

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# A file with such an ending that is of none of these kinds is a damaged image; any other is no image and left out.
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TESTED = ("test", "val", "validation")  # folders of images to test on: the first that is there
TRANSPOSE = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF's orientation -> Pillow's `Image.Transpose`
LAYOUT = "train/CLASS/*.jpg and test/CLASS/*.jpg (or val in place of test; PNG, WebP, GIF, BMP and TIFF too)"
FACTS = "1"  # a new one when what `_facts` returns changes
IN_MEMORY = 128  # most pixels a side of a set of one size that is kept in memory; any other is streamed

warnings.filterwarnings("ignore", module=r"PIL\.")  # what makes an image unreadable is an error, which names the file


class Photograph(NamedTuple):
    """One image, not decoded."""

    source: bytes | Path
    label: int
    where: str  # what messages call it


def decode(source: bytes | str | os.PathLike, where: str | None = None, shorter: int | None = None):
    """An encoded image, or that in a file, as a Pillow image of mode RGB, upright as the camera was held (EXIF).

    Transparency is dropped, and of an animation the first image is taken. Where `shorter` pixels are enough for the
    shorter side, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that has them: much faster. Raises a UserError for
    what is broken or of another kind, which it calls `where`, or by its path.
    """
    where = where or ("an image" if isinstance(source, bytes) else os.fspath(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=IMAGE_FORMATS) as image:
            if shorter:
                image.draft("RGB", tuple(-(-side * shorter // min(image.size)) for side in image.size))
            image.load()
            rgb = image
            if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
                raise UserError(f"{where} has fractions or numbers of 32 bits for values; save it with 8 or 16 bits")
            if image.mode.startswith("I"):  # grey, which Pillow would clip: the upper 8 bits, of 12 in some TIFFs
                bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]
                rgb = Image.fromarray((np.asarray(image) >> (bits - 8)).astype(np.uint8))
            rgb.info.pop("transparency", None)
            rgb = rgb.convert("RGB")
            with contextlib.suppress(Exception):  # where the EXIF data cannot be read, the image is as it is
                return rgb.transpose(TRANSPOSE[image.getexif()[0x0112]])
            return rgb
    except UserError:
        raise
    except UnidentifiedImageError:
        kinds = ", ".join(IMAGE_FORMATS[:-1])
        raise UserError(f"{where} is no {kinds} or {IMAGE_FORMATS[-1]} image; mend or remove it") from None
    except Exception as error:  # decoders raise many kinds, struct.error and AttributeError among them
        if reason := getattr(error, "strerror", None):
            raise UserError(f"{where} cannot be read ({reason})") from None
        raise UserError(f"{where} is a broken image ({first_line(error)}); mend or remove it") from None


def is_image(path: Path) -> bool:
    """Whether a file is an image by what it holds, or is meant as one by its ending; hidden files are none."""
    if path.name.startswith(".") or not path.is_file():
        return False
    with contextlib.suppress(Exception), Image.open(path, formats=IMAGE_FORMATS):
        return True
    return path.name.lower().endswith(ENDINGS)


def survey(folder: Path) -> tuple[str, tuple[str, ...], list[list[Photograph]], bool]:
    """Digest of a folder's images, its classes, images to train and to test on, and whether they are to be streamed.

    Each part is in one fixed shuffle. Hidden files are left out; what else is, is said. A UserError if it is unusable.
    """
    if not os.path.isdir(folder):
        raise UserError(f"there is no folder {folder}; a folder of images must hold {LAYOUT}")

    def inside(pattern: str) -> list[str]:
        return [path.replace(os.sep, "/") for path in glob(pattern, root_dir=folder)]  # without hidden ones

    present = [split for split in TESTED if inside(f"{split}/*/*")] or ["test"]
    splits = ("train", present[0])
    outer, inner = ([path for split in splits for path in inside(f"{split}/{place}")] for place in ("*", "*/*"))
    facts = _facts(folder, sorted(path for path in inner if (folder / path).is_file()))
    parts = [[path for path in facts["images"] if path.startswith(f"{split}/")] for split in splits]
    if not all(parts):
        raise UserError(f"{folder} holds no {'test' if parts[0] else 'training'} images; it must hold {LAYOUT}")
    trained, tested = ({class_of(path) for path in part} for part in parts)
    for name in sorted(tested - trained):
        raise UserError(f"{folder}: class {name!r} is in {splits[1]} but not in train; both must have the same classes")
    used = {*facts["images"], *(path.rpartition("/")[0] for path in facts["images"])}
    left_out = {
        "left out, as they are no images of a class": {*outer, *inner} - used,
        "classes without test images": trained - tested,
        f"left out, as {splits[1]} is tested on": present[1:],
    }
    for what, names in left_out.items():
        if names:
            few = ", ".join(sorted(names)[:3]) + ", ..." * (len(names) > 3)
            say(f"{text(folder.name)}: {what}: {len(names)} ({few})")
    numbers = {name: number for number, name in enumerate(sorted(trained))}
    shuffled = (sorted(part, key=lambda path: _digest([path])) for part in parts)
    photographs = [[Photograph(folder / p, numbers[class_of(p)], str(folder / p)) for p in part] for part in shuffled]
    return facts["version"], tuple(numbers), photographs, facts["streamed"]


def class_of(path: str) -> str:
    """The class of an image by its path, `train/cat/1.png`."""
    return text(path.split("/")[1])


def text(name: str) -> str:
    """A file's name with bytes that are no UTF-8 written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def in_threads(function: Callable, items: Iterable, ahead: int = 32) -> Iterator:
    """Results of a function of every item, in order: from a thread for each usable core, `ahead` of the reader."""
    pool, pending = ThreadPoolExecutor(cores()), deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        yield from (future.result() for future in pending)
    finally:
        pool.shutdown(cancel_futures=True)


def _facts(folder: Path, files: list[str]) -> dict:
    """Which files are images, their digest, whether to stream them; kept until a name, size, time or inode changes."""
    stats = ((file, os.stat(folder / file)) for file in files)
    lines = [f"{file} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}" for file, stat in stats]
    path = data_dir() / "cache" / f"{_digest([FACTS, str(folder), *lines])[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))

    def look(file: str) -> tuple[str, tuple[int, int]] | None:
        """Digest and size in pixels of an image; None where the file is none."""
        if is_image(folder / file):
            size = decode(folder / file, shorter=IN_MEMORY + 1).size  # of a large JPEG a fraction: too large as well
            return hashlib.sha256((folder / file).read_bytes()).hexdigest(), size

    images = {file: seen for file, seen in zip(files, in_threads(look, files), strict=True) if seen}
    sizes = Counter(size for _, size in images.values())
    ((width, height), count), *_ = sizes.most_common(1) or [((0, 0), 0)]
    small = max(width, height) <= IN_MEMORY
    if small and len(images) / 2 < count < len(images):
        odd = next(file for file, (_, size) in images.items() if size != (width, height))
        raise UserError(f"{folder / odd} is not {width}x{height} as {count} of {len(images)} are: resize or remove it")
    streamed = len(sizes) > 1 or not small
    # The order of streamed images depends on their paths, that of others on what they hold alone.
    lines = (f"{file if streamed else file.rpartition('/')[0]} {digest}" for file, (digest, _) in images.items())
    facts = {"images": list(images), "version": _digest(sorted(lines))[:8], "streamed": streamed}
    with contextlib.suppress(OSError):  # without room or permission the files are examined again
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts), encoding="utf-8")
    return facts


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
