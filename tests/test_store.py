"""The results folder and the runs in it."""

from pathlib import Path

import pytest

from resnet_keras import files
from resnet_keras.errors import UserError
from resnet_keras.files import write_json
from resnet_keras.store import Store
from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path):
    folder = Store(tmp_path).run("tiny-plain20-s0-12345678")
    folder.begin({"network": "plain20"})
    return folder


@pytest.mark.parametrize("name", ["results", "data"])
def test_the_argument_comes_before_the_environment_and_that_before_the_checkout(name, monkeypatch, tmp_path):
    function, variable = getattr(files, f"{name}_dir"), f"RESNET_KERAS_{name.upper()}"
    monkeypatch.delenv(variable, raising=False)
    assert function() == ROOT / name
    with monkeypatch.context() as installed:
        installed.setattr(files, "PACKAGE", tmp_path / "site-packages" / "resnet_keras")
        assert function() == Path(name)
    monkeypatch.setenv(variable, "/from/environment")
    assert (function(), function("~/x")) == (Path("/from/environment"), Path("~/x").expanduser())


def test_a_run_goes_from_not_run_to_finished(tmp_path, folder):
    assert Store(tmp_path).run("other").status == "not run"
    assert folder.status == "interrupted" and not folder.done
    with pytest.raises(UserError, match="--force"):
        folder.load_network()
    folder.write_summary({"status": "finished"})
    assert folder.done and [run.name for run in Store(tmp_path).runs()] == [folder.name]
    (folder.path / "notes.txt").write_text("mine")
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["notes.txt"], "what is not its own stays"


def test_a_history_has_blanks_and_is_refused_where_it_changed_after_the_end(folder):
    folder.write_table("history", [{"iteration": 1, "test_error": None}, {"iteration": 2, "test_error": 12.5}])
    assert folder.history.test_error.isna().tolist() == [True, False]
    folder.write_summary({"status": "finished"})
    file = folder.path / "history.csv"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))  # as a checkout on Windows may
    assert list(folder.history.iteration) == [1, 2]
    file.write_text(file.read_text().replace("12.5", "11.5"))
    with pytest.raises(UserError, match="not what the training wrote"):
        folder.history  # noqa: B018
    write_json(folder.path / "summary.json", {"status": "finished"})  # of an older version: it vouches for nothing
    assert folder.history.test_error.iloc[-1] == 11.5


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", "..", ".hidden", "/tmp"])
def test_a_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(UserError, match="not a run's name"):
        Store(tmp_path).run(name)


def test_a_run_that_goes_on_elsewhere_lists_each_place_and_its_cores(folder):
    two, single = {"device": "a", "cores": 2}, {"device": "a", "cores": 1}
    for iteration, place in ((0, two), (10, two), (20, single), (30, single), (40, two)):
        folder.write_environment(place, iteration)
    assert folder.environment == {**two, "resumed_on": [{"iteration": 20, **single}, {"iteration": 40, **two}]}
