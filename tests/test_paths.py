"""Where results and data lie."""

from pathlib import Path

import pytest

from resnet_keras import paths

ROOT = Path(__file__).parents[1]
CASES = [(paths.results_dir, "RESNET_KERAS_RESULTS", "results"), (paths.data_dir, "RESNET_KERAS_DATA", "data")]


@pytest.mark.parametrize(("function", "variable", "name"), CASES)
def test_given_comes_before_the_environment_and_that_before_the_checkout(function, variable, name, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    assert function() == ROOT / name
    monkeypatch.setenv(variable, "/from/environment")
    assert function() == Path("/from/environment")
    assert function("/given") == Path("/given")


@pytest.mark.parametrize(("function", "variable", "name"), CASES)
def test_an_installed_copy_uses_the_working_folder(function, variable, name, monkeypatch, tmp_path):
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "site-packages" / "resnet_keras")
    assert function() == Path(name)


def test_a_home_folder_is_spelled_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert paths.data_dir("~/pictures") == Path("/home/someone/pictures")
