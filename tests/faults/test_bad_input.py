"""Mistakes in all that is given from outside: each one clear line, the right code, nothing changed."""

import json
import stat
import subprocess
import sys

import pytest

from resnet_keras import cli, quiet

pytestmark = pytest.mark.faults

NAUGHTY = ["", " ", "\x1b[31mred", "a\nb", "../../etc/passwd", "ÿ", "'; rm -rf /", "$(id)", "<b>", "x" * 3000, "\x00"]
WHOLE = ["-1", "1.5", "many", "", "9" * 400]
REAL = ["-0.5", "nan", "inf", "fast", ""]
FIELDS = {
    "iterations": ["0", *WHOLE], "batch-size": ["0", *WHOLE], "learning-rate": ["0", "101", *REAL],
    "drop-factor": ["0", "1.1", *REAL], "momentum": ["1", *REAL], "validation": WHOLE, "test-interval": ["0", "7"],
    "seed": ["4294967296", *WHOLE], "drops": ["0", "-5", "x", "1.5"], "warmup": ["", "Auto"], "augment": ["perhaps"],
    "precision": ["", "float16"], "shortcut": ["D", ""], "scale": ["large", ""], "devices": ["1.5", "x", "-1", "ALL"],
}  # fmt: skip
NETWORKS = ["resnet21", "resnet", "resnet0", "RESNET20", "plain17", "resnet\u0662\u0660", "resnet999999", *NAUGHTY]
COMMANDS = [
    *([["train", "resnet20", f"--{name}={value}"] for name in FIELDS for value in FIELDS[name]]),
    *([["train", name, "--data", "shapes16"] for name in NETWORKS]),
    *([["train", "plain8", "--data", name] for name in (*NAUGHTY[2:], "/etc/hostname", "a.tar.xz", "no_such_set")]),
    *([["summary", name] for name in NETWORKS[:6]]),
    *([["run", name] for name in NAUGHTY]),
    *([["evaluate", name] for name in (*NAUGHTY, ".", "..", "/", "a/b", "nothing", ".hidden", "C:\\x")]),
    *([["run", "degradation", f"--seeds={value}"] for value in ("0", "-1", "1001", "x", "1.5", "")]),
    *([["run", "degradation", f"--{name}=wrong"] for name in ("scale", "precision", "force", "dry-run")]),
    *([["summary", "resnet20", f"--classes={value}"] for value in ("x", "0", "-1", "1000000000000")]),
    ["trian"], ["train"], ["run"], ["evaluate"], ["summary"], ["list", "extra"], ["doctor", "--verbose"], ["--verbose"],
    ["train", "resnet20", "resnet32"], ["train", "resnet20", "--sede", "1"], ["report", "--results"],
    ["train", "plain20", "--shortcut", "B"], ["train", "vgg16", "--shortcut", "A"],
    ["summary", "plain20", "--shortcut", "C"], ["train", "resnet20", "--drops", "5", "3"],
    ["train", "resnet20", "--log-interval", "3", "--test-interval", "10"],
    ["run", "all", "--force"], ["run", "degradation", "--data", "./nothing"],
    ["train", "plain8", "--data", "./nothing"],
    ["predict", "resnet20-cifar10_jpeg", "nothing.jpg"], ["evaluate", "resnet20-cifar10_jpeg", "--data", "./nothing"],
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


def assert_one_line(line):
    assert line.startswith("resnet-keras: ") and line.count("\n") == 1 and line.endswith("\n")
    assert line[:-1].isprintable(), "a terminal would act on this"
    assert "Traceback" not in line and 20 < len(line) < 5000


def refuse(capsys, home, arguments):
    """Run the command line on a mistake; returns its one line."""
    before = tree(home)
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == ""
    assert_one_line(err)
    assert tree(home) == before
    return err


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: ascii(" ".join(words))[:60])
def test_a_mistake_in_a_command(capsys, home, monkeypatch, arguments):
    """Before anything slow begins, too: no backend is loaded to find it."""
    monkeypatch.setattr(quiet, "load_keras", lambda: pytest.fail("this was taken for no mistake"))
    refuse(capsys, home, arguments)


CONFIG = {"network": "plain8", "data": "shapes16", "data_version": "1", "data_title": "shapes16"}
JSON = {"half": b'{"network": ', "empty": b"", "list": b"[1]", "bytes": b"\x00\xff\xfe", "deep": b"[" * 200_000}
RUNS = {
    **{f"config {name}": {"config.json": content} for name, content in JSON.items()},
    "network missing": {}, "network text": {"network.keras": b"hello"},
    "zip": {"network.keras": b"PK\x05\x06" + bytes(18)},  # an empty one
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_cannot_be_evaluated(capsys, home, name):
    folder = home / "results" / "runs" / "tiny"
    folder.mkdir(parents=True)
    for file, content in ({"config.json": json.dumps(CONFIG).encode()} | RUNS[name]).items():
        (folder / file).write_bytes(content)
    line = refuse(capsys, home, ["evaluate", "tiny"])
    assert "tiny" in line and "did you mean" not in line


def test_damaged_runs_do_not_hide_the_others(capsys, home):
    for run, content in {**JSON, "good": b'{"status": "finished"}'}.items():
        (home / "results" / "runs" / run).mkdir(parents=True)
        (home / "results" / "runs" / run / "config.json").write_bytes(b"{}")
        (home / "results" / "runs" / run / "summary.json").write_bytes(content)
    with pytest.raises(SystemExit) as end:
        cli.main(["list"])
    assert f"1 finished, {len(JSON)} cannot be read" in capsys.readouterr().out and end.value.code == 0


def test_what_only_the_system_can_tell_is_one_line_too(home):
    command = [sys.executable, "-m", "resnet_keras", "train", "plain8", "--data", "shapes16", "--iterations", "4"]
    ended = subprocess.run([*command, "--results", "/dev/null/x"], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 1
    assert_one_line(ended.stderr)
