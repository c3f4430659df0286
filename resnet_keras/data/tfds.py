"""Sets from TFDS: prepared ones are listed by their files alone; only opening and downloading one import TFDS."""

import contextlib
import io
import logging
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from resnet_keras.data.images import IN_MEMORY, Photograph, say
from resnet_keras.errors import UserError, first_line
from resnet_keras.quiet import backend, load_keras

NUMBERED_VERSION = re.compile(r"\d+\.\d+\.\d+")
NAME = re.compile(r"\w{1,80}(/[\w.,=+-]{1,80})?")  # TFDS's name or name/config
CONNECT_SECONDS = 5  # TFDS itself would try a dead network for more than three minutes
RECORDS = "array_record"  # TFDS's file format that can be read at any place


def newest(names: Iterable[str]) -> str | None:
    """The newest of the names that are versions, 3.0.10 after 3.0.2; None where none is."""
    return max(filter(NUMBERED_VERSION.fullmatch, names), key=lambda name: [*map(int, name.split("."))], default=None)


def prepared_folder(name: str, roots: list[Path]) -> Path | None:
    """Folder `root/name/version` of a prepared set, the newest version in the first root that has one."""
    for root in roots:
        if version := newest(path.parent.name for path in (root / name).glob("*/dataset_info.json")):
            return root / name / version


def unprepared(name: str, root: Path):
    """The TFDS builder of a set that is not prepared yet, or None for a name that TFDS does not know."""
    tfds = _tfds(name)
    with contextlib.suppress(ValueError):  # an unknown set, configuration or version
        return tfds.builder(name, data_dir=root)


def download(builder) -> Path:
    """The folder of a builder's set, downloaded and prepared now; raises a UserError where it cannot be."""
    _describe(builder)
    name = builder.info.name
    try:
        hosts = {urlsplit(url).hostname for url in builder.url_infos} - {None}
        for host in sorted(hosts) if not getproxies() else ():  # behind a proxy, TFDS finds out itself
            socket.create_connection((host, 443), CONNECT_SECONDS).close()
        say(f"downloading {name} with TFDS into {builder.data_dir}")
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except Exception as error:  # whatever a download can die of is one line to the reader
        why = f"is not prepared in {builder.data_dir} and cannot be downloaded"
        why += f" ({type(error).__name__}: {first_line(error)})"
        how = f'where there is a network, tfds.load("{name}", data_dir=DIR) prepares it: copy DIR here and name it with'
        raise UserError(f"{name} {why}; {how} --data-dir, or use --data shapes16, which needs no download") from None
    return Path(builder.data_dir)


def open_set(folder: Path) -> tuple[tuple[str, ...], list["Records"], bool]:
    """Class names of a prepared set, its photographs to train and to test on, and whether they are to be streamed."""
    tfds = _tfds(str(folder))
    try:
        builder = tfds.builder_from_directory(folder)
        keys, splits, streamed = _describe(builder)
        classes = tuple(builder.info.features[keys[1]].names)
        return classes, [Records(builder, split, keys, streamed) for split in splits], streamed
    except UserError:
        raise
    except Exception as error:  # TFDS and TensorFlow raise many kinds for damaged files
        why = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{folder} cannot be read ({why}); prepare it again") from None


class Records(Sequence):
    """Photographs of a split, encoded: read where they are wanted if they are streamed, else now, by TensorFlow."""

    def __init__(self, builder, split: str, keys: tuple[str, str], streamed: bool):
        self.name, self.keys = f"{builder.info.full_name}, {split} record", keys
        self.classes = builder.info.features[keys[1]].num_classes
        tfds = _tfds(self.name, tensorflow=not streamed)
        how = {"split": split, "decoders": {keys[0]: tfds.decode.SkipDecoding()}}
        if streamed:
            self.rows = builder.as_data_source(**how)
            self[0]  # damaged files are noticed now
        else:
            self.rows = list(tfds.as_numpy(builder.as_dataset(**how, shuffle_files=False)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Photograph:
        row = self.rows[number]
        image, label, file = row[self.keys[0]], int(row[self.keys[1]]), row.get("file_name", b"").decode()
        where = f"{self.name} {number}{f' ({file})' if file else ''}"
        if not 0 <= label < self.classes:
            raise UserError(f"{where} has the label {label}: a split whose labels are secret or wrong cannot be used")
        return Photograph(image, label, where)


def _describe(builder) -> tuple[tuple[str, str], tuple[str, str], bool]:
    """The features of image and label, the splits to train and to test on, and whether images are to be streamed."""
    name, features, has = builder.info.full_name, dict(builder.info.features), builder.info.splits
    keys = (builder.info.supervised_keys or ("image", "label"))[:2]
    if [type(features.get(str(key))).__name__ for key in keys] != ["Image", "ClassLabel"]:
        raise UserError(f"{name} has {', '.join(sorted(features))}; only sets of labelled images can be used")
    streamed = any(size is None or size > IN_MEMORY for size in features[keys[0]].shape[:2])
    if streamed and builder.info.file_format.value != RECORDS:
        how = f'with file_format="{RECORDS}", to be read one by one: data/README.md has the command'
        raise UserError(f"{name} is a set of photographs, which must have been prepared {how}")
    # The labels of ImageNet's test split are secret: where there is a validation split, everybody tests on that.
    order = ("validation", "test") if streamed else ("test", "validation")
    splits = ("train", next((split for split in order if split in has), order[0]))
    if has and not set(splits) <= set(has):  # a set that is not prepared may not name its splits
        raise UserError(f"{name} has the splits {', '.join(has)}; it must have train, and test or validation")
    return keys, splits, streamed


def _tfds(name: str, tensorflow: bool = False):
    """TFDS, imported for the set `name`; TensorFlow is kept off an accelerator on which another backend trains."""
    try:
        load_keras()  # imports TensorFlow without its chatter, where it is the backend
        import tensorflow_datasets as tfds

        if tensorflow and backend() != "tensorflow":
            import tensorflow as tf

            with contextlib.suppress(RuntimeError):  # raised where TensorFlow already uses it
                tf.config.set_visible_devices([], "GPU")
    except ImportError as error:
        how = "pip install tensorflow tensorflow-datasets, or give a folder of images, or use --data shapes16"
        raise UserError(f"{name} is in no cache, and reading it needs TensorFlow Datasets ({error}); {how}") from None
    tfds.disable_progress_bar()
    logging.getLogger("absl").setLevel(logging.ERROR)
    return tfds
