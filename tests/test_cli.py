"""The command line as a person meets it: what it prints, and how it refuses."""

import dataclasses
import json
import statistics
import subprocess
import sys

import pytest

from resnet_keras import cli, options
from resnet_keras.training.recipe import Recipe


def call(capsys, *arguments):
    """(exit code, standard output, standard error)."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize("verb", [name for name in options.app if not name.startswith("-")])
def test_every_verb_explains_itself(capsys, verb):
    code, out, _ = call(capsys, verb, "--help")
    assert code == 0 and "Usage: resnet-keras" in out
    if verb == "train":  # every field of the recipe is an option
        assert all(f"--{field.name.replace('_', '-')} " in out for field in dataclasses.fields(Recipe))


MISTAKES = {  # what tests/faults/test_bad_input.py refuses gets one line too
    ("trian", "resnet20"): "train",
    ("train",): "NETWORK",
    ("train", "resnet20", "--iteratons", "5"): "--iterations",
    ("train", "resnet20", "--iterations", "many"): "--iterations",
    ("train", "resnet21"): "6n+2",
    ("train", "rasnet20"): "resnet20",
    ("train", "plain20", "--shortcut", "B"): "resnet20",
    ("train", "resnet20", "--drops", "5", "3"): "ascending",
    ("train", "resnet20", "--precision", "float16"): "bfloat16",
    ("train", "resnet20", "--data", "cifra10", "--scale", "smoke"): "cifar10",
    ("run", "degredation"): "degradation",
    ("run", "degradation", "--scale", "tiny"): "smoke",
    ("run", "precision", "--precision", "float32"): "leave --precision out",
    ("run", "all", "--force"): "leave it out",
    ("run", "degradation", "--on", "ray:nowhere"): "ray:HOST:PORT",
    ("run", "degradation", "--on", "ray", "--gpus-per-run", "2"): "gpus-per-run=2: give 1, a fraction",
    ("run", "degradation", "--cpus-per-run", "2"): "give --on ray too",
    ("run", "degradation", "--on", "ray", "--jobs", "2"): "give --cpus-per-run in its place",
    ("evaluate", "nothing"): "resnet-keras list",
    ("evaluate", "resnet50"): "--weights FILE",
    ("evaluate", "resnet50", "--views", "11"): "multiscale",
    ("predict", "nothing"): "no images given",
    ("export", "nothing", "--format", "tflite"): "litert",
    ("export", "nothing", "--format", "onnx", "--output", "a.txt"): ".onnx",
    ("summary", "resnet19"): "18",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_gets_one_line_that_helps(capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.setenv("RESNET_KERAS_RESULTS", str(tmp_path))
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == "" and not list(tmp_path.iterdir())
    assert err.count("\n") == 1 and err.startswith("resnet-keras: ") and MISTAKES[arguments] in err


def test_fewer_iterations_shorten_the_schedule_in_proportion():
    recipe = options.recipe_from("paper", options.RecipeOptions(iterations=640, weight_decay=0.0))
    assert (recipe.iterations, recipe.drops, recipe.weight_decay) == (640, (320, 480), 0.0)
    kept = options.recipe_from("paper", options.RecipeOptions(iterations=640, drops=(100,)))
    assert (kept.iterations, kept.drops) == (640, (100,))


def test_train_then_evaluate_then_nothing_left_to_do(capsys, tmp_path):
    """The whole way through, as separate commands, on the built-in data."""
    train = ["train", "resnet8", "--data", "shapes16", "--scale", "smoke", "--iterations", "12", "--log-interval", "6"]
    train += ["--test-interval", "12", "--precision", "float32", "--results", str(tmp_path)]
    code, out, err = call(capsys, *train)
    folder = tmp_path / "runs" / out.splitlines()[-1].rsplit("/", 1)[-1]
    summary = json.loads((folder / "summary.json").read_text())
    assert (code, err, summary["status"], summary["iterations"]) == (0, "", "finished", 12)
    _, out, _ = call(capsys, "evaluate", folder.name, "--results", str(tmp_path))
    assert f"error {summary['test_error']:.2f} %" in out
    assert "finished already" in call(capsys, *train)[1]
    (run,) = json.loads(call(capsys, "list", "runs", "--json", "--results", str(tmp_path))[1])
    assert (run["run"], run["seed"], run["weights"]) == (folder.name, 0, True)


def test_help_and_lists_fit_24_lines_of_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for lines, command in ((24, ["--help"]), (20, ["list"]), (10**3, ["list", "runs"]), (10**3, ["train", "--help"])):
        code, out, _ = call(capsys, *command)
        assert code == 0 and len(out.splitlines()) <= lines
        assert max(map(len, out.splitlines())) <= 80 and "\x1b" not in out


def test_runs_that_differ_in_the_seed_alone_share_a_row(capsys):
    """Against the committed runs themselves: five seeds of plain20, whose errors are averaged."""
    runs = json.loads(call(capsys, "list", "runs", "--json", "--scale", "short", "--network", "plain20")[1])
    seeds = [r["test_error"] for r in runs if r["precision"] == "float32" and not r["recipe"]]
    out = call(capsys, "list", "runs", "--scale", "short", "--network", "plain20")[1]
    mean = f"{statistics.fmean(seeds):.2f} ± {statistics.stdev(seeds):.2f}"
    assert any(line.split()[:2] == ["plain-20", str(len(seeds))] and mean in line for line in out.splitlines())
    assert "ResNet" not in out and "medium" not in out


@pytest.mark.parametrize(("command", "code", "shown"), [
    ("PYTHONIOENCODING=ascii resnet-keras list runs --scale short", 0, b"plain-20"),  # ± is replaced
    ("resnet-keras list >&-", None, b""),
    ("resnet-keras list runs --json | head -1", None, b"["),
    ("resnet-keras lost 2>&-", 2, b""),
])  # fmt: skip
def test_output_that_cannot_be_encoded_or_is_closed_gives_no_traceback(command, code, shown):
    line = f'resnet-keras() {{ "{sys.executable}" -m resnet_keras "$@"; }}; {command}'
    ran = subprocess.run(["bash", "-c", line], capture_output=True, timeout=300)
    assert b"Traceback" not in ran.stderr and shown in ran.stdout and code in (None, ran.returncode)


def test_a_file_that_looks_like_an_option_gets_a_hint(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.jpg").touch()
    assert "./-dash.jpg" in call(capsys, "predict", "resnet20-cifar10_jpeg", "-dash.jpg")[2]
