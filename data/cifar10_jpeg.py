"""CIFAR-10 (JPEG), the data set of most results here, made from CIFAR-10: `python data/cifar10_jpeg.py`.

Every image is compressed by Pillow at quality 75 with 4:2:0 chroma and the set is stored as TFDS stores a prepared one,
`data/tfds/cifar10_jpeg/1.0.0`, so that `--data cifar10_jpeg` names it.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from resnet_keras.data.datasets import Dataset, Split, load
from resnet_keras.errors import UserError
from resnet_keras.files import data_dir

NAME, VERSION = "cifar10_jpeg", "1.0.0"
# SHA-256 of the decoded test images of the set that the results here were made with.
ORIGINAL = "243a5dbca7594e4cfa3743a787e183e3a361cb3bb1f1b1f56bb6a9689166e1c1"


def recompressed(split: Split) -> Iterator[dict]:
    """Images as JPEG, each with its label, as TFDS stores them."""
    for image, label in zip(split.images, split.labels, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75, subsampling="4:2:0")
        yield {"image": file.getvalue(), "label": int(label)}


def store(dataset: Dataset, name: str, root: Path) -> None:
    """Write a data set, recompressed, as a prepared TFDS set of this name under `root`."""
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=dataset.shape, encoding_format="jpeg")
    label = tfds.features.ClassLabel(names=list(dataset.classes))
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=VERSION,
        features=tfds.features.FeaturesDict({"image": image, "label": label}),
        split_datasets={s: list(enumerate(recompressed(getattr(dataset, s)))) for s in ("train", "test")},
        data_dir=root,
        disable_shuffling=True,
    )


def main() -> None:
    """Make the set, and say whether it has the same bits as that of the results here."""
    try:
        store(load("cifar10"), NAME, data_dir() / "tfds")
        same = hashlib.sha256(load(NAME).test.images.tobytes()).hexdigest() == ORIGINAL
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    print(f"--data {NAME}: its test images are {'' if same else 'not '}bit for bit those of the results here.")


if __name__ == "__main__":
    main()
