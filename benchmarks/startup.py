"""How long until something happens, and at what memory: commands, a training, first steps beside stock Keras'."""

import contextlib
import json
import shlex
import shutil
import subprocess
import sys
import tempfile

from benchmarks import records
from benchmarks.contenders import OURS, contenders
from benchmarks.worker import ROOT, Worker

COMMANDS = {  # Python's arguments -> seconds at most on two cores, or None; {} is a copy of results/
    "-c pass": None,
    "-c 'import resnet_keras'": 0.5,
    "-m resnet_keras --help": 1.0,
    "-m resnet_keras doctor": None,
    "-m resnet_keras list": 10.0,
    "-m resnet_keras report --results {}": 60.0,
}
TRAINING = "-m resnet_keras train resnet20 --data shapes16 --scale smoke --iterations 60 --results {}"
PEAK_MB = 2500  # of the training, at most
# A small process starts the command, since a process inherits the peak memory of the one that starts it.
TIMER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
seconds, children = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([seconds, children.ru_maxrss / 1024]))
"""
FIRST_STEPS = {"resnet20": None, "resnet110": 12.0}  # seconds at most on two cores


def measure(options):
    """Yield rows of commands and of a training, then those of first steps, with building, tracing and compiling."""
    environment = records.environment()
    with tempfile.TemporaryDirectory() as folder:
        results = f"{folder}/results"
        shutil.copytree(ROOT / "results", results)
        ways = {command: lambda command=command: timed(command, results) for command in COMMANDS}
        used = records.interleaved(ways, options.rounds)  # the warm-up fills the system's file cache
        rows = [row(command, values, at_most=COMMANDS[command]) for command, values in used.items()]
        used = timed(TRAINING, f"{folder}/new")
    rows.append(row(TRAINING, [used]) | {"target": f"{records.judged(used[1], at_most=PEAK_MB)} MB"})
    yield [values | environment for values in rows]
    for network, limit in ({"resnet8": None} if options.smoke else FIRST_STEPS).items():
        yield [values | environment for values in first_steps(network, limit, min(3, options.rounds))]


def timed(command: str, folder: str) -> tuple[float, float]:
    """Seconds and peak memory (MB) of a command."""
    arguments = [sys.executable, *shlex.split(command.format(folder))]
    asked = subprocess.run([sys.executable, "-c", TIMER, *arguments], cwd=ROOT, capture_output=True, check=True)
    return tuple(json.loads(asked.stdout))


def row(what: str, used: list[tuple], at_most: float | None = None, network: str = "") -> dict:
    """Columns of seconds and peak memory; `used` are pairs of them."""
    seconds, megabytes = zip(*used, strict=True)
    spread = records.spread("seconds", list(seconds))
    target = records.judged(spread["seconds"], at_most=at_most)
    return {"network": network, "what": what, **spread, "peak_mb": round(max(megabytes)) or "", "target": target}


def first_steps(network: str, limit: float | None, rounds: int) -> list[dict]:
    """Rows of the first step in fresh processes: ours in the device's precision and stock Keras in float32, in turn."""
    from resnet_keras.training import device

    ours, *others = contenders(device.settings().precision)
    stock = next(c for c in others if c.name == "Keras fit" and c.precision == "float32")
    started = [(ours, []), (stock, [])]
    for _ in range(rounds):
        for contender, parts in started:
            with contextlib.closing(Worker(contender, network, 128)) as worker:
                parts.append(worker.started)
    return [
        row(f"{part}, {contender.title}", [(values[part], 0) for values in parts],
            limit if part == "first_step" and contender.name == OURS else None, network)
        for contender, parts in started for part in ("build", "first_step")
    ]  # fmt: skip
