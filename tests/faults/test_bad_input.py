"""More than 200 mistakes, over all that is given from outside: each one clear line, the right code, nothing changed."""

import io
import json
import os
import subprocess
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image

import resnet_keras
from resnet_keras import cli, data, quiet
from resnet_keras.errors import UserError
from resnet_keras.experiments import runner
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe

pytestmark = pytest.mark.faults

NAUGHTY = ["", " ", "\x1b[31mred", "a\nb", "../../etc/passwd", "ÿ", "'; rm -rf /", "$(id)", "<b>", "x" * 3000, "\x00"]

WHOLE = ["-1", "1.5", "many", "nan", "", "1e3", "0x10", "9" * 400]
REAL = ["-0.5", "nan", "inf", "-inf", "fast", "", "1e999"]
CHOICE = ["", "Auto", "none of them", "0"]
FIELDS = {
    "iterations": ["0", *WHOLE],
    "batch-size": ["0", *WHOLE],
    "learning-rate": ["0", "101", *REAL],
    "drop-factor": ["0", "1.1", *REAL],
    "warmup-rate": ["0", *REAL],
    "warmup-error": ["0", "101", *REAL],
    "warmup-window": ["0", *WHOLE[:4]],
    "momentum": ["1", *REAL],
    "weight-decay": ["1", *REAL],
    "validation": WHOLE[:4],
    "log-interval": ["0", *WHOLE[:4]],
    "test-interval": ["0", "7", *WHOLE[:4]],
    "checkpoint-interval": ["0", *WHOLE[:4]],
    "steps-per-call": WHOLE[:4],
    "seed": ["-1", "4294967296", *WHOLE[1:4]],
    "drops": ["0", "-5", "x", "1.5"],
    "warmup": CHOICE,
    "decay-on": CHOICE,
    "precision": [*CHOICE, "float16"],
    "augment": ["perhaps"],
    "shortcut": ["D", "a b", ""],
    "scale": ["large", ""],
}
NETWORKS = [
    "resnet21", "resnet", "resnet0", "resnet2", "resnet-20", "resnet20.", "RESNET20", "plain17", "vgg11",
    "resnet\u0662\u0660", "resnet999999", "densenet121", *NAUGHTY,
]  # fmt: skip

COMMANDS = [
    *([["train", "resnet20", f"--{name}={value}"] for name in FIELDS for value in FIELDS[name]]),
    *([["train", name, "--data", "shapes16"] for name in NETWORKS]),
    *([["summary", name] for name in NETWORKS[:6]]),
    *([["run", name] for name in NAUGHTY]),
    *([["evaluate", name] for name in (*NAUGHTY, ".", "..", "/", "a/b", "nothing", ".hidden", "C:\\x")]),
    *([["run", "degradation", f"--seeds={value}"] for value in ("0", "-1", "1001", "x", "1.5", "")]),
    *([["run", "degradation", f"--{name}=wrong"] for name in ("scale", "precision", "seeds", "force", "dry-run")]),
    *([["train", "resnet20", f"--devices={value}"] for value in ("1.5", "x", "", "-1", "1e3", "nan", "ALL")]),
    ["summary", "resnet20", "--classes=x"],
    [], ["trian"], ["train"], ["run"], ["evaluate"], ["summary"], ["list", "extra"], ["doctor", "--verbose"],
    ["train", "resnet20", "resnet32"], ["train", "resnet20", "--sede", "1"], ["report", "--results"], ["--verbose"],
    ["train", "plain20", "--shortcut", "B"], ["train", "vgg16", "--shortcut", "A"],
    ["train", "resnet20", "--drops", "5", "3"], ["train", "resnet20", "--log-interval", "3", "--test-interval", "10"],
    ["run", "all", "--force"], ["summary", "plain20", "--shortcut", "C"],
]  # fmt: skip
COMMANDS.remove([])  # says what there is and is no mistake


def tree(*roots):
    """Everything below some folders: names, sizes and times."""
    found = {}
    for root in roots:
        for folder, _, files in os.walk(root):
            found[folder] = None
            for name in files:
                state = os.lstat(os.path.join(folder, name))
                found[os.path.join(folder, name)] = (state.st_size, state.st_mtime_ns)
    return found


def shown(value):
    return ascii(" ".join(map(str, value)))[:60]


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


def assert_one_line(line, start=""):
    assert line.startswith(start) and line.count("\n") == 1 and line.endswith("\n")
    assert line[:-1].isprintable(), "a terminal would act on this"
    assert "Traceback" not in line and 20 < len(line) < 5000


def refuse(capsys, home, arguments, codes=(2,)):
    """Run the command line on a mistake; returns its one line."""
    before = tree(home)
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert end.value.code in codes and out == ""
    assert_one_line(err, "resnet-keras: ")
    assert tree(home) == before
    return err


def test_there_are_enough_of_them():
    assert len(COMMANDS) + len(DATA) + len(RUNS) + len(WEIGHTS) + len(PARAMETERS) > 280


@pytest.mark.parametrize("arguments", COMMANDS, ids=shown)
def test_a_mistake_in_a_command(capsys, home, monkeypatch, arguments):
    """Before anything slow begins, too: no backend is loaded to find it."""
    monkeypatch.setattr(quiet, "load_keras", lambda: pytest.fail("this was taken for no mistake"))
    refuse(capsys, home, arguments)


# ---- data: name -> what makes it in a folder; returns what is given as --data ------------------------------------


def png(shape=(5, 6, 3), dtype=np.uint8):
    file = io.BytesIO()
    Image.fromarray(np.zeros(shape, dtype)).save(file, "PNG")
    return file.getvalue()


def bomb():
    """A PNG of 400 million pixels in a few hundred bytes: its header says so, and there is little more to it."""
    whole, header = png(), slice(12, 29)  # the first chunk's name and content, before its checksum
    changed = whole[header].replace(bytes([0, 0, 0, 6, 0, 0, 0, 5]), bytes([0, 0, 78, 32, 0, 0, 78, 32]))
    return whole[: header.start] + changed + zlib.crc32(changed).to_bytes(4, "big") + whole[header.stop + 4 :]


def folder(changes):
    """Four pictures in `pets`, and then these files: name -> content, None for a folder, "" to remove one."""

    def make(home):
        good = {f"{split}/{name}/0.png": png() for split in ("train", "test") for name in ("cat", "dog")}
        for name, content in [*good.items(), *changes.items()]:
            path = home / "here" / "pets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()
            elif content == "":
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        return "./pets"

    return make


def named(name):
    return lambda home: name


def prepared(changes):
    """A prepared TFDS set with these files damaged."""

    def make(home):
        where = home / "data" / "tfds" / "pets" / "1.0.0"
        where.mkdir(parents=True)
        for name, content in {"dataset_info.json": b'{"name": "pets", "version": "1.0.0"}', **changes}.items():
            (where / name).write_bytes(content)
        return "pets"

    return make


DATA = {
    "a folder that is not there": named("./nothing"),
    "an absolute path that is not there": named("/nothing/at/all"),
    "a file for a folder": named("/etc/hostname"),
    "an archive": named("nothing.tar.xz"),
    "a zero byte": named("./a\x00b"),
    "an empty folder": lambda home: (home / "here" / "pets").mkdir() or "./pets",
    "no test": lambda home: (home / "here" / "pets" / "train").mkdir(parents=True) or "./pets",
    "no pictures in test": folder({"test/cat/0.png": "", "test/dog/0.png": ""}),
    "no pictures in train": folder({"train/cat/0.png": "", "train/dog/0.png": ""}),
    "a class of test alone": folder({"test/ant/0.png": png()}),
    "a class whose name acts on terminals": folder({"test/\x1b[2J<b>/0.png": png()}),
    "text for a picture": folder({"train/cat/1.png": b"not a picture"}),
    "nothing for a picture": folder({"train/cat/1.png": b" "}),
    "a folder for a picture's content": folder({"train/cat/1.png": png()[:-30]}),
    "half a picture": folder({"train/cat/1.png": png()[:40]}),
    "a picture with flipped bytes": folder({"train/cat/1.png": png()[:45] + b"\xff" * 8 + png()[53:]}),
    "a GIF": folder({"train/cat/1.png": b"GIF89a" + bytes(40)}),
    "PostScript for a JPEG": folder({"train/cat/1.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}),
    "another size": folder({"train/cat/1.png": png((6, 6, 3))}),
    "images in folders too deep": folder({"train/cat/0.png": "", "train/cat/x/1.png": png()}),
    "a bomb by its header": folder({"train/cat/1.png": bomb()}),
    "no description of a TFDS set": prepared({"dataset_info.json": b"{"}),
    "a list for a description": prepared({"dataset_info.json": b"[]"}),
    "a TFDS set without its pictures": prepared({}),
    "a TFDS name that is none": named("no_such_set"),
    "a TFDS name nearly right": named("cifra10"),
    "a TFDS name with markup": named("<script>"),
    "a TFDS name that acts on terminals": named("\x1b]0;owned\x07"),
    "a TFDS name with two slashes": named("mnist//x"),
    "a TFDS name that is a command": named("$(touch here)"),
    "a TFDS configuration that is none": named("mnist/no_such_config"),
    "a TFDS version that is none": named("mnist:99.9.9"),
    "nothing": named(""),
}


def without_cache(home):
    return {path: state for path, state in tree(home).items() if "cache" not in path}


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_used(home, name):
    given = DATA[name](home)
    before = without_cache(home)
    with pytest.raises(UserError) as refused:
        data.load(given)
    assert without_cache(home) == before
    assert "\n" not in str(refused.value) and len(str(refused.value)) > 20
    assert "bomb" not in name or "more than" in str(refused.value)  # told by its header: it was never unpacked


@pytest.mark.slow
def test_what_only_a_backend_or_the_data_can_tell_is_one_line_too(capsys, home):
    for value in ("0", "-1", "1000000000000"):
        refuse(capsys, home, ["summary", "resnet20", f"--classes={value}"])
    for make in (DATA["half a picture"], DATA["a class whose name acts on terminals"]):
        refuse(capsys, home, ["train", "plain8", "--data", make(home), "--iterations", "4"])
    refuse(capsys, home, ["run", "degradation", "--data", "./nothing"])


# ---- a run's directory: name -> {file: content} -----------------------------------------------------------------

CONFIG = {"network": "plain8", "data": "shapes16", "data_version": "1", "data_title": "shapes16"}


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def hdf5(fill):
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        fill(opened)
    return file.getvalue()


JSON = {
    "half": b'{"network": ', "empty": b"", "list": b"[1]", "number": b"7", "bytes": b"\x00\xff\xfe", "null": b"null",
    "deep": b"[" * 200_000, "text": b"hello", "repeated": b'{"a": 1}{"b": 2}',
}  # fmt: skip
NETWORK_FILES = {
    "missing": None, "empty": b"", "text": b"hello", "half a zip": zipped({"config.json": "{}"})[:30],
    "zip of nothing": zipped({}), "zip without weights": zipped({"config.json": "{}", "metadata.json": "{}"}),
    "zip of a list": zipped({"config.json": "[]", "metadata.json": "{}", "model.weights.h5": b"x"}),
}  # fmt: skip
RUNS = {
    **{f"config {name}": {"config.json": content} for name, content in JSON.items() if name != "null"},
    **{f"network {name}": {"network.keras": content} for name, content in NETWORK_FILES.items()},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_cannot_be_evaluated(capsys, home, name):
    where = home / "results" / "runs" / "tiny"
    where.mkdir(parents=True)
    for file, content in {"config.json": json.dumps(CONFIG).encode(), **RUNS[name]}.items():
        if content is not None:
            (where / file).write_bytes(content)
    said = refuse(capsys, home, ["evaluate", "tiny"])
    assert "tiny" in said and "did you mean" not in said


@pytest.mark.parametrize("name", JSON)
def test_a_damaged_run_does_not_hide_the_others(capsys, home, name):
    for run, content in (("bad", JSON[name]), ("good", b'{"status": "finished"}')):
        (home / "results" / "runs" / run).mkdir(parents=True)
        (home / "results" / "runs" / run / "config.json").write_bytes(b"{}")
        (home / "results" / "runs" / run / "summary.json").write_bytes(content)
    with pytest.raises(SystemExit) as end:
        cli.main(["list"])
    assert "1 finished, 1 cannot be read" in capsys.readouterr().out and end.value.code == 0


# ---- weight files: name -> content ------------------------------------------------------------------------------

HEADER = (len(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')).to_bytes(8, "little")
WEIGHTS = {
    **{f"{name}.keras": content for name, content in NETWORK_FILES.items()},
    "empty.safetensors": b"",
    "text.safetensors": b"hello, this is no header",
    "header.safetensors": (2**62).to_bytes(8, "little") + b"{}",
    "cut.safetensors": HEADER + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' + b"1234",
    "offsets.safetensors": HEADER + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}' + bytes(8),
    "other.safetensors": HEADER + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' + bytes(8),
    "empty.h5": b"",
    "text.h5": b"hello",
    "nothing.h5": hdf5(lambda opened: None),
    "pickle.pt": b"\x80\x04\x95",
    "pickle.pkl": b"\x80\x04\x95",
    "pickle.bin": b"\x80\x04\x95",
    "array.npz": zipped({"a.npy": b"x"}),
    "array.npy": b"\x93NUMPY",
    "no ending": b"x",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_cannot_be_used(tmp_path, name):
    path = tmp_path / name
    if WEIGHTS[name] is not None:
        path.write_bytes(WEIGHTS[name])
    before = tree(tmp_path)
    with pytest.raises(UserError) as refused:
        resnet_keras.load(path, None if name.endswith(".keras") else "resnet50")
    assert tree(tmp_path) == before
    assert "\n" not in str(refused.value) and 20 < len(str(refused.value)) < 2000


# ---- a notebook's parameters, and the recipe's fields, as Python gives them --------------------------------------

PARAMETERS = [
    *({"scale": value} for value in ("large", "", None, 7, ["smoke"])),
    *({"seeds": value} for value in (0, -1, 1.5, "2", None, True, 10**9)),
    *({"precision": value} for value in ("float16", "", None, 16)),
    *({"data": value} for value in ("./nothing", "no\x00thing", "nothing.tar")),
    *({"name": value} for value in ("degredation", "", None, 7, "../x")),
    {"data_dir": "nowhere", "data": "mnist"},
]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_a_mistake_in_a_notebooks_parameters(home, parameters):
    before = tree(home)
    with pytest.raises(UserError) as refused:
        runner.run(**{"name": "degradation", "scale": "smoke", "store": Store(), "precision": "float32", **parameters})
    assert tree(home) == before and "\n" not in str(refused.value)


FIELD_VALUES = [None, "1", "", -1, 1.5, float("nan"), float("inf"), 10**400, True, [], {}, b"1", object()]


@pytest.mark.parametrize("field", [name for name in vars(Recipe()) if name not in ("augment", "batch_norm")])
def test_a_recipe_is_made_of_its_own_kinds_alone(field):
    """What is not of the field's kind is refused; where it is, the recipe stands."""
    kept = getattr(Recipe(), field)
    for value in FIELD_VALUES:
        try:
            made = getattr(Recipe(**{field: value}), field)
        except UserError as error:
            assert field in str(error) and "\n" not in str(error)
        else:
            assert made == (tuple(value) if field == "drops" else value)
            assert isinstance(made, (int, float)) == isinstance(kept, (int, float)) and not isinstance(made, bool)


def test_the_same_from_a_real_shell(home):
    for arguments, variables, code in (
        (["train", "resnet21"], {}, 2),
        (["train", "resnet20", "--seed", "1.5"], {}, 2),
        (["list", "--results", "/proc/1/nothing"], {}, 0),
        (["train", "plain8", "--data", "shapes16", "--iterations", "4"], {"KERAS_BACKEND": "nonsense"}, 2),
        (["train", "plain8", "--data", "shapes16", "--iterations", "4", "--results", "/dev/null/x"], {}, 1),
    ):
        command = [sys.executable, "-m", "resnet_keras", *arguments]
        ended = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=600, check=False
        )
        assert ended.returncode == code, ended.stderr
        if code:
            assert_one_line(ended.stderr, "resnet-keras: ")
