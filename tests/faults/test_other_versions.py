"""A results folder of an older or a newer version of the project: read, or refused in one line, and never changed."""

import json

import pytest

from resnet_keras import cli
from resnet_keras.errors import UserError
from resnet_keras.experiments import estimates, runner
from resnet_keras.experiments.catalogue import experiment
from resnet_keras.report.runs import frame
from resnet_keras.store import Store
from resnet_keras.training.recipe import preset
from resnet_keras.training.run import is_done
from tests.faults import work
from tests.faults.test_bad_input import tree
from tests.report.synthetic import history

pytestmark = pytest.mark.faults

# What the first version with results wrote, word for word but for the history and the packages. Since then recipes have
# got six more fields, configurations the names of the classes, summaries `problem` and the history's checksum.
NAME = "cifar10_jpeg-plain20-s0-e90e321a"
CONFIG = {
    "protocol": 1, "network": "plain20", "shortcut": "none", "data": "cifar10_jpeg", "data_version": "1.0.0",
    "data_title": "CIFAR-10 (JPEG)", "seed": 0, "scale": "short",
    "recipe": {
        "iterations": 2000, "batch_size": 128, "learning_rate": 0.1, "drops": [1000, 1500], "drop_factor": 0.1,
        "warmup": "auto", "warmup_rate": 0.01, "warmup_error": 80.0, "warmup_window": 100, "momentum": 0.9,
        "weight_decay": 0.0001, "decay_on": "kernels", "augment": True, "validation": 0, "precision": "bfloat16",
        "log_interval": 50, "test_interval": 200, "checkpoint_interval": 100, "steps_per_call": 0,
    },
}  # fmt: skip
ENVIRONMENT = {
    "backend": "tensorflow", "device": "2 x AMD EPYC (CPU)", "kind": "cpu with bfloat16", "cores": 2, "memory_gb": 24,
    "system": "Linux x86_64", "python": "3.11.7", "packages": {"keras": "3.15.1"},
    "commit": "be126b5fc02acab6560a0ef1cd5b7ce17ec6e2be", "dirty": False,
}  # fmt: skip
SUMMARY = {
    "status": "finished", "iterations": 2000, "learning_rate": 0.001, "train_error": 33.38,
    "train_cross_entropy": 0.922968, "test_error": 33.01, "test_cross_entropy": 0.5, "warmup_end": 0,
    "parameters": 269722, "images_per_second": 591.05, "compile_seconds": 2.1, "wall_seconds": 473.8, "hours": 0.132,
    "peak_memory_mb": 1433, "device": "2 x AMD EPYC (CPU)",
}  # fmt: skip


def write(root, name=NAME, config=(), summary=(), recipe=(), environment=ENVIRONMENT):
    """That run with some fields changed; one that is None is left out. Returns its folder."""
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    config = {**CONFIG, "recipe": {**CONFIG["recipe"], **dict(recipe)}, **dict(config)}
    files = {"config": config, "environment": environment, "summary": {**SUMMARY, **dict(summary)}}
    for file, content in files.items():
        kept = {key: value for key, value in content.items() if value is not None}
        (folder / f"{file}.json").write_text(json.dumps(kept, indent=2) + "\n")
    (folder / "history.csv").write_text(history(preset("short"), (33.38, 33.01), name))
    return folder


def command(capsys, *arguments):
    """(exit code, output, errors) of the command line."""
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, arguments)])
    return (end.value.code, *capsys.readouterr())


@pytest.fixture
def old(tmp_path):
    write(tmp_path / "old")
    (tmp_path / "old" / "models").mkdir()
    return tmp_path / "old"


def test_the_first_version_is_listed_reported_and_reckoned_with(old, capsys):
    before = tree(old / "runs")
    code, out, _ = command(capsys, "list", "--names", "--results", old)
    assert code == 0 and f"{NAME}  " in out and "33.01" in out
    assert command(capsys, "report", "--results", old)[0] == 0
    assert ",plain20,none,bfloat16,plain,20,short,1,0,33.3800,," in (old / "tables" / "results.csv").read_text()
    assert tree(old / "runs") == before


def test_the_first_version_is_not_trained_again(old, capsys):
    before = tree(old / "runs")
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
def test_what_is_not_this_run_is_no_result_of_it(tmp_path, capsys, name):
    changes, named = STALE[name]
    write(tmp_path, **changes)
    store, before = Store(tmp_path), tree(tmp_path)
    with pytest.raises(UserError) as refused:
        is_done(store.run(NAME))
    assert NAME in str(refused.value) and named in str(refused.value) and "\n" not in str(refused.value)
    code, out, err = command(capsys, "list", "--names", "--results", tmp_path)
    assert code == 0 and NAME not in out and NAME in err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", STALE)
def test_what_is_not_this_run_stands_in_no_row_of_it(tmp_path, capsys, name):
    changes, _ = STALE[name]
    folder = write(tmp_path, **changes)
    before = tree(folder)
    code, out, err = command(capsys, "report", "--results", tmp_path)
    assert code == 0 and err == "" and out
    assert (tmp_path / "tables" / "results.csv").read_text().splitlines()[1:] == []
    assert f"- {NAME}: " in (tmp_path / "README.md").read_text()
    assert tree(folder) == before


def test_a_field_of_a_newer_version_is_named_by_the_report(tmp_path):
    write(tmp_path, recipe={"label_smoothing": 0.1})
    runs = frame(Store(tmp_path))
    (problem,) = runs.attrs["problems"]
    assert len(runs) == 0 and NAME in problem and "label_smoothing" in problem


@pytest.mark.slow
@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_training_refuses_a_folder_of_another_version_until_forced(tmp_path, status):
    """It is neither done nor to be gone on with; `--force` makes it this version's."""
    pytest.importorskip("keras")
    from resnet_keras.training.trainer import train

    run, store = work.run_of(iterations=5, drops=(3,), test_interval=5), Store(tmp_path)
    folder = store.run(run.name(work.IDENTITY))
    folder.begin({**run.config(work.IDENTITY), "protocol": 0})
    folder.write_summary({"status": status})
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"other code \(protocol 0"):
        train(run, store=store, dataset=work.tiny())
    assert tree(tmp_path) == before
    assert is_done(train(run, store=store, dataset=work.tiny(), force=True))
    assert store.run(folder.name).config["protocol"] == run.config(work.IDENTITY)["protocol"]


@pytest.mark.parametrize("file", ["config.json", "summary.json"])
def test_a_damaged_run_stops_no_estimate(tmp_path, monkeypatch, file):
    pytest.importorskip("keras")
    monkeypatch.setattr(estimates.device, "name", lambda: "2 x AMD EPYC (CPU)")
    folder = write(tmp_path, environment={**ENVIRONMENT, "backend": keras_backend()})
    assert len(estimates.earlier_speeds(Store(tmp_path), "bfloat16")) == 1
    (folder / file).write_text("{")
    assert estimates.earlier_speeds(Store(tmp_path), "bfloat16") == {}


def keras_backend():
    import keras

    return keras.config.backend()
