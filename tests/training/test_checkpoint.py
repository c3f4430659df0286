"""Checkpoints are whole or passed over."""

import numpy as np
import pytest

from resnet_keras.training.checkpoint import checkpoints, clear_checkpoints, load_checkpoint, save_checkpoint

TENSORS = {"net/conv1/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "trace": np.ones((5, 2), np.float32)}


def save(folder, iteration):
    save_checkpoint(folder, iteration, TENSORS, {"iteration": iteration, "rows": [{"train_error": 1.5}]})


def test_comes_back_bit_for_bit(tmp_path):
    save(tmp_path, 10)
    tensors, state = load_checkpoint(tmp_path)
    assert state == {"iteration": 10, "rows": [{"train_error": 1.5}]}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and np.array_equal(tensors[name], tensor)


def test_keeps_the_newest_two(tmp_path):
    for iteration in (10, 20, 30):
        save(tmp_path, iteration)
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint-000000{i}.safetensors" for i in (20, 30)]


def flip(content):
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


def flip_state(content):
    return content.replace(b"1.5", b"2.5")


@pytest.mark.parametrize("damage", [flip, flip_state, lambda content: content[:-7], lambda content: b""])
def test_a_damaged_one_is_passed_over_and_named(tmp_path, damage):
    save(tmp_path, 10)
    save(tmp_path, 20)
    newest = checkpoints(tmp_path)[-1]
    content = newest.read_bytes()
    assert damage(content) != content
    newest.write_bytes(damage(content))
    said = []
    _, state = load_checkpoint(tmp_path, warn=said.append)
    assert state["iteration"] == 10
    assert len(said) == 1 and newest.name in said[0] and "\n" not in said[0]


def test_none_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None
    save(tmp_path, 10)
    clear_checkpoints(tmp_path)
    assert load_checkpoint(tmp_path) is None and not list(tmp_path.iterdir())
