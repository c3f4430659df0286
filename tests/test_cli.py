"""The command line as a person meets it: what it prints, and how it refuses."""

import dataclasses
import json
import subprocess
import sys

import pytest

from resnet_keras import cli
from resnet_keras.training.recipe import Recipe


def call(capsys, *arguments):
    """(exit code, standard output, standard error)."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    return end.value.code, *capsys.readouterr()


VERBS = ["list", "summary", "train", "run", "report", "evaluate", "import", "export-runs", "doctor"]
VERBS += ["predict", "export", "publish"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(capsys, verb):
    code, out, _ = call(capsys, verb, "--help")
    assert code == 0 and "Usage: resnet-keras" in out


def test_every_field_of_the_recipe_is_an_option(capsys):
    _, out, _ = call(capsys, "train", "--help")
    for field in dataclasses.fields(Recipe):
        assert f"--{field.name.replace('_', '-')} " in out


MISTAKES = {
    ("trian", "resnet20"): "train",
    ("train",): "NETWORK",
    ("train", "resnet20", "--iteratons", "5"): "--iterations",
    ("train", "resnet20", "--iterations", "many"): "--iterations",
    ("train", "resnet20", "--iterations", "0"): "iterations=0",
    ("train", "resnet21"): "20 and 26",
    ("train", "rasnet20"): "resnet20",
    ("train", "plain20", "--shortcut", "B"): "resnet20",
    ("train", "resnet20", "--shortcut", "D"): "A",
    ("train", "resnet20", "--seed", "-1"): "seed=-1",
    ("train", "resnet20", "--drops", "5", "3"): "ascending",
    ("train", "resnet20", "--precision", "float16"): "bfloat16",
    ("train", "resnet20", "--data", "cifra10", "--scale", "smoke"): "cifar10",
    ("run", "degredation"): "degradation",
    ("run", "degradation", "--scale", "tiny"): "smoke",
    ("run", "degradation", "--seeds", "0"): "seeds=0",
    ("run", "precision", "--precision", "float32"): "leave --precision out",
    ("run", "all", "--budget", "soon"): "such as 25m",
    ("run", "residual", "--budget", "-5m"): "such as 25m",
    ("run", "all", "--budget", "0"): "such as 25m",
    ("run", "all", "--force"): "leave them out",
    ("import", "nowhere"): "there is no nowhere",
    ("export-runs",): "FILE.tar",
    ("export-runs", "some-run"): "ends in .tar",
    ("export-runs", "runs.tar"): "no run to export",
    ("evaluate", "../../etc"): "not a run's name",
    ("evaluate", "nothing"): "resnet-keras list",
    ("evaluate", "resnet50"): "--weights FILE",
    ("evaluate", "resnet50", "--views", "11"): "multiscale",
    ("evaluate", "nothing", "--precise-bn", "-1"): "precise_bn=-1",
    ("predict", "nothing"): "no pictures given",
    ("export", "nothing", "--format", "tflite"): "litert",
    ("export", "nothing", "--format", "onnx", "--output", "a.txt"): ".onnx",
    ("publish", "nothing"): "resnet-keras list",
    ("summary", "resnet19"): "18",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_gets_one_line_that_helps(capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.setenv("RESNET_KERAS_RESULTS", str(tmp_path))
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("resnet-keras: ")
    assert MISTAKES[arguments] in err
    assert not list(tmp_path.iterdir())


def test_fewer_iterations_shorten_the_schedule_in_proportion():
    options = cli.RecipeOptions(iterations=640, weight_decay=0.0)
    recipe = cli.recipe_from("paper", options)
    assert (recipe.iterations, recipe.drops, recipe.weight_decay) == (640, (320, 480), 0.0)
    kept = cli.recipe_from("paper", cli.RecipeOptions(iterations=640, drops=(100,)))
    assert (kept.iterations, kept.drops) == (640, (100,))


def test_help_loads_no_backend():
    code = (
        "import sys\nfrom resnet_keras import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'keras', 'tensorflow', 'jax', 'pandas'} & set(sys.modules)))"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert asked.stdout.splitlines()[-1] == "[]"


def test_train_then_evaluate_then_nothing_left_to_do(tmp_path):
    """The whole way through, as separate commands, on the built-in data."""
    common = [sys.executable, "-m", "resnet_keras"]
    train = [*common, "train", "resnet8", "--data", "shapes32", "--scale", "smoke", "--iterations", "12"]
    train += ["--batch-size", "32", "--log-interval", "6", "--test-interval", "12", "--results", str(tmp_path)]

    def run(command):
        asked = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert asked.returncode == 0, asked.stderr
        assert asked.stderr == ""
        return asked.stdout

    first = run(train).splitlines()
    folder = tmp_path / "runs" / first[-1].rsplit("/", 1)[-1]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished" and summary["iterations"] == 12
    tested = run([*common, "evaluate", folder.name, "--results", str(tmp_path)])
    assert f"error {summary['test_error']:.2f} %" in tested
    assert "finished already" in run(train)
