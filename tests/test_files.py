"""A file is whole or as it was."""

import json
import os

import pytest

from resnet_keras.files import write_atomically, write_json


def test_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    write_json(path, {"x": "ä"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"x": "ä"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_on_the_way_changes_nothing(tmp_path, monkeypatch, call):
    path = tmp_path / "a.txt"
    write_atomically(path, "before")

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "after")
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
