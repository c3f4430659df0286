"""Where results and data lie."""

from pathlib import Path

import pytest

from resnet_keras import paths

ROOT = Path(__file__).parents[1]
CASES = [(paths.results_dir, "RESNET_KERAS_RESULTS", "results"), (paths.data_dir, "RESNET_KERAS_DATA", "data")]


@pytest.mark.parametrize(("function", "variable", "name"), CASES)
def test_the_argument_comes_before_the_environment_and_that_before_the_checkout(
    function, variable, name, monkeypatch, tmp_path
):
    monkeypatch.delenv(variable, raising=False)
    assert function() == ROOT / name
    with monkeypatch.context() as installed:
        installed.setattr(paths, "PACKAGE", tmp_path / "site-packages" / "resnet_keras")
        assert function() == Path(name)
    monkeypatch.setenv(variable, "/from/environment")
    assert function() == Path("/from/environment")
    monkeypatch.setenv("HOME", "/home/someone")
    assert function("~/pictures") == Path("/home/someone/pictures")
