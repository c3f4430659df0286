"""The streamed pipeline: what it draws, what it makes of photographs on disk, and what it says of bad ones."""

import io
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from resnet_keras.data import encoded, imagenet, load, views
from resnet_keras.data.photographs import decode
from resnet_keras.errors import UserError


def jpeg(seed, width=90, height=70, **options):
    """A smooth picture, so that JPEG keeps it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of various sizes: 12 to train on and 4 to test, in two classes."""
    folder = tmp_path_factory.mktemp("photographs")
    for split, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                content = jpeg(100 * label + i + 50 * (split == "val"), 90 + 7 * i, 70 + 5 * i)
                (folder / split / name / f"{i}.JPEG").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def photographs(folder):
    return load(str(folder), crop=32)


def test_the_splits_of_a_folder(photographs):
    assert photographs.classes == ("cat", "dog")
    assert (len(photographs.train), len(photographs.test), photographs.validation) == (12, 4, None)
    assert photographs.shape == (32, 32, 3) and photographs.mean().tolist() == pytest.approx([123.68, 116.779, 103.939])


def test_validation_photographs_are_apart_and_always_the_same(folder, photographs):
    held_out = load(str(folder), validation=5, crop=32)
    apart = [held_out.validation.read(i).where for i in range(5)]
    used = [held_out.train.read(i).where for i in range(7)]
    assert sorted(apart + used) == sorted(photographs.train.read(i).where for i in range(12))
    assert apart == [photographs.train.read(i).where for i in range(7, 12)]


def test_small_pictures_of_one_size_are_held_in_memory(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a" / "0.jpg").write_bytes(jpeg(1, 32, 32))
    assert load(str(tmp_path)).train.images.shape == (1, 32, 32, 3)


def drawn(count, crop=224):
    parts = [imagenet.draw(3, iteration, 256, 10_000, crop) for iteration in range(count)]
    return imagenet.Draws(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def test_sides_crops_and_flips_are_uniform():
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


def test_the_noise_is_normal_with_deviation_a_tenth():
    from scipy import stats

    noise = drawn(100).noise
    assert all(stats.kstest(column / 0.1, "norm").pvalue > 1e-3 for column in noise.T)


def test_every_photograph_comes_once_an_epoch():
    index = np.concatenate([imagenet.draw(0, iteration, 24, 100).index for iteration in range(25)])
    assert all(sorted(index[start : start + 100]) == list(range(100)) for start in range(0, 600, 100))


def test_smaller_crops_have_sides_in_proportion():
    side = drawn(50, crop=56).side
    assert (side.min(), side.max()) == (64, 120)


@pytest.mark.parametrize("flip", [False, True])
def test_a_training_crop_is_cut_from_the_resized_whole(photographs, flip):
    photograph = photographs.train.read(0)
    whole = views.shorter_side(decode(photograph.source), 50).astype(int)
    height, width = whole.shape[:2]
    found = imagenet.training_crop(photograph, 50, 2**24 - 1, 0, flip, 32)  # the lowest row, the leftmost column
    expected = whole[height - 32 :, :32]
    assert np.abs(found - (expected[:, ::-1] if flip else expected)).max() <= 1
    middle = imagenet.training_crop(photograph, 50, 2**23, 2**23, False, 32)
    top, left = (height - 31) // 2, (width - 31) // 2
    assert np.abs(middle - whole[top : top + 32, left : left + 32]).max() <= 1


def test_batches_are_a_function_of_seed_and_iteration(photographs):
    """However they are asked for, and whatever the threads do."""
    one = photographs.feed(5, 8, True)
    row = [one.take(iteration, 1) for iteration in range(4)]
    other = photographs.feed(5, 8, True)
    later = [other.take(2, 1), other.take(3, 1)]
    both = photographs.feed(5, 8, True).take(2, 2)
    for number in range(3):
        assert np.array_equal(np.concatenate([batch[number] for batch in later]), both[number])
        assert np.array_equal(np.concatenate([batch[number] for batch in row[2:]]), both[number])
    assert not np.array_equal(photographs.feed(6, 8, True).take(2, 2).pictures, both.pictures)


def test_a_batch_holds_its_labels_and_its_noise(photographs):
    keras = pytest.importorskip("keras")
    feed = photographs.feed(0, 12, True)
    batch, draws = feed.take(0, 1), imagenet.draw(0, 0, 12, 12, 32)
    assert [photographs.train.read(i).label for i in draws.index] == batch.labels[0].tolist()
    pictures, labels = imagenet.apply(imagenet.Batch(*(field[0] for field in batch)))
    noise = keras.ops.convert_to_numpy(pictures) - batch.pictures[0]
    assert np.allclose(noise, views.colour_shift(draws.noise)[:, None, None, :], atol=1e-4)
    assert np.abs(noise).max() > 1 and labels.shape == (12,)


def test_without_augmentation_a_batch_is_the_central_crops(photographs):
    batch = photographs.feed(0, 12, False).take(0, 1)
    first = imagenet.draw(0, 0, 12, 12, 32).index[0]
    picture = decode(photographs.train.read(first).source)
    assert np.array_equal(batch.pictures[0, 0], views.centre_crop(picture, round(256 * 32 / 224), 32))
    assert (batch.shift == 0).all()


def test_the_test_split_comes_in_order_and_whole(photographs):
    found = list(photographs.test.batches(3))
    assert [len(labels) for _, labels in found] == [3, 1]
    pictures = np.concatenate([images for images, _ in found])
    for place in range(4):
        photograph = photographs.test.read(place)
        assert np.array_equal(pictures[place], photographs.test.central(photograph)[0])
    assert [photographs.test.read(i).label for i in range(4)] == np.concatenate(
        [labels for _, labels in found]
    ).tolist()


def spoiled(folder, tmp_path, content):
    """A copy of the folder in which one training photograph is `content`, and that one's name."""
    for path in sorted(folder.rglob("*.JPEG")):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "train" / "dog" / "3.JPEG").write_bytes(content)
    return str(tmp_path)


def cut(content):
    return content[:-60]


@pytest.mark.parametrize("content", [b"", cut(jpeg(1)), b"no picture"], ids=["empty", "cut off", "text"])
def test_an_epoch_stops_at_a_bad_photograph_with_its_name_and_not_before(folder, tmp_path, content):
    feed = load(spoiled(folder, tmp_path, content), crop=32).feed(0, 4, True)
    with pytest.raises(UserError, match=r"train/dog/3\.JPEG is"):
        for iteration in range(3):
            feed.take(iteration, 1)
    feed.close()


def png(mode):
    file = io.BytesIO()
    Image.new(mode, (9, 300), 77).save(file, "PNG")
    return file.getvalue()


def cmyk():
    file = io.BytesIO()
    Image.new("CMYK", (90, 90), (10, 200, 30, 0)).save(file, "JPEG")
    return file.getvalue()


GOOD = {"cmyk": cmyk(), "grey": png("L"), "16 bits": png("I;16"), "tiny": jpeg(1, 1, 1), "strip": jpeg(1, 900, 2)}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_an_epoch_takes_every_other_kind(folder, tmp_path, content):
    feed = load(spoiled(folder, tmp_path, content), crop=32).feed(0, 12, True)
    assert feed.take(0, 1).pictures.shape == (1, 12, 32, 32, 3)
    feed.close()


def test_a_folder_without_pictures_to_test_on_is_refused(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "0.jpg").write_bytes(jpeg(1, 300, 200))
    with pytest.raises(UserError, match="holds no test pictures; it must hold"):
        load(str(tmp_path))


def test_the_pipeline_loads_no_backend(folder):
    code = (
        "import sys; from resnet_keras.data import load; "
        f"s = load({str(folder)!r}); f = s.feed(0, 4, True); f.take(0, 1); f.close(); next(s.test.batches(4)); "
        "print(sorted(n for n in ('keras', 'tensorflow', 'jax') if n in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"


# Prepared by TFDS' own builder from two archives as image-net.org has them, by the command of data/README.md.
PREPARE = """
import sys
import tensorflow_datasets as tfds
builder = tfds.builder("imagenet2012", data_dir=sys.argv[1], file_format=sys.argv[3])
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=sys.argv[2]))
"""


def tar(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data folder with an imagenet2012 of two classes, 6 training and 4 validation pictures."""
    folder = tmp_path_factory.mktemp("imagenet")
    names = ("n01440764", "n01443537")
    train = [
        (f"{name}.tar", tar([(f"{name}_{i}.JPEG", jpeg(10 * k + i)) for i in range(3)])) for k, name in enumerate(names)
    ]
    (folder / "manual").mkdir()
    (folder / "manual" / "ILSVRC2012_img_train.tar").write_bytes(tar(train))
    validation = tar([(f"ILSVRC2012_val_{i:08d}.JPEG", jpeg(100 + i)) for i in range(1, 5)])
    (folder / "manual" / "ILSVRC2012_img_val.tar").write_bytes(validation)
    command = [sys.executable, "-c", PREPARE, str(folder), str(folder / "manual"), "array_record"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    if ran.returncode:
        pytest.skip(f"TFDS cannot prepare here: {ran.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.mark.slow
def test_imagenet2012_as_tfds_prepares_it(prepared):
    found = load("imagenet2012", prepared, crop=32)
    assert (found.identity.name, found.identity.version, found.identity.title) == (
        "imagenet2012", "5.1.0", "ImageNet 2012",
    )  # fmt: skip
    assert len(found.classes) == 1000 and (len(found.train), len(found.test)) == (6, 4)
    for place in range(6):
        photograph = found.train.read(place)
        name = photograph.where.partition("(")[2].partition(")")[0]
        synset, number = name.removesuffix(".JPEG").split("_")
        assert found.classes[photograph.label] == synset
        assert photograph.source == jpeg(10 * photograph.label + int(number))
    feed = found.feed(0, 6, True)
    assert sorted(feed.take(0, 1).labels[0].tolist()) == [0, 0, 0, 1, 1, 1]
    feed.close()


@pytest.mark.slow
def test_a_prepared_set_without_random_access_is_refused(prepared, tmp_path):
    source, copy = prepared / "imagenet2012" / "5.1.0", tmp_path / "imagenet2012" / "5.1.0"
    copy.mkdir(parents=True)
    for name in ("dataset_info.json", "features.json"):
        (copy / name).write_bytes((source / name).read_bytes())
    about = json.loads((copy / "dataset_info.json").read_text()) | {"fileFormat": "tfrecord"}
    (copy / "dataset_info.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"prepared as tfrecord.*array_record.*data/README"):
        load("imagenet2012", tmp_path)


def test_which_prepared_sets_are_streamed(tmp_path):
    for name, size in (("small", "32"), ("large", "256"), ("varied", "-1")):
        (tmp_path / name).mkdir()
        feature = {"image": {"shape": {"dimensions": [size, size, "3"]}}}
        content = {"featuresDict": {"features": {"image": feature, "label": {"classLabel": {}}}}}
        (tmp_path / name / "features.json").write_text(json.dumps(content))
    assert [encoded.streams_records(tmp_path / name) for name in ("small", "large", "varied", "absent")] == [
        False, True, True, False,
    ]  # fmt: skip
