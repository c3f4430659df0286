"""Two processes on one run, one experiment's runs, one cache: each thing is done once, and nothing is lost."""

import pytest

from tests.faults import work

pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture
def twice(forks, tmp_path):
    """Calls a function in two processes at once, on one folder; returns what they print."""

    def call(function):
        said = [tmp_path / "said-0", tmp_path / "said-1"]
        children = [forks.start(function, tmp_path / "root", output=path) for path in said]
        text = "".join(path.read_text() for path in said if not forks.wait(children[said.index(path)]))
        assert [child.exitcode for child in children] == [0, 0], text
        assert not list((tmp_path / "root" / "runs").glob(".*"))
        return text

    return call


def test_two_on_one_run_train_it_once(twice):
    text = twice(work.train)
    assert text.count("finished already") == text.count("waiting for it") == text.count("finished: training") == 1


def test_two_on_one_experiment_share_its_runs(twice, tmp_path):
    text = twice(work.experiment)
    assert len(list(tmp_path.glob("root/runs/*/summary.json"))) == 2
    assert text.count("finished: training error") == 2, text  # each was trained once, by whichever process


def test_two_on_one_cache_make_it_once(twice, tmp_path):
    assert twice(work.cache).count("drawn: train") == 1
    assert [path.name for path in (tmp_path / "root" / "cache").glob("[!.]*")] == ["shapes16-1.npz"]
