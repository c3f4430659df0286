"""What is compared of two runs: the history without its clock columns, and every bit of the weights."""

import csv
import io
import zipfile

import h5py

CLOCK = ("images_per_second", "elapsed_seconds")


def only_run(root):
    """The directory of the one run of a results folder."""
    (config,) = root.glob("runs/*/config.json")
    return config.parent


def history(folder):
    with open(folder / "history.csv", encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key not in CLOCK} for row in csv.DictReader(file)]


def weights(folder):
    """Bytes of every array of network.keras, by its place in the file."""
    found = {}
    with zipfile.ZipFile(folder / "network.keras") as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {}))
    return found


def assert_same(one, other):
    assert history(one) == history(other)
    assert weights(one) == weights(other) and len(weights(one)) > 20


def assert_tidy(folder):
    """Nothing but the files of a finished run, and nothing beside it."""
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "environment.json", "history.csv", "network.keras", "summary.json",
    ]  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
