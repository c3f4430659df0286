"""Files made to do harm: none of them runs code. Names that climb and markup: test_store, test_page."""

import contextlib
import io
import json
import pickle
import zipfile

import h5py
import numpy as np
import pytest

import resnet_keras
from resnet_keras.errors import UserError
from resnet_keras.store import RunFolder
from tests.test_imports import MODULES

pytestmark = pytest.mark.faults


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("ending", [".pt", ".pth", ".pkl", ".ckpt", ".npz", ".npy"])
def test_no_pickle_is_opened_as_weights(tmp_path, ending):
    path, mark = tmp_path / f"weights{ending}", tmp_path / "mark"
    pickle.loads(pickle.dumps(Attack(mark))).close()
    assert mark.exists(), "the attack works where pickles are opened"
    mark.unlink()
    if ending == ".npz":
        np.savez(path, a=np.array([Attack(mark)], dtype=object))
    elif ending == ".npy":
        np.save(path, np.array([Attack(mark)], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(UserError):
        resnet_keras.load(path)
    assert not mark.exists()


def hostile_keras(layer):
    """A .keras file whose configuration asks for this layer."""
    config = {
        "module": "keras", "class_name": "Sequential", "registered_name": None,
        "config": {"name": "s", "layers": [
            {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None,
             "config": {"batch_shape": [None, 2], "dtype": "float32", "name": "i"}}, layer]},
    }  # fmt: skip
    file, empty = io.BytesIO(), io.BytesIO()
    h5py.File(empty, "w").close()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.10.0"}))
        archive.writestr("model.weights.h5", empty.getvalue())  # a valid one: nothing else is amiss
    return file.getvalue()


def test_a_hostile_network_runs_no_code(tmp_path, monkeypatch):
    """A function by its module's name, and a Lambda layer that leaves a mark where safe mode is off."""
    import keras

    monkeypatch.chdir(tmp_path)
    attack = keras.layers.Lambda(lambda x: open("MARK", "w").close() or x, name="l")
    path, mark, attack = tmp_path / "network.keras", tmp_path / "MARK", keras.saving.serialize_keras_object(attack)
    path.write_bytes(hostile_keras(attack))
    with contextlib.suppress(Exception):
        keras.saving.load_model(path, compile=False, safe_mode=False)
    assert mark.exists()
    mark.unlink()
    function = {"module": "os", "class_name": "system", "config": "touch MARK", "registered_name": None}
    for layer in (attack, function):
        path.write_bytes(hostile_keras(layer))
        with pytest.raises(UserError) as refused:
            RunFolder(tmp_path).load_network()
        assert "\n" not in str(refused.value) and not mark.exists()


def test_no_shell_is_called_and_no_pickle_loaded_anywhere_in_the_package():
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        for word in ("shell=True", "os.system", "os.popen", "pickle.load", "allow_pickle=True", "safe_mode=False"):
            assert word not in text, f"{name} has {word}"
