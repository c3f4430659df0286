"""Under load: 10,000 runs listed and reported, a history of 64,000 rows read, memory over 5,000 iterations."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import records
from benchmarks.memory import looks, watch_training
from benchmarks.workers import ROOT

RUNS, ROWS, ITERATIONS = 10_000, 64_000, 5_000
NETWORKS = ("plain20", "plain32", "plain44", "plain56", "resnet20", "resnet32", "resnet44", "resnet56")
LIMITS = {"list": 10.0, "report": 10.0, "history": 0.1}  # seconds
HEADER = "iteration,learning_rate,train_error,train_cross_entropy,test_error,test_cross_entropy,images_per_second,"


def measure(options):
    """Yield the seconds of listing, reporting and reading, then the memory of a tiny training."""
    environment = records.environment()
    runs, rows, iterations = (16, 100, 20) if options.smoke else (RUNS, ROWS, ITERATIONS)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), runs)
        yield [_command(verb, folder, runs, environment) for verb in ("list", "report")]
        yield [_history(Path(folder), rows, environment)]
    yield [_memory(iterations, environment)]


def fill(root: Path, count: int) -> None:
    """Write runs as the trainer leaves them: one seed after the other of eight networks, at the shortest scale."""
    from types import SimpleNamespace

    from resnet_keras.training.recipe import preset
    from resnet_keras.training.run import Run

    identity = SimpleNamespace(name="shapes32", version="1", title="shapes32")
    for number in range(count):
        run = Run(NETWORKS[number % len(NETWORKS)], "shapes32", preset("smoke"), number // len(NETWORKS))
        folder = root / "runs" / run.name(identity)
        folder.mkdir(parents=True)
        history = rows_of(run.recipe.iterations, run.recipe.log_interval)
        summary = {
            "status": "finished", "iterations": run.recipe.iterations, "train_error": 10.0, "test_error": 20.0,
            "parameters": 269722, "hours": 0.25, "history_sha256": hashlib.sha256(history.encode()).hexdigest(),
        }  # fmt: skip
        (folder / "history.csv").write_text(history)
        for name, content in (("config", run.config(identity)), ("environment", {}), ("summary", summary)):
            (folder / f"{name}.json").write_text(json.dumps(content))


def rows_of(iterations: int, interval: int) -> str:
    """A history that falls from 90 to 10 and 20 percent, as text."""
    steps = range(interval, iterations + 1, interval)
    rows = (f"{s},0.1,{90 - 80 * s / iterations:.2f},0.5,{90 - 70 * s / iterations:.2f},0.5,800,{s}" for s in steps)
    return "\n".join([f"{HEADER}elapsed_seconds", *rows, ""])


def _command(verb: str, folder: str, runs: int, environment: dict) -> dict:
    """Seconds of a command, and those of its processor time: the fairer number where the machine is busy."""
    import resource

    used, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "resnet_keras", verb, "--results", folder]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    seconds, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return _row(f"{verb} of {runs:,} runs", environment, seconds, LIMITS[verb], processor)


def _history(root: Path, rows: int, environment: dict) -> dict:
    """The fastest of five readings, past the first, which imports pandas."""
    from resnet_keras.store import RunFolder

    folder = root / "long"
    folder.mkdir()
    (folder / "history.csv").write_text(rows_of(rows, 1))
    taken = []
    for _ in range(6):
        start, used = time.perf_counter(), time.process_time()
        assert len(RunFolder(folder).history) == rows
        taken.append((time.perf_counter() - start, time.process_time() - used))
    seconds, processor = min(taken[1:])
    return _row(f"history of {rows:,} rows", environment, seconds, LIMITS["history"], processor)


def _memory(iterations: int, environment: dict) -> dict:
    """How much a straight line through the memory of a tiny training rises over its last three quarters.

    It looks at the test error and saves a checkpoint a hundred times, since those could leave something behind.
    """
    import numpy as np

    often = max(1, iterations // 100)
    seen = watch_training("plain8", 500, iterations=iterations, batch_size=16, **looks(often))
    seconds, megabytes = np.array([point for point in seen if point[0] >= seen[-1][0] / 4]).T
    slope = np.polyfit(seconds, megabytes, 1)[0] if len(seconds) > 1 else 0.0
    growth = slope * (seconds[-1] - seconds[0])
    found = {"growth_mb": records.rounded(growth, 3), "growth_percent": records.rounded(100 * growth / megabytes[0], 3)}
    return _row(f"memory over {iterations:,} iterations", environment, seen[-1][0], **found)


def _row(what: str, environment: dict, seconds: float, limit="", processor=None, **more) -> dict:
    return {
        "what": what,
        "seconds": records.rounded(seconds, 3),
        "processor_seconds": "" if processor is None else records.rounded(processor, 3),
        "limit": limit,
        **more,
        **environment,
    }
