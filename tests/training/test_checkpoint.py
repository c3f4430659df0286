"""Checkpoints are whole or passed over."""

import numpy as np
import pytest

from resnet_keras.store import RunFolder

TENSORS = {"net/conv1/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "trace": np.ones((5, 2), np.float32)}
DAMAGES = {
    "a flipped bit": lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    "another state": lambda content: content.replace(b"1.5", b"2.5"),
    "cut off": lambda content: content[:-7],
}


@pytest.fixture
def folder(tmp_path):
    """Three checkpoints were saved."""
    assert RunFolder(tmp_path).load_checkpoint() is None
    for at in (10, 20, 30):
        RunFolder(tmp_path).save_checkpoint(at, TENSORS, {"iteration": at, "rows": [{"train_error": 1.5}]})
    return tmp_path


def test_the_newest_two_are_kept_and_the_newest_comes_back_bit_for_bit(folder):
    assert [path.stem for path in RunFolder(folder).checkpoints] == ["checkpoint-00000020", "checkpoint-00000030"]
    tensors, state = RunFolder(folder).load_checkpoint()
    assert state == {"iteration": 30, "rows": [{"train_error": 1.5}]} and tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and np.array_equal(tensors[name], tensor)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over_and_named(folder, damage):
    newest = RunFolder(folder).checkpoints[-1]
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    said = []
    assert RunFolder(folder).load_checkpoint(warn=said.append)[1]["iteration"] == 20
    assert len(said) == 1 and newest.name in said[0] and "\n" not in said[0]
