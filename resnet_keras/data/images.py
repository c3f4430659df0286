"""Image files: a decoder for every kind (by content, as ImageNet has a PNG called .JPEG), a walk through a folder."""

import contextlib
import hashlib
import io
import json
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from resnet_keras.errors import UserError, first_line
from resnet_keras.files import data_dir

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# A file with such an ending that is of none of these kinds is a damaged image; any other is no image and left out.
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TESTED = ("test", "val", "validation")  # folders of images to test on: the first that is there
TRANSPOSE = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF's orientation -> Pillow's `Image.Transpose`
LAYOUT = "train/CLASS/*.jpg and test/CLASS/*.jpg (or val in place of test; PNG, WebP, GIF, BMP and TIFF too)"
FACTS = "1"  # a new one when what `_facts` returns changes
IN_MEMORY = 128  # most pixels a side of a set of one size that is kept in memory; any other is streamed

warnings.filterwarnings("ignore", module=r"PIL\.")  # what makes an image unreadable is an error, which names the file


def decode(source: bytes | str | os.PathLike, where: str | None = None, shorter: int | None = None):
    """An encoded image, or that in a file, as a Pillow image of mode RGB, upright as the camera was held (EXIF).

    Transparency is dropped, and of an animation the first image is taken. Where the shorter side needs no more than
    `shorter` pixels, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that still has them: much faster. A UserError
    calls what is broken, of another kind, or larger than Pillow allows `where`, or by its path.
    """
    where = where or ("an image" if isinstance(source, bytes) else os.fspath(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=KINDS) as image:
            if shorter:
                least = min(image.size)
                image.draft("RGB", tuple(-(-side * shorter // least) for side in image.size))
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
        raise UserError(f"{where} is no {', '.join(KINDS[:-1])} or {KINDS[-1]} image; mend or remove it") from None
    except Image.DecompressionBombError:
        raise UserError(f"{where} has more than 178 million pixels; make it smaller or remove it") from None
    except Exception as error:  # decoders raise many kinds, struct.error and AttributeError among them
        if reason := getattr(error, "strerror", None):
            raise UserError(f"{where} cannot be read ({reason})") from None
        raise UserError(f"{where} is a broken image ({first_line(error)}); mend or remove it") from None


def is_image(path: Path) -> bool:
    """Whether a file is an image by what it holds, or is meant as one by its ending; hidden files are none."""
    if path.name.startswith(".") or not path.is_file():
        return False
    with contextlib.suppress(Exception), Image.open(path, formats=KINDS):
        return True
    return path.name.lower().endswith(ENDINGS)


class Folder(NamedTuple):
    """What a folder of images holds; paths are relative to it, `train/cat/1.png`, and sorted."""

    train: list[str]  # images to train on
    test: list[str]  # images to test on
    version: str  # a digest of what all images hold, and of their classes
    streamed: bool  # whether the images vary in size or are too large to be kept in memory
    notes: list[str]  # a line on each sort of thing that is left out


def survey(folder: Path) -> Folder:
    """List the images of a folder, hidden ones left out, and digest what they hold; a UserError if it is unusable."""
    if not os.path.isdir(folder):
        raise UserError(f"there is no folder {folder}; a folder of images must hold {LAYOUT}")
    walks = {split: _walk(folder, split) for split in ("train", *TESTED)}
    present = [split for split in TESTED if walks[split][1]] or ["test"]
    splits = ("train", present[0])
    classes, files, elsewhere = ([path for split in splits for path in walks[split][kind]] for kind in range(3))
    facts = _facts(folder, files)
    train, test = ([path for path in facts["images"] if path.startswith(f"{split}/")] for split in splits)
    if not (train and test):
        raise UserError(f"{folder} holds no {'test' if train else 'training'} images; it must hold {LAYOUT}")
    trained, tested = ({class_of(path) for path in part} for part in (train, test))
    for name in sorted(tested - trained):
        raise UserError(f"{folder}: class {name!r} is in {splits[1]} but not in train; both must have the same classes")
    left_out = {
        "files left out, as they are no images": {*files} - {*train, *test},
        "files left out, as they do not lie in the folder of a class": elsewhere,
        "classes left out, as they have no images": {*classes} - trained,
        "classes without test images": trained - tested,
        f"folders left out, as {splits[1]} is tested on": present[1:],
    }
    notes = [
        f"{what}: {len(names)} ({', '.join(sorted(names)[:3])}{', ...' * (len(names) > 3)})"
        for what, names in left_out.items() if names
    ]  # fmt: skip
    return Folder(train, test, facts["version"], facts["streamed"], notes)


def class_of(path: str) -> str:
    """The class of an image by its path, `train/cat/1.png`."""
    return text(path.split("/")[1])


def text(name: str) -> str:
    """A file's name with bytes that are no UTF-8 written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def in_threads(function: Callable, items: Iterable) -> Iterator:
    """Results of a function of every item, in their order: from a thread for each core, a few ahead of the reader."""
    pending = deque()
    with ThreadPoolExecutor(workers()) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 4 * workers():
                yield pending.popleft().result()
        yield from (future.result() for future in pending)


def workers() -> int:
    """Threads that decode: one for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _walk(folder: Path, split: str) -> tuple[list[str], list[str], list[str]]:
    """Classes of a split; paths of the files in their folders, and of those elsewhere; each sorted."""
    classes, files, elsewhere = [], [], []
    for root, folders, names in os.walk(folder / split, followlinks=True):
        place = os.path.relpath(root, folder).split(os.sep)  # ["train"], then ["train", "cat"] and so on
        top = len(place) == 1
        links = [] if top else [name for name in folders if os.path.islink(os.path.join(root, name))]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
        classes += folders if top else []
        for path in sorted("/".join([*place, name]) for name in names if not name.startswith(".")):
            (files if len(place) == 2 and (folder / path).is_file() else elsewhere).append(path)
    return classes, files, elsewhere


def _facts(folder: Path, files: list[str]) -> dict:
    """Which files are images, a digest of them all, and whether they are to be streamed.

    Every file is decoded once: this is kept in `data/cache` as long as no name, size, time or inode of a file changes.
    """
    stats = ((file, os.stat(folder / file)) for file in files)
    lines = [f"{file} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}" for file, stat in stats]
    path = data_dir() / "cache" / f"{_digest([FACTS, str(folder), *lines])[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    looks = dict(zip(files, in_threads(_look, (folder / file for file in files)), strict=True))
    if broken := [look for look in looks.values() if isinstance(look, UserError)]:
        more = f" ({len(broken)} of {len(files)} files are like that)" if len(broken) > 1 else ""
        raise UserError(f"{broken[0]}{more}")
    images = {file: look for file, look in looks.items() if look}
    sizes = Counter(size for _, size in images.values())
    (size, count), *_ = sizes.most_common(1) or [((0, 0), 0)]
    if max(size) <= IN_MEMORY and len(images) / 2 < count < len(images):
        odd, (_, (width, height)) = next((file, look) for file, look in images.items() if look[1] != size)
        most = f"{count} of {len(images)} images have {size[0]}x{size[1]}"
        raise UserError(f"{folder / odd} has {width}x{height} pixels, but {most}: resize or remove it")
    streamed = len(sizes) > 1 or max(size) > IN_MEMORY
    # The order of streamed images depends on their paths, that of others on what they hold alone.
    lines = (f"{file if streamed else file.rpartition('/')[0]} {digest}" for file, (digest, _) in images.items())
    facts = {"images": list(images), "version": _digest(sorted(lines))[:8], "streamed": streamed}
    with contextlib.suppress(OSError):  # without room or permission the files are examined again
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts), encoding="utf-8")
    return facts


def _look(path: Path) -> tuple[str, tuple[int, int]] | UserError | None:
    """Digest and size in pixels of an image; None where the file is no image, an error where it is a broken one."""
    if not is_image(path):
        return None
    try:  # a large JPEG is decoded at a fraction of its size: it is too large for memory all the same
        size = decode(path, shorter=IN_MEMORY + 1).size
    except UserError as error:
        return error
    return hashlib.sha256(path.read_bytes()).hexdigest(), size


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
