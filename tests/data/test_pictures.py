"""Decoding, and what is refused in folders and archives."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from resnet_keras.data import pictures as reading
from resnet_keras.data.pictures import Picture, decode, gather, read_archive, read_folder
from resnet_keras.errors import UserError

from .conftest import png


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return Picture("train", "cat", "cat/7.png", file.getvalue())


def by_hand(pictures, split, classes):
    """Which pictures of which class a split must hold, in no order."""
    return {
        (array.tobytes(), classes.index(path.split("/")[1]))
        for path, array in pictures.items()
        if path.startswith(split)
    }


def held(split):
    return {(image.tobytes(), int(label)) for image, label in zip(split.images, split.labels, strict=True)}


def test_a_folder_gives_its_pictures_and_classes(folder, pictures):
    (folder / "train" / "cat" / "notes.txt").write_text("no picture")
    (folder / "train" / "cat" / ".hidden.png").write_bytes(b"no picture")
    arrays = gather(read_folder(folder), None, "pets")
    assert arrays.classes == ("ant", "cat", "dog")
    for split in ("train", "test"):
        assert held(getattr(arrays, split)) == by_hand(pictures, split, arrays.classes)
    assert arrays.train.images.shape == (12, 5, 6, 3) and arrays.train.labels.dtype == np.int32


def test_the_order_is_mixed_and_does_not_depend_on_the_order_of_reading(folder):
    stream = list(read_folder(folder))
    one, other = gather(stream, None, "pets"), gather(stream[::-1], None, "pets")
    for split in ("train", "test"):
        assert np.array_equal(getattr(one, split).images, getattr(other, split).images)
        assert np.array_equal(getattr(one, split).labels, getattr(other, split).labels)
    assert (np.diff(one.train.labels) < 0).any()


def test_an_archive_gives_what_its_folder_gives(folder, pictures, make_archive):
    members = [("./" + path, png(array)) for path, array in pictures.items()]
    one, other = gather(read_folder(folder), None, "a"), gather(read_archive(make_archive(members)), None, "b")
    assert one.classes == other.classes
    assert np.array_equal(one.train.images, other.train.images)
    assert np.array_equal(one.test.labels, other.test.labels)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_kind_of_8_bit_picture_becomes_rgb(mode):
    colours = np.random.default_rng(0).integers(0, 2, (4, 5, 3), dtype=np.uint8) * 255
    grey = np.repeat(colours[:, :, :1], 3, axis=2)
    image = Image.fromarray(colours if mode in ("P", "RGBA", "CMYK") else grey).convert(mode)
    found = decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG")) if mode != "CMYK" else None
    if mode == "CMYK":  # only JPEG has it, with loss
        found = decode(encoded(image, "JPEG"))
        assert found.shape == (4, 5, 3)
    else:
        assert np.array_equal(found, colours if mode in ("P", "RGBA") else grey)
    assert found.dtype == np.uint8


def test_more_than_8_bits_are_refused():
    with pytest.raises(UserError, match=r"cat/7.png has more than 8 bits a value"):
        decode(encoded(Image.fromarray(np.full((4, 4), 40_000, np.uint16))))


def test_broken_pictures_are_named():
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)))
    for cut in (0, 10, len(whole.encoded) // 2):
        with pytest.raises(UserError, match=r"^cat/7.png is .*; mend or remove it$"):
            decode(whole._replace(encoded=whole.encoded[:cut]))
    with pytest.raises(UserError, match="is no PNG or JPEG picture"):
        decode(encoded(Image.new("RGB", (3, 3)), "GIF"))


def test_the_first_picture_of_another_size_is_named(folder):
    (folder / "train" / "dog" / "zzz.png").write_bytes(png(np.zeros((5, 7, 3), np.uint8)))
    with pytest.raises(UserError, match=r"dog/zzz.png is 7x5, but .*000.png is 6x5: all pictures of a set"):
        gather(read_folder(folder), None, "pets")


def test_a_class_of_the_test_pictures_alone_is_named(folder):
    (folder / "test" / "cow").mkdir()
    (folder / "test" / "cow" / "1.png").write_bytes(png(np.zeros((5, 6, 3), np.uint8)))
    with pytest.raises(UserError, match="class 'cow' is in test but not in train"):
        gather(read_folder(folder), None, "pets")


def test_a_folder_without_its_splits_or_pictures_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="has no folder test"):
        reading.list_folder(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        reading.list_folder(tmp_path)


def test_a_split_without_pictures_is_named(make_archive):
    path = make_archive([("train/cat/1.png", png(np.zeros((2, 2, 3), np.uint8)))])
    with pytest.raises(UserError, match="pets has no test pictures"):
        gather(read_archive(path), None, "pets")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_an_archive_are_refused(make_archive, kind):
    member = tarfile.TarInfo("train/cat/1.png")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(UserError, match=r"'train/cat/1.png', a link or a device"):
        list(read_archive(make_archive([(member, b"")], "pets.tar")))


@pytest.mark.parametrize(
    "name",
    ["../train/cat/1.png", "/train/cat/1.png", "train/../1.png", "train/1.png", "valid/cat/1.png", "train/a/b/1.png"],
)
def test_pictures_in_places_where_none_belong_are_refused(make_archive, name):
    member = tarfile.TarInfo("x")
    member.name = name
    with pytest.raises(UserError, match="its pictures must lie in"):
        list(read_archive(make_archive([(member, png(np.zeros((2, 2, 3), np.uint8)))], "pets.tar")))


def test_nothing_of_an_archive_is_written_to_disk(make_archive, tmp_path, monkeypatch, pictures):
    path = make_archive([(name, png(array)) for name, array in pictures.items()])
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert len(list(read_archive(path))) == 18
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.faults
@pytest.mark.parametrize("name", ["pets.tar", "pets.tar.xz"])
def test_a_torn_archive_is_named(make_archive, pictures, name):
    path = make_archive([(place, png(array)) for place, array in pictures.items()], name)
    path.write_bytes(path.read_bytes()[: 1700 if name.endswith("tar") else path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{name} is no readable tar archive .*; copy or download it again"):
        list(read_archive(path))


def test_a_picture_too_large_to_be_one_is_refused(make_archive, monkeypatch):
    monkeypatch.setattr(reading, "LARGEST", 10)
    with pytest.raises(UserError, match="of 11 bytes; 10 are allowed"):
        list(read_archive(make_archive([("train/cat/1.png", b"x" * 11)])))
