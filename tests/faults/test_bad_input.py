"""Mistakes in all that is given from outside: each one clear line, the right code, nothing changed."""

import io
import json
import stat
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from resnet_keras import cli, data, quiet
from resnet_keras.errors import UserError
from resnet_keras.experiments import runner
from resnet_keras.store import Store

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
    *([["summary", name] for name in NETWORKS[:6]]),
    *([["run", name] for name in NAUGHTY]),
    *([["evaluate", name] for name in (*NAUGHTY, ".", "..", "/", "a/b", "nothing", ".hidden", "C:\\x")]),
    *([["run", "degradation", f"--seeds={value}"] for value in ("0", "-1", "1001", "x", "1.5", "")]),
    *([["run", "degradation", f"--{name}=wrong"] for name in ("scale", "precision", "force", "dry-run", "only")]),
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


# ---- data: name -> files beside four good images in `pets`, or what is given as --data ----------------------------


def png(shape=(5, 6, 3)):
    file = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(file, "PNG")
    return file.getvalue()


def bomb():
    """A PNG of 400 million pixels in a few hundred bytes: its header says so, and there is little more to it."""
    small, header = png(), slice(12, 29)  # the first chunk's name and content, before its checksum
    changed = small[header].replace(bytes([0, 0, 0, 6, 0, 0, 0, 5]), bytes([0, 0, 78, 32, 0, 0, 78, 32]))
    return small[: header.start] + changed + zlib.crc32(changed).to_bytes(4, "big") + small[header.stop + 4 :]


DATA = {
    "a file for a folder": "/etc/hostname", "an archive": "nothing.tar.xz", "a zero byte": "./a\x00b", "nothing": "",
    "no TFDS name": "no_such_set", "markup": "<script>", "a terminal's": "\x1b]0;owned\x07", "a shell's": "$(touch x)",
    "no images in test": {"test/cat/0.png": None, "test/dog/0.png": None},
    "no images in train": {"train/cat/0.png": None, "train/dog/0.png": None},
    "a class of test alone": {"test/ant/0.png": png()},
    "a class whose name acts on terminals": {"test/\x1b[2J<b>/0.png": png()},
    "text": {"train/cat/1.png": b"not an image"}, "half an image": {"train/cat/1.png": png()[:40]},
    "flipped bytes": {"train/cat/1.png": png()[:45] + b"\xff" * 8 + png()[53:]},
    "a torn GIF": {"train/cat/1.png": b"GIF89a" + bytes(40)},
    "PostScript": {"train/cat/1.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"},
    "a bomb": {"train/cat/1.png": bomb()}, "another size": {"train/cat/1.png": png((6, 6, 3))},
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_used(home, name):
    good = {f"{split}/{name}/0.png": png() for split in ("train", "test") for name in ("cat", "dog")}
    changes = DATA[name] if isinstance(DATA[name], dict) else {}
    for file, content in (good | changes).items():
        if content:
            (home / "here/pets" / file).parent.mkdir(parents=True, exist_ok=True)
            (home / "here/pets" / file).write_bytes(content)
    before = tree(home)
    with pytest.raises(UserError) as refused:
        data.load("./pets" if changes else DATA[name])
    assert tree(home) == before
    assert "\n" not in str(refused.value) and len(str(refused.value)) > 20
    assert name != "a bomb" or "more than" in str(refused.value)  # by its header: it was never unpacked


# ---- a run's directory: name -> {file: content} -----------------------------------------------------------------

CONFIG = {"network": "plain8", "data": "shapes16", "data_version": "1", "data_title": "shapes16"}
JSON = {"half": b'{"network": ', "empty": b"", "list": b"[1]", "bytes": b"\x00\xff\xfe", "deep": b"[" * 200_000}
EMPTY = io.BytesIO()
zipfile.ZipFile(EMPTY, "w").close()
RUNS = {
    **{f"config {name}": {"config.json": content} for name, content in JSON.items()},
    "network missing": {}, "network text": {"network.keras": b"hello"}, "zip": {"network.keras": EMPTY.getvalue()},
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


PARAMETERS = [
    *({"scale": value} for value in ("large", None, ["smoke"])), *({"seeds": value} for value in (0, 1.5, "2", True)),
    *({"precision": value} for value in ("float16", None)), *({"name": value} for value in ("degredation", None)),
    {"data": "no\x00thing"}, {"data_dir": "nowhere", "data": "mnist"},
]  # fmt: skip


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_a_mistake_in_a_notebooks_parameters(home, parameters):
    before = tree(home)
    with pytest.raises(UserError) as refused:
        runner.run(**{"name": "degradation", "scale": "smoke", "store": Store(), "precision": "float32", **parameters})
    assert tree(home) == before and "\n" not in str(refused.value)


def test_what_only_the_system_can_tell_is_one_line_too(home):
    command = [sys.executable, "-m", "resnet_keras", "train", "plain8", "--data", "shapes16", "--iterations", "4"]
    ended = subprocess.run([*command, "--results", "/dev/null/x"], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 1
    assert_one_line(ended.stderr)
