"""Two processes on one run, one experiment's runs, one cache: each thing is done once, and nothing is lost."""

import pytest

from tests.faults.results import only_run

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_two_on_one_run_train_it_once(tensorflow_forks, tmp_path):
    said = [tmp_path / "said-0", tmp_path / "said-1"]
    children = [tensorflow_forks.start("tests.faults.work:train", tmp_path, output=path) for path in said]
    assert [tensorflow_forks.wait(child) for child in children] == [0, 0]
    told = sorted(path.read_text() for path in said)
    assert sum("finished already" in text for text in told) == 1, told
    assert sum("waiting for it" in text for text in told) == 1, told
    assert not list(only_run(tmp_path).parent.glob(".*"))


def test_two_on_one_experiment_share_its_runs(tensorflow_forks, tmp_path):
    said = [tmp_path / "said-0", tmp_path / "said-1"]
    children = [tensorflow_forks.start("tests.faults.work:experiment", tmp_path, output=path) for path in said]
    assert [tensorflow_forks.wait(child) for child in children] == [0, 0], [path.read_text() for path in said]
    folders = [path.parent for path in tmp_path.glob("runs/*/summary.json")]
    assert len(folders) == 2 and not list(tmp_path.glob("runs/.*"))
    told = "".join(path.read_text() for path in said)
    assert told.count("finished: training error") == 2, told  # each was trained once, by whichever process


def test_two_on_one_cache_make_it_once(forks, tmp_path):
    said = [tmp_path / "said-0", tmp_path / "said-1"]
    children = [forks.start("tests.faults.work:cache", tmp_path / "data", output=path) for path in said]
    assert [forks.wait(child) for child in children] == [0, 0], [path.read_text() for path in said]
    assert sum(path.read_text().count("drawn") for path in said) == 1
    assert [path.name for path in (tmp_path / "data" / "cache").glob("[!.]*")] == ["shapes16-1.npz"]
