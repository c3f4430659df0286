"""Every kind of image is decoded or named; a folder is known by what its images hold, and what is left out is said."""

import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from resnet_keras.data import images
from resnet_keras.errors import UserError

from .conftest import encoded, noise, photograph, write

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest shows again what the package hides

SMOOTH = np.add.outer(np.arange(60) * 2, np.arange(80))[..., None] * np.array([1, 0.5, 0.8]) + 20
PICTURE = Image.fromarray(SMOOTH.round().astype(np.uint8))


def decoded(source):
    return np.asarray(images.decode(source)).astype(int)


def far(pixels, other):
    return np.abs(pixels - np.asarray(other).astype(int)).mean()


MODES = [*((kind, "RGB") for kind in images.IMAGE_FORMATS), *(("PNG", mode) for mode in ("L", "RGBA", "LA", "P", "1"))]


@pytest.mark.parametrize(("kind", "mode"), [*MODES, ("JPEG", "CMYK"), ("JPEG", "YCbCr")])
def test_each_kind_and_mode_gives_its_pixels_whatever_the_name(kind, mode, tmp_path):
    image = PICTURE.convert(mode)
    path = write(tmp_path, {"n02105855_2933.JPEG": encoded(image, kind)}) / "n02105855_2933.JPEG"
    assert far(decoded(path), image.convert("RGB")) < {"GIF": 12, "JPEG": 2, "WEBP": 2}.get(kind, 1e-9)


def test_sixteen_bits_are_scaled_and_32_are_refused():
    deep = np.arange(0, 64_000, 16, dtype=np.uint16).reshape(50, 80)
    for content in (encoded(Image.fromarray(deep), "TIFF"), encoded(Image.fromarray(deep))):
        assert np.array_equal(decoded(content), np.repeat((deep >> 8)[..., None], 3, axis=2))
    for kind in (np.int32, np.float32):
        with pytest.raises(UserError, match=r"^scan.tif has fractions or numbers of 32 bits"):
            images.decode(encoded(Image.fromarray(deep.astype(kind)), "TIFF"), "scan.tif")


def test_the_camera_was_turned():
    exif = Image.Exif()
    for orientation, turned in ((6, np.rot90(SMOOTH, -1)), (8, np.rot90(SMOOTH)), (2, SMOOTH[:, ::-1])):
        exif[0x0112] = orientation
        for kind in ("JPEG", "TIFF", "PNG"):
            pixels = decoded(encoded(PICTURE, kind, exif=exif))
            assert pixels.shape == turned.shape and far(pixels, turned) < 2


@pytest.mark.parametrize(("kind", "value"), [(3, 6), (2, 6), (5, 4), (12, 1), (7, 0), (99, 6)])
def test_a_readable_image_with_malformed_exif_is_read(kind, value):
    """A rational with a zero, one that lies outside, and an orientation of any type."""
    entries = [(0x0112, kind, 1, value), (0x011A, 5, 1, 2000), (0x829A, 5, 9, 4)]
    block = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    block += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    good = encoded(PICTURE, "JPEG")
    malformed = good[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + good[2:]
    assert far(np.sort(decoded(malformed).ravel()), np.sort(np.asarray(PICTURE).ravel())) < 2


@pytest.mark.parametrize("kind", images.IMAGE_FORMATS)
def test_whatever_a_decoder_raises_is_a_line_that_names_the_file(kind):
    """Bytes changed at random, all over the file and in its header: an image or a line, and never a traceback."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    good = encoded(PICTURE, kind, **({} if kind in ("GIF", "BMP") else {"exif": exif}))
    random = np.random.default_rng(4)
    for trial in range(150):
        bad = bytearray(good)
        for place in random.integers(0, len(good) if trial % 2 else 200, random.integers(1, 8)):
            bad[place] = random.integers(256)
        try:
            assert images.decode(bytes(bad), "x.img").mode == "RGB"
        except UserError as error:
            assert str(error).startswith("x.img ") and "\n" not in str(error)


def bomb():
    """A PNG of a few hundred bytes that says it has 900 million pixels."""
    content = bytearray(encoded(Image.new("L", (1, 1))))
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


BAD = {
    "empty": (b"", "is no JPEG, PNG, WEBP, GIF, BMP or TIFF image; mend"),
    "text": (b"<html>not found</html>", "is no JPEG, PNG"),
    "cut off": (encoded(PICTURE, "JPEG")[:-40], "is a broken image .*truncated.*; mend or remove it"),
    "a bomb": (bomb(), "is a broken image .*exceeds limit of 178956970 pixels"),
    "gone": (None, r"cannot be read \(No such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_image_is_named(tmp_path, case):
    content, complaint = BAD[case]
    if content is not None:
        write(tmp_path, {"n01440764_18.JPEG": content})
        with pytest.raises(UserError, match=f"^record 7 {complaint}"):
            images.decode(content, "record 7")
    with pytest.raises(UserError, match=f"n01440764_18.JPEG {complaint}"):
        images.decode(tmp_path / "n01440764_18.JPEG")


@pytest.mark.parametrize(("shorter", "size"), [(None, (800, 600)), (300, (400, 300)), (70, (100, 75))])
def test_a_large_jpeg_is_decoded_at_a_fraction_that_still_has_the_pixels(shorter, size):
    large = PICTURE.resize((800, 600), Image.Resampling.BICUBIC)
    image = images.decode(encoded(large, "JPEG", quality=95), shorter=shorter)
    assert image.size == size and far(np.asarray(image.resize((80, 60))).astype(int), PICTURE) < 3


def test_pillow_warns_of_nothing(tmp_path):
    palette = PICTURE.convert("P")
    palette.info["transparency"] = bytes(range(256))
    contents = {"a.png": encoded(palette), "b.png": encoded(Image.new("1", (10_000, 9_000)))}
    paths = [write(tmp_path, contents) / name for name in contents]
    code = "import sys; from resnet_keras.data import images; [images.decode(path) for path in sys.argv[1:]]"
    run = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# Folders


def survey(folder):
    """(Version, classes, paths of the images to train and to test on, whether they are to be streamed)."""
    version, classes, parts, streamed = images.survey(folder)
    return version, classes, *([item.where.removeprefix(f"{folder}/") for item in part] for part in parts), streamed


def test_a_folder_is_listed_by_what_its_files_hold_and_hidden_ones_never_count(pets, arrays, caplog):
    kinds = {"webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tif": "TIFF", "jfif": "JPEG", "dat": "PNG"}
    write(pets, {f"train/fox/1.{ending}": encoded(Image.fromarray(noise(9)), kind) for ending, kind in kinds.items()})
    _, classes, train, test, streamed = first = survey(pets)
    assert sorted(train + test) == sorted([*arrays, *(f"train/fox/1.{ending}" for ending in kinds)])
    assert all(path.startswith("test/") for path in test) and classes == ("ant", "cat", "dog", "fox")
    assert not streamed and caplog.messages == ["pets: classes without test images: 1 (fox)"]
    large = noise(60, 300, 200)
    write(pets, {f"train/{place}/1.png": large for place in (".ipynb_checkpoints", "cat/.ipynb_checkpoints")})
    write(pets, {"train/cat/.DS_Store": b"x", "test/.hidden": b"x", "train/cat/._1.png": b"x"})
    assert survey(pets) == first and len(caplog.messages) == 1


def test_what_is_left_out_is_said(pets, tmp_path, caplog):
    files = {
        "train/cat/notes.txt": b"no image", "train/cat/more/1.png": noise(50), "train/0.png": noise(51),
        "test/readme": b"no image", "val/cat/1.png": noise(52), "train/cat/phone.heic": b"\0\0\0\x18ftypheic",
    }  # fmt: skip
    (write(pets, files) / "train" / "cow").mkdir()
    write(tmp_path / "elsewhere", {"1.png": noise(70)})
    (pets / "train" / "emu").symlink_to(tmp_path / "elsewhere")  # links count, but not those that lead nowhere or round
    (pets / "train" / "dog" / "gone.png").symlink_to(tmp_path / "gone")
    (pets / "train" / "cat" / "round").symlink_to(pets)
    assert "train/emu/1.png" in survey(pets)[2]
    assert caplog.messages == [
        "pets: left out, as they are no images of a class: 8 (test/readme, train/0.png, train/cat/more, ...)",
        "pets: classes without test images: 1 (emu)",
        "pets: left out, as test is tested on: 1 (val)",
    ]


def test_the_version_is_that_of_the_content_not_of_names_sizes_and_times(pets, tmp_path, monkeypatch):
    first = survey(pets)
    with monkeypatch.context() as patched:
        patched.setattr(images, "decode", lambda *_, **__: pytest.fail("a file was read again"))
        assert survey(pets) == first
    with monkeypatch.context() as patched:  # where nothing can be remembered
        patched.setenv("RESNET_KERAS_DATA", str(pets / "train/cat/0.png"))
        assert survey(pets) == first
    moved = pets.rename(tmp_path / "moved")
    path = (moved / "train" / "cat" / "0.png").rename(moved / "train" / "cat" / "renamed.png")
    assert survey(moved)[0] == first[0]
    times, versions = os.stat(path), {first[0]}
    for content in (noise(1), 255 - noise(1)):  # as long as one another, and with the old time
        path.write_bytes(encoded(content, compress_level=0))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        versions.add(survey(moved)[0])
    for split in ("train", "test"):
        (moved / split / "dog").rename(moved / split / "cow")
    assert len(versions | {survey(moved)[0]}) == 4


def test_images_of_one_small_size_are_kept_in_memory_and_photographs_streamed(scenes, pets):
    assert survey(scenes)[-1]
    write(pets, {"train/ant/0.png": noise(80, 5, 7)})
    with pytest.raises(UserError, match=r"ant/0.png is not 6x5 as 17 of 18 are: resize or remove it"):
        images.survey(pets)
    for path in pets.rglob("*.png"):
        path.write_bytes(encoded(noise(1, 129, 20)))
    assert survey(pets)[-1]


@pytest.mark.parametrize("content", [b"", b"<html>", photograph(1)[:-60]], ids=["empty", "text", "cut off"])
def test_a_broken_image_is_noticed_before_training(scenes, content):
    write(scenes, {"val/cat/0.JPEG": content})
    with pytest.raises(UserError, match=r"val/cat/0.JPEG is [^\n]*; mend or remove it$"):
        images.survey(scenes)


def test_folders_that_hold_no_set_are_refused(tmp_path, pets):
    for file, missing in (("0.png", "training"), ("train/cat/0.png", "test")):
        write(tmp_path / "few", {file: noise(0)})
        with pytest.raises(UserError, match=f"holds no {missing} images; it must hold"):
            images.survey(tmp_path / "few")
    write(pets, {"test/cow/1.png": noise(90)})
    with pytest.raises(UserError, match="class 'cow' is in test but not in train"):
        images.survey(pets)


@pytest.mark.skipif(sys.platform == "darwin", reason="names are Unicode there")
def test_names_that_are_no_unicode(pets):
    folder = pets / "train" / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.png")).write_bytes(encoded(noise(95)))
    assert survey(pets) == survey(pets) and survey(pets)[1] == ("ant", "caf\\xe9", "cat", "dog")
