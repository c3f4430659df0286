"""The results folder and the runs in it."""

import pytest

from resnet_keras.errors import UserError
from resnet_keras.files import write_json
from resnet_keras.store import Store


@pytest.fixture
def folder(tmp_path):
    folder = Store(tmp_path).run("tiny-plain20-s0-12345678")
    folder.begin({"network": "plain20"})
    return folder


def test_a_run_goes_from_not_run_to_finished(tmp_path, folder):
    assert Store(tmp_path).run("other").status == "not run"
    assert folder.status == "interrupted" and not folder.done
    folder.write_summary({"status": "finished"})
    assert folder.done
    assert [run.name for run in Store(tmp_path).runs()] == [folder.name]


def test_history_comes_back_with_blanks(folder):
    folder.write_history([{"iteration": 1, "test_error": None}, {"iteration": 2, "test_error": 12.5}])
    history = folder.history
    assert list(history.iteration) == [1, 2]
    assert history.test_error.isna().tolist() == [True, False]


def test_a_history_that_changed_after_the_end_is_refused(folder):
    folder.write_history([{"iteration": 1, "test_error": 12.5}])
    folder.write_summary({"status": "finished"})
    file = folder.path / "history.csv"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))  # as a checkout on Windows may
    assert list(folder.history.test_error) == [12.5]
    file.write_text(file.read_text().replace("12.5", "11.5"))
    with pytest.raises(UserError, match="not what the training wrote"):
        folder.history  # noqa: B018
    write_json(folder.path / "summary.json", {"status": "finished"})  # of an older version: it vouches for nothing
    assert list(folder.history.test_error) == [11.5]


@pytest.mark.parametrize("content", ["{", "[1]", "\x00\xff", ""])
def test_a_broken_file_is_named_in_one_line(folder, content):
    (folder.path / "summary.json").write_text(content)
    with pytest.raises(UserError, match=r"summary\.json") as refusal:
        folder.status  # noqa: B018
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", "..", ".hidden", "/tmp"])
def test_a_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(UserError, match="not a run's name"):
        Store(tmp_path).run(name)


def test_a_run_without_its_network_says_what_to_do(folder):
    with pytest.raises(UserError, match="--force"):
        folder.load_network()


def test_a_run_that_goes_on_elsewhere_lists_each_place_and_its_cores(folder):
    two, one = {"device": "a", "cores": 2}, {"device": "a", "cores": 1}
    for iteration, place in ((0, two), (10, two), (20, one), (30, one), (40, two)):
        folder.write_environment(place, iteration)
    assert folder.environment == {**two, "resumed_on": [{"iteration": 20, **one}, {"iteration": 40, **two}]}


def test_clear_keeps_what_is_not_its_own(folder):
    (folder.path / "notes.txt").write_text("mine")
    folder.write_summary({"status": "finished"})
    folder.clear()
    assert sorted(path.name for path in folder.path.iterdir()) == ["notes.txt"]
