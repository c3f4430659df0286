"""Run folders as the trainer leaves them, with made-up curves, in no time."""

import dataclasses
import json
import math
import random
from types import SimpleNamespace

from resnet_keras.training.recipe import preset
from resnet_keras.training.run import Run

TITLES = {"shapes16": "shapes16", "cifar10": "CIFAR-10", "cifar10_jpeg": "CIFAR-10 (JPEG)"}
# Where the paper's Fig. 6 ends, roughly: (training error, test error).
ENDS = {
    "plain20": (1.6, 9.5),
    "plain32": (1.2, 10.0),
    "plain44": (2.5, 12.0),
    "plain56": (5.5, 13.5),
    "resnet20": (1.0, 8.75),
    "resnet32": (0.4, 7.51),
    "resnet44": (0.2, 7.17),
    "resnet56": (0.1, 6.97),
}


def write_run(
    root,
    network="plain20",
    *,
    data="cifar10",
    version="3.0.2",
    title=None,
    scale="short",
    seed=0,
    precision="float32",
    shortcut=None,
    end=None,
    status="finished",
    rows=None,
    summary=(),
    config=(),
    **recipe,
):
    """Write one run into `root`/runs and return its name; `end` is (training error, test error)."""
    chosen = dataclasses.replace(preset(scale), precision=precision, **recipe)
    run = Run(network, data, chosen, seed, shortcut)
    identity = SimpleNamespace(name=data, version=version, title=title or TITLES.get(data, data))
    folder = root / "runs" / run.name(identity)
    folder.mkdir(parents=True)
    end = end or ENDS.get(network, (5.0, 10.0))
    write_json(folder / "config.json", {**run.config(identity), **dict(config)})
    (folder / "history.csv").write_text(history(chosen, end, f"{network}{seed}", rows))
    write_json(folder / "environment.json", {"backend": "tensorflow", "commit": "0123456789abcdef", "dirty": False})
    if status != "running":
        write_json(folder / "summary.json", {**_summary(chosen, end, status), **dict(summary)})
    return folder.name


def write_json(path, content):
    path.write_text(json.dumps(content))


def _summary(recipe, end, status):
    return {
        "status": status,
        "iterations": recipe.iterations,
        "train_error": end[0],
        "test_error": end[1],
        "parameters": 269722,
        "hours": 0.25,
        "device": "2 x test CPU",
    }


def history(recipe, end, key, rows=None):
    """A curve that falls and steps down at each drop; the test error now and then, always at the end."""
    noise = random.Random(key)
    interval = recipe.iterations // rows if rows else recipe.log_interval
    every = max(1, recipe.test_interval // recipe.log_interval)
    lines = [
        "iteration,learning_rate,train_error,train_cross_entropy,test_error,test_cross_entropy,"
        "images_per_second,elapsed_seconds"
    ]
    steps = range(interval, recipe.iterations + 1, interval)
    for place, step in enumerate(steps, start=1):
        level = sum(step > drop for drop in recipe.drops)
        part = step / recipe.iterations
        train = end[0] + 70 * math.exp(-9 * part) + (8, 2, 0)[min(level, 2)] + noise.gauss(0, 0.4)
        test = (
            end[1] + 72 * math.exp(-9 * part) + (10, 1.5, 0)[min(level, 2)] + abs(noise.gauss(0, 3.0 / (1 + 4 * level)))
        )
        last = step == steps[-1]
        shown = f"{end[1] if last else test:.2f},0.5" if last or place % every == 0 else ","
        lines.append(f"{step},0.1,{end[0] if last else max(train, 0):.2f},0.5,{shown},800,{step}")
    return "\n".join(lines) + "\n"
