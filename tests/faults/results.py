"""What is compared of two runs: the history without its clock columns, and every bit of the weights."""

import io
import zipfile

import h5py
import pandas


def only_run(root):
    """The directory of the one run of a results folder."""
    (config,) = root.glob("runs/*/config.json")
    return config.parent


def history(folder):
    return pandas.read_csv(folder / "history.csv", dtype=str).drop(columns=["images_per_second", "elapsed_seconds"])


def weights(folder):
    """Bytes of every array of network.keras, by its place in the file."""
    arrays = {}
    with zipfile.ZipFile(folder / "network.keras") as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {}))
    return arrays


def assert_same(one, other):
    assert history(one).equals(history(other))
    assert weights(one) == weights(other) and len(weights(one)) > 20


def assert_tidy(folder):
    """Nothing but the files of a finished run, and nothing beside it."""
    files = ["config.json", "environment.json", "history.csv", "network.keras", "summary.json"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
