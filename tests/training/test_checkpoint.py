"""Checkpoints are whole or passed over."""

import numpy as np
import pytest

from resnet_keras.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint

TENSORS = {"net/conv1/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "trace": np.ones((5, 2), np.float32)}


def save(folder, *iterations):
    for iteration in iterations:
        save_checkpoint(folder, iteration, TENSORS, {"iteration": iteration, "rows": [{"train_error": 1.5}]})


def test_comes_back_bit_for_bit_and_the_newest_two_are_kept(tmp_path):
    assert load_checkpoint(tmp_path) is None
    save(tmp_path, 10, 20, 30)
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint-000000{i}.safetensors" for i in (20, 30)]
    tensors, state = load_checkpoint(tmp_path)
    assert state == {"iteration": 30, "rows": [{"train_error": 1.5}]}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and np.array_equal(tensors[name], tensor)


DAMAGES = {
    "a flipped bit": lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    "another state": lambda content: content.replace(b"1.5", b"2.5"),
    "cut off": lambda content: content[:-7],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over_and_named(tmp_path, damage):
    save(tmp_path, 10, 20)
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    said = []
    _, state = load_checkpoint(tmp_path, warn=said.append)
    assert state["iteration"] == 10
    assert len(said) == 1 and newest.name in said[0] and "\n" not in said[0]
