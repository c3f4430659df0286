"""A results folder of an older or a newer version of the project: read, or refused in one line, and never changed."""

import json
import shutil

import pytest

from resnet_keras import cli
from resnet_keras.errors import UserError
from resnet_keras.experiments import runner
from resnet_keras.experiments.catalogue import experiment
from resnet_keras.report.runs import frame
from resnet_keras.store import Store
from resnet_keras.training.run import is_done
from tests.conftest import ROOT
from tests.faults import work
from tests.faults.test_bad_input import tree

pytestmark = pytest.mark.faults

# The first version with results wrote it. Since then recipes have got six more fields, configurations the names of the
# classes, summaries `problem` and the history's checksum.
NAME = "cifar10_jpeg-plain20-s0-e90e321a"


def write(root, config=(), recipe=()):
    """That run with some fields changed; one that is None is left out. Returns its folder."""
    folder = shutil.copytree(ROOT / "results" / "runs" / NAME, root / "runs" / NAME)
    content = json.loads((folder / "config.json").read_text())
    content = {**content, "recipe": {**content["recipe"], **dict(recipe)}, **dict(config)}
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def command(capsys, *arguments):
    """(exit code, output, errors) of the command line."""
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, arguments)])
    return (end.value.code, *capsys.readouterr())


def test_the_first_version_is_listed_and_reported_and_not_trained_again(tmp_path, capsys):
    old = tmp_path / "old"
    write(old)
    before = tree(old / "runs")
    code, out, _ = command(capsys, "list", "--names", "--results", old)
    assert code == 0 and f"{NAME}  " in out and "33.01" in out
    assert command(capsys, "report", "--results", old)[0] == 0
    assert ",plain20,none,bfloat16,plain,20,short,1,0,33.37" in (old / "tables" / "results.csv").read_text()
    run = experiment("degradation").runs("short", "cifar10_jpeg", 1, "bfloat16")[0]
    identity = runner.find_identity("cifar10_jpeg", old / "no data", Store(old))
    assert run.name(identity) == NAME
    runner.execute([run], identity, store=Store(old))
    assert "All 1 runs are done" in capsys.readouterr().out
    assert tree(old / "runs") == before


# What a folder of that name may hold that is not that run: (what is changed, what the line names).
STALE = {
    "other code": ({"config": {"protocol": 0}}, "protocol 0"),
    "newer code": ({"config": {"protocol": 99}}, "protocol 99"),
    "from before protocols": ({"config": {"protocol": None}}, "protocol None"),
    "a field of a newer recipe": ({"recipe": {"label_smoothing": 0.1}}, "label_smoothing"),
    "another recipe": ({"recipe": {"momentum": 0.8}}, "config.json is that of cifar10_jpeg-plain20-s0-"),
    "another seed": ({"config": {"seed": 7}}, "config.json is that of cifar10_jpeg-plain20-s7-"),
    "no version of the data": ({"config": {"data_version": None}}, "data_version"),
    "no recipe": ({"config": {"recipe": None}}, "recipe"),
    "a recipe of another kind": ({"config": {"recipe": [1]}}, "recipe"),
    "a network that is no more": ({"config": {"network": "plain21"}}, "plain21"),
}


@pytest.mark.parametrize("name", STALE)
def test_what_is_not_this_run_is_no_result_of_it(tmp_path, name):
    changes, named = STALE[name]
    write(tmp_path, **changes)
    before, runs = tree(tmp_path), frame(Store(tmp_path))
    with pytest.raises(UserError) as refused:
        is_done(Store(tmp_path).run(NAME))
    for problem in (str(refused.value), *runs.attrs["problems"]):
        assert NAME in problem and named in problem and "\n" not in problem
    assert len(runs) == 0 and len(runs.attrs["problems"]) == 1 and tree(tmp_path) == before


def test_list_and_report_name_what_is_not_this_run(tmp_path, capsys):
    folder = write(tmp_path, recipe={"label_smoothing": 0.1})
    before = tree(folder)
    code, out, err = command(capsys, "list", "--names", "--results", tmp_path)
    assert code == 0 and NAME not in out and NAME in err
    assert command(capsys, "report", "--results", tmp_path)[0] == 0
    assert (tmp_path / "tables" / "results.csv").read_text().splitlines()[1:] == []
    assert f"- {NAME}: " in (tmp_path / "README.md").read_text() and tree(folder) == before


@pytest.mark.slow
def test_training_refuses_a_folder_of_another_version_until_forced(tmp_path):
    """It is neither done nor to be gone on with; `--force` makes it this version's."""
    pytest.importorskip("keras")
    from resnet_keras.training.trainer import train

    run, store = work.run_of(iterations=5, drops=(3,), test_interval=5), Store(tmp_path)
    folder = store.run(run.name(work.IDENTITY))
    folder.begin({**run.config(work.IDENTITY), "protocol": 0})
    folder.write_summary({"status": "finished"})
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"other code \(protocol 0"):
        train(run, store=store, dataset=work.tiny())
    assert tree(tmp_path) == before
    assert is_done(train(run, store=store, dataset=work.tiny(), force=True))
    assert store.run(folder.name).config["protocol"] == run.config(work.IDENTITY)["protocol"]


@pytest.mark.parametrize("file", ["config.json", "summary.json"])
def test_a_damaged_run_stops_no_estimate(tmp_path, monkeypatch, file):
    pytest.importorskip("keras")
    monkeypatch.setattr(runner.device, "name", lambda: "2 x AMD EPYC (CPU)")
    folder = write(tmp_path)
    assert len(runner.earlier_speeds(Store(tmp_path), "cifar10_jpeg", 128, "bfloat16")) == 1
    (folder / file).write_text("{")
    assert runner.earlier_speeds(Store(tmp_path), "cifar10_jpeg", 128, "bfloat16") == {}
