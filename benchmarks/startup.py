"""How long until something happens: import, `--help`, and the first training step beside stock Keras'."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks import records
from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.workers import ROOT, Skipped, Worker

COMMANDS = {
    "python -c pass": (["-c", "pass"], ""),
    "import resnet_keras": (["-c", "import resnet_keras"], 0.5),
    "resnet-keras --help": (["-m", "resnet_keras", "--help"], 1.0),
    "resnet-keras doctor": (["-m", "resnet_keras", "doctor"], ""),
}
FIRST_STEPS = {"resnet20": "", "resnet110": 12.0}  # seconds at most, on two cores


def measure(options):
    """Yield rows of seconds, then those of first steps: building, tracing, compiling and one step."""
    environment = records.environment()
    times = {name: [] for name in COMMANDS}
    for number in range(options.rounds + 1):  # the first round fills the system's file cache
        for name, (arguments, _) in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)
            if number:
                times[name].append(time.perf_counter() - start)
    yield [_row(name, "", values, COMMANDS[name][1], environment) for name, values in times.items()]
    for network, limit in ({"resnet8": ""} if options.smoke else FIRST_STEPS).items():
        yield _first_steps(network, limit, min(3, options.rounds), environment)


def _first_steps(network: str, limit, rounds: int, environment: dict) -> list[dict]:
    """The first step in fresh processes, ours and stock Keras in turn, each in the precision that people get."""
    contenders = [c for c in CONTENDERS if c.best and c.name in (OURS, "Keras fit")]
    times = {c: {"build": [], "first_step": []} for c in range(len(contenders))}
    for _ in range(rounds):
        for index, contender in enumerate(contenders):
            try:
                with Worker(contender, network, 128) as worker:
                    for part, values in times[index].items():
                        values.append(worker.started[part])
            except Skipped as reason:
                print(f"without {contender.title}: {reason}")
    return [
        _row(f"{part.replace('_', ' ')} of {network}", contender.title, times[index][part],
             limit if part == "first_step" and contender.name == OURS else "", environment)
        for index, contender in enumerate(contenders) for part in times[index] if times[index][part]
    ]  # fmt: skip


def _row(what: str, contender: str, values: list[float], limit, environment: dict) -> dict:
    found = records.spread(values)
    return {
        "what": what,
        "contender": contender,
        "seconds": records.rounded(found["median"], 3),
        "lower_quartile": records.rounded(found["low"], 3),
        "upper_quartile": records.rounded(found["high"], 3),
        "limit": limit,
        "rounds": len(values),
        **environment,
    }
