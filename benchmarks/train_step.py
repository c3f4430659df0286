"""Whole training steps of this package, of stock Keras, of bare TensorFlow and of PyTorch, in images a second.

The contenders take turns (A B C A B C): the speed of a shared machine changes from minute to minute, and a turn of one
lies between the turns of the others. After a warm-up round come the rounds that count; medians are compared.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib.util
import shutil
import subprocess

from benchmarks import records
from benchmarks.contenders import CONTENDERS, OURS, Contender
from benchmarks.workers import Skipped, Worker

# Network -> its contenders; the deepest one, whose first steps take a minute, meets the best of each kind.
NETWORKS = {"resnet20": CONTENDERS, "resnet56": CONTENDERS, "resnet110": tuple(c for c in CONTENDERS if c.best)}
SMOKE = {"resnet8": tuple(c for c in CONTENDERS if c.best)}


def measure(options):
    """Yield the rows of one network after the other.

    Args:
        options: `networks` (name -> contenders), `rounds`, `turn` (seconds of a turn), `batch_size` and `torch_python`
            (an interpreter that has PyTorch, or None).
    """
    environment = records.environment()
    for network, contenders in options.networks.items():
        with contextlib.ExitStack() as stack:
            workers, rows = start(stack, network, contenders, options)
            times = take_turns(workers, options.rounds, options.turn)
            yield [{**row, **environment} for row in rows_of(network, workers, times, options) + rows]


def start(stack, network, contenders, options) -> tuple[list[Worker], list[dict]]:
    """The workers that run, and rows that say why the others do not; a core starts one at a time."""
    from resnet_keras.training import device

    workers, rows = [], []
    with concurrent.futures.ThreadPoolExecutor(device.cores()) as pool:
        starting = [pool.submit(_start, network, contender, options) for contender in contenders]
        for contender, begun in zip(contenders, starting, strict=True):
            try:
                workers.append(begun.result())
                stack.callback(workers[-1].stop)
                print(f"{network}: {contender.title} is ready", flush=True)
            except Skipped as reason:
                print(f"{network}: without {contender.title}: {reason}", flush=True)
                rows.append({**_names(network, contender), "note": f"skipped: {reason}"})
    return workers, rows


def _start(network: str, contender: Contender, options) -> Worker:
    _check(contender, options.torch_python)
    return Worker(contender, network, options.batch_size, options.torch_python)


def _check(contender: Contender, torch_python: str | None) -> None:
    """Refuse what cannot run, before a process is started for it.

    Raises:
        Skipped: PyTorch is not installed, or what its compiler needs.
    """
    if contender.interpreter != "torch":
        return
    if torch_python is None and importlib.util.find_spec("torch") is None:
        raise Skipped("PyTorch is not installed: name a Python that has it with --torch-python")
    if torch_python and subprocess.run([torch_python, "-c", "import torch"], capture_output=True).returncode:
        raise Skipped("the Python of --torch-python cannot import torch")
    if contender.options["compiled"] and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise Skipped("torch.compile needs a C++ compiler")


def take_turns(workers: list[Worker], rounds: int, turn: float) -> list[list[float]]:
    """Seconds a step of each worker in each round that counts; a turn has as many whole steps as fit, one at least."""
    steps = [1] * len(workers)
    for index, worker in enumerate(workers):
        steps[index] = _steps_that_fit(worker, turn)
    times = [[] for _ in workers]
    for number in range(rounds):
        for index, worker in enumerate(workers):
            times[index].append(worker.take(steps[index]) / steps[index])
        done = ", ".join(f"{w.contender.title} {t[-1] * 1000:.0f}" for w, t in zip(workers, times, strict=True))
        print(f"round {number + 1} of {rounds}, ms a step: {done}", flush=True)
    return times


def _steps_that_fit(worker: Worker, turn: float) -> int:
    """Steps in this many seconds, found while warming up: one step says little where many go in a call."""
    steps = 1
    for _ in range(4):
        fit = max(1, round(turn * steps / worker.take(steps)))
        if 2 * steps > fit:
            return fit
        steps = fit
    return steps


def _names(network: str, contender: Contender) -> dict:
    return {"network": network, "contender": contender.name, "precision": contender.precision}


def rows_of(network, workers, times, options) -> list[dict]:
    """A row per contender; `ours_faster` is the ratio of medians, this package in the first row's precision above."""
    speeds = [[options.batch_size / seconds for seconds in own] for own in times]
    medians = {w.contender.title: records.spread(own)["median"] for w, own in zip(workers, speeds, strict=True)}
    ours = next((median for title, median in medians.items() if title.startswith(OURS)), None)
    rows = []
    for worker, own in zip(workers, speeds, strict=True):
        found = records.spread(own)
        rows.append(
            {
                **_names(network, worker.contender),
                "images_per_second": records.rounded(found["median"]),
                "lower_quartile": records.rounded(found["low"]),
                "upper_quartile": records.rounded(found["high"]),
                "ours_faster": records.rounded(ours / found["median"], 3) if ours else "",
                "batch_size": options.batch_size,
                "rounds": options.rounds,
                "versions": records.listed(worker.started["versions"]),
                "note": "",
            }
        )
    return rows
