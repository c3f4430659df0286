"""Run folders as the trainer leaves them, with made-up curves, in no time."""

import dataclasses
import json
import math
import random

from resnet_keras.data import Identity
from resnet_keras.training.recipe import preset
from resnet_keras.training.run import Run

PAIRS = {"plain20": 30.0, "plain56": 70.0, "resnet20": 26.0, "resnet56": 35.0}  # network -> error
TITLES = {"cifar10": "CIFAR-10", "cifar10_jpeg": "CIFAR-10 (JPEG)"}
HEADER = "iteration,learning_rate,train_error,train_cross_entropy,test_error,test_cross_entropy,"
HEADER += "images_per_second,elapsed_seconds"


def write_run(
    root, network="plain20", *, data="cifar10", version="3.0.2", title=None, scale="short", seed=0,
    precision="float32", shortcut=None, end=(1.6, 9.5), status="finished", summary=(), **recipe,
):  # fmt: skip
    """Write one run into `root`/runs and return its name; `end` is (training error, test error)."""
    recipe = dataclasses.replace(preset(scale), precision=precision, **recipe)
    run = Run(network, data, recipe, seed, shortcut)
    identity = Identity(data, version, title or TITLES.get(data, data))
    folder = root / "runs" / run.name(identity)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", run.config(identity))
    (folder / "history.csv").write_text(history(recipe, end, f"{network}{seed}"))
    write_json(folder / "environment.json", {"backend": "tensorflow", "commit": "0123456789abcdef", "dirty": False})
    if status != "running":
        numbers = {"iterations": recipe.iterations, "train_error": end[0], "test_error": end[1], "parameters": 269722}
        ended = {"status": status, **numbers, "hours": 0.25, "device": "2 x test CPU"}
        write_json(folder / "summary.json", {**ended, **dict(summary)})
    return folder.name


def write_json(path, content):
    path.write_text(json.dumps(content))


def history(recipe, end, key):
    """A curve that falls and steps down at each drop; the test error now and then, always at the end."""
    noise, lines = random.Random(key), [HEADER]
    steps = range(recipe.log_interval, recipe.iterations + 1, recipe.log_interval)
    for step in steps:
        level = sum(step > drop for drop in recipe.drops)
        fall = 70 * math.exp(-9 * step / recipe.iterations) + (8, 2, 0)[min(level, 2)]
        train, test = end if step == steps[-1] else (error + fall + noise.gauss(0, 0.4) for error in end)
        shown = f"{test:.2f},0.5" if step == steps[-1] or step % recipe.test_interval == 0 else ","
        lines.append(f"{step},0.1,{max(train, 0):.2f},0.5,{shown},800,{step}")
    return "\n".join(lines) + "\n"
