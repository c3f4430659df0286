"""Mistakes from outside, damaged files and those of other versions: one clear line, the right code, nothing changed."""

import json
import shutil
import stat

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from resnet_keras import cli
from resnet_keras.errors import UserError
from resnet_keras.evaluation import predict
from resnet_keras.experiments import runner
from resnet_keras.experiments.catalogue import experiment
from resnet_keras.report.runs import frame
from resnet_keras.store import RunFolder, Store
from resnet_keras.training import trainer
from resnet_keras.training.run import is_done
from tests.conftest import ROOT
from tests.faults.conftest import length
from tests.test_cli import call

pytestmark = pytest.mark.faults

NAUGHTY = ["", " ", "\x1b[31mred", "a\nb", "../../etc/passwd", "ÿ", "'; rm -rf /", "$(id)", "<b>", "x" * 3000, "\x00"]
INTEGERS, REAL = ["-1", "1.5", "many", "", "9" * 400], ["-0.5", "nan", "inf", "fast", ""]
FIELDS = {
    "iterations": ["0", *INTEGERS], "batch-size": ["0", *INTEGERS], "learning-rate": ["0", "101", *REAL],
    "drop-factor": ["0", "1.1", *REAL], "momentum": ["1", *REAL], "validation": INTEGERS, "test-interval": ["0", "7"],
    "seed": ["4294967296", *INTEGERS], "drops": ["0", "-5", "x", "1.5"], "warmup": ["", "Auto"], "augment": ["perhaps"],
    "precision": ["", "float16"], "shortcut": ["D", ""], "scale": ["large", ""], "devices": ["1.5", "x", "-1", "ALL"],
}  # fmt: skip
NETWORKS = ["resnet21", "resnet", "resnet0", "RESNET20", "plain17", "resnet\u0662\u0660", "resnet999999", *NAUGHTY]
COMMANDS = [
    *([["train", "resnet20", f"--{name}={value}"] for name in FIELDS for value in FIELDS[name]]),
    *([["train", name, "--data", "shapes16"] for name in NETWORKS]),
    *([["train", "plain8", "--data", name] for name in (*NAUGHTY[2:], "/etc/hostname", "a.tar.xz", "./nothing")]),
    *([["summary", name] for name in NETWORKS[:6]]),
    *([["run", name] for name in NAUGHTY]),
    *([["evaluate", name] for name in (*NAUGHTY, ".", "..", "/", "a/b", ".hidden", "C:\\x")]),
    *([["run", "degradation", f"--seeds={value}"] for value in ("0", "-1", "1001", "x", "1.5", "")]),
    *([["run", "degradation", f"--{name}=wrong"] for name in ("scale", "precision", "force", "dry-run")]),
    *([["summary", "resnet20", f"--classes={value}"] for value in ("x", "0", "-1", "1000000000000")]),
    ["run"], ["evaluate"], ["summary"], ["list", "extra"], ["doctor", "--verbose"], ["--verbose"],
    ["train", "resnet20", "resnet32"], ["train", "resnet20", "--sede", "1"], ["report", "--results"],
    ["train", "vgg16", "--shortcut", "A"], ["train", "resnet20", "--log-interval", "3", "--test-interval", "10"],
    ["run", "degradation", "--data", "./nothing"], ["predict", "resnet20-cifar10_jpeg", "nothing.jpg"],
    ["evaluate", "resnet20-cifar10_jpeg", "--data", "./nothing"],
]  # fmt: skip


def tree(root):
    """Everything below a folder, the cache of data sets aside: files with sizes and times, and folders."""
    states = {path.relative_to(root): path.lstat() for path in sorted(root.rglob("*"))}
    return {
        path: None if stat.S_ISDIR(state.st_mode) else (state.st_size, state.st_mtime_ns)
        for path, state in states.items()
        if "cache" not in path.parts
    }


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Results, data and working folder of this test's own."""
    for name in ("results", "data", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("RESNET_KERAS_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("RESNET_KERAS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def refuse(capsys, home, arguments, code=2):
    """Run the command line on a mistake; returns its one line."""
    before = tree(home)
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    out, line = capsys.readouterr()
    assert end.value.code == code and (out == "" or code == 1)
    assert line.startswith("resnet-keras: ") and line.endswith("\n")
    assert line[:-1].isprintable(), "more than a line, or a terminal would act on it"
    assert "Traceback" not in line and 20 < len(line) < 5000
    assert tree(home) == before
    return line


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: ascii(" ".join(words))[:60])
def test_a_mistake_in_a_command(capsys, home, monkeypatch, arguments):
    """Before anything slow begins, too: no backend is loaded to find it."""
    for module in (predict, trainer):
        monkeypatch.setattr(module, "load_keras", lambda: pytest.fail("this was taken for no mistake"))
    refuse(capsys, home, arguments)


CONFIG = {"network": "plain8", "data": "shapes16", "data_version": "1", "data_title": "shapes16"}
JSON = {"half": b'{"network": ', "empty": b"", "list": b"[1]", "bytes": b"\x00\xff\xfe", "deep": b"[" * 200_000}
RUNS = {
    **{f"config {name}": {"config.json": content} for name, content in JSON.items()},
    "network missing": {}, "network text": {"network.keras": b"hello"},
    "zip": {"network.keras": b"PK\x05\x06" + bytes(18)},  # an empty one
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_cannot_be_evaluated(capsys, home, name):
    folder = home / "results" / "runs" / "tiny"
    folder.mkdir(parents=True)
    for file, content in ({"config.json": json.dumps(CONFIG).encode()} | RUNS[name]).items():
        (folder / file).write_bytes(content)
    line = refuse(capsys, home, ["evaluate", "tiny"])
    assert "tiny" in line and "did you mean" not in line


def test_what_only_the_system_can_tell_is_one_line_too(capsys, home):
    command = ["train", "plain8", "--data", "shapes16", "--iterations", "4", "--results", "/dev/null/x"]
    refuse(capsys, home, command, code=1)


# Readers fed what hypothesis makes of whole and of broken files give a value or a `UserError`

BOUNDED = settings(
    max_examples=length(60, 3000), deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4))
KEYS = "protocol network shortcut data data_version data_title seed scale recipe status train_error test_error hours"
CONTENTS = st.dictionaries(st.sampled_from([*KEYS.split(), "device", "commit", "classes"]), VALUES)


@st.composite
def damaged(draw, content):
    """Bytes of a file after some have been changed, cut off or put in; or any others."""
    content = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    cut = bytes(content[: draw(st.integers(0, len(content))) if draw(st.booleans()) else None])
    return cut if draw(st.booleans()) else draw(st.binary(max_size=200))


def or_refused(read):
    """The value, or None for a `UserError` of one line; anything else comes out."""
    try:
        return read()
    except UserError as error:
        assert "\n" not in str(error)


@BOUNDED
@given(config=CONTENTS, summary=CONTENTS)
def test_any_json_for_a_run(tmp_path, config, summary):
    folder = tmp_path / "runs" / "x"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "summary.json").write_text(json.dumps(summary))
    runs = frame(Store(tmp_path))
    assert len(runs) + len(runs.attrs["problems"]) == 1


@BOUNDED
@given(
    config=damaged(json.dumps({"network": "plain20", "seed": 0, "recipe": {}}).encode()),
    history=damaged(b"iteration,train_error,test_error\n5,80.0,\n10,70.0,75.5\n"),
    checkpoint=damaged(save({"a": np.ones(5, np.float32)}, {"state": "{}", "sha256": "0"})),
)
def test_any_bytes_for_the_files_of_a_run(tmp_path, config, history, checkpoint):
    folder, warnings = RunFolder(tmp_path), []
    (tmp_path / "config.json").write_bytes(config)
    (tmp_path / "history.csv").write_bytes(history)
    (tmp_path / "checkpoint-00000010.safetensors").write_bytes(checkpoint)
    assert isinstance(or_refused(lambda: folder.config), dict | None)
    rows = or_refused(lambda: folder.history)
    assert rows is None or len(rows.columns) > 0
    assert folder.load_checkpoint(warn=warnings.append) is None
    assert len(warnings) == 1 and "\n" not in warnings[0]


# Results of an older or a newer version of the project: read, or refused in one line, and never changed

# The first version with results wrote it. Since then recipes have got six more fields, configurations the names of the
# classes, summaries `problem` and the history's checksum.
NAME = "cifar10_jpeg-plain20-s0-e90e321a"


def older(root, config=(), recipe=()):
    """That run with some fields changed; one that is None is left out."""
    folder = shutil.copytree(ROOT / "results" / "runs" / NAME, root / "runs" / NAME)
    content = json.loads((folder / "config.json").read_text())
    content = {**content, "recipe": {**content["recipe"], **dict(recipe)}, **dict(config)}
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(content))


def test_the_first_version_is_listed_and_reported_and_not_trained_again(tmp_path, capsys):
    older(tmp_path)
    before = tree(tmp_path / "runs")
    code, out, _ = call(capsys, "list", "--names", "--results", str(tmp_path))
    assert code == 0 and f"{NAME}  " in out and "33.01" in out
    assert call(capsys, "report", "--results", str(tmp_path))[0] == 0
    assert ",plain20,none,bfloat16,plain,20,short,1,0,33.37" in (tmp_path / "tables" / "results.csv").read_text()
    run = experiment("degradation").runs("short", "cifar10_jpeg", 1, "bfloat16")[0]
    identity = runner.find_identity("cifar10_jpeg", tmp_path / "no data", Store(tmp_path))
    assert run.name(identity) == NAME
    runner.train_here([run], identity, store=Store(tmp_path))
    assert "All 1 runs are done" in capsys.readouterr().out
    assert tree(tmp_path / "runs") == before


# What a folder of that name may hold that is not that run: (what is changed, what the line names).
@pytest.mark.parametrize(("changes", "words"), [
    ({"config": {"protocol": 99}}, "protocol 99"),
    ({"config": {"protocol": None}}, "protocol None"),  # before there were protocols
    ({"config": {"data_version": None}}, "data_version"),
    ({"config": {"recipe": [1]}}, "recipe"),
    ({"config": {"network": "plain21"}}, "plain21"),
    ({"config": {"seed": 7}}, "config.json is that of cifar10_jpeg-plain20-s7-"),
    ({"recipe": {"momentum": 0.8}}, "config.json is that of cifar10_jpeg-plain20-s0-"),
    ({"recipe": {"label_smoothing": 0.1}}, "label_smoothing"),
])  # fmt: skip
def test_what_is_not_this_run_is_no_result_of_it(tmp_path, changes, words):
    older(tmp_path, **changes)
    before, runs = tree(tmp_path), frame(Store(tmp_path))
    with pytest.raises(UserError) as refused:
        is_done(Store(tmp_path).run(NAME))
    for problem in (str(refused.value), *runs.attrs["problems"]):
        assert NAME in problem and words in problem and "\n" not in problem
    assert len(runs) == 0 and len(runs.attrs["problems"]) == 1 and tree(tmp_path) == before
