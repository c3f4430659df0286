"""Scaling on the cores of a CPU: one network over two devices, and two runs at a time, against twice the speed of one.

Each device, or each run, has one core to itself, so that what is measured is what sharing costs: the sums over devices,
and the caches and the memory that cores share.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import records

ROOT = Path(__file__).parents[1]
COUNTS = (1, 2)
# What is counted -> its title, the variables that each process of it gets, and whether one process holds all.
KINDS = {
    "devices": ("devices share each batch (JAX)", {"KERAS_BACKEND": "jax"}, True),
    "runs": ("runs at a time (TensorFlow)", {"KERAS_BACKEND": "tensorflow", "TF_NUM_INTRAOP_THREADS": "1"}, False),
}
NETWORK, BATCH, TURN, ROUNDS = "resnet8", 128, 4.0, 7  # TURN: seconds


def measure(options):
    """Yield the rows: images a second of each kind and count, and the efficiency against the ideal."""
    network, batch, turn, rounds = (NETWORK, BATCH, TURN, ROUNDS)
    if options.smoke:
        network, batch, turn, rounds = "plain8", 16, 0.01, 1
    counts = [count for count in COUNTS if count <= len(_cores())]
    with contextlib.ExitStack() as stack:
        teams = {
            (kind, count): [stack.enter_context(_child(kind, network, batch, cores)) for cores in _places(kind, count)]
            for kind in KINDS
            for count in counts
        }
        for children in teams.values():
            for child in children:
                _answer(child)  # it has compiled
        speeds = {key: [] for key in teams}
        for _ in range(rounds):
            for key, children in teams.items():
                for child in children:
                    child.stdin.write(f"{turn}\n")
                    child.stdin.flush()
                speeds[key].append(sum(_answer(child) for child in children))
    yield _rows(speeds, network, batch)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _places(kind: str, count: int) -> list[list[int]]:
    """The cores of each process: all in one, or one each."""
    cores = _cores()[:count]
    return [cores] if KINDS[kind][2] else [[core] for core in cores]


@contextlib.contextmanager
def _child(kind: str, network: str, batch: int, cores: list[int]):
    flags = f"--xla_force_host_platform_device_count={len(cores)}"
    command = [sys.executable, "-m", "benchmarks.scaling", network, str(batch), json.dumps(cores)]
    environment = {**os.environ, **KINDS[kind][1], "XLA_FLAGS": flags}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    child = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _answer(child) -> float:
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"{' '.join(child.args[1:])} ended early; run it by hand to see why")
    return float(line)


def _rows(speeds: dict, network: str, batch: int) -> list[dict]:
    environment, rows = records.environment(), []
    for (kind, count), values in speeds.items():
        # The ratio within a round, since the speed of a shared machine changes from round to round.
        ratios = [value / (count * one) for value, one in zip(values, speeds[kind, 1], strict=True)]
        found, efficiency = records.spread(values), records.spread(ratios)
        row = {"kind": kind, "count": count, "network": network, "batch_size": batch}
        row |= {"images_per_second": records.rounded(found["median"])}
        row |= {"efficiency": records.rounded(efficiency["median"], 3)}
        row |= {"lower_quartile": records.rounded(efficiency["low"], 3)}
        row |= {"upper_quartile": records.rounded(efficiency["high"], 3), "rounds": len(values)}
        rows.append({**row, **environment})
    return rows


def draw(path: Path) -> Path:
    """Draw speed against the count, beside the ideal, from the CSV, as PNG beside it; returns its path."""
    import matplotlib.style
    import seaborn
    from matplotlib.figure import Figure

    from resnet_keras.files import write_atomically
    from resnet_keras.report import figures

    rows = records.read(path)
    with matplotlib.style.context(["default", seaborn.axes_style("ticks"), figures.STYLE]):
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        axis = figure.add_subplot()
        counts = sorted({int(row["count"]) for row in rows})
        axis.plot(counts, counts, "--", color="#909090", linewidth=1, label="ideal")
        for hue, (kind, (title, *_)) in zip(figures.HUES, KINDS.items(), strict=False):
            points = [row for row in rows if row["kind"] == kind]
            x = [int(row["count"]) for row in points]
            low, median, high = (
                [n * float(row[column]) for n, row in zip(x, points, strict=True)]
                for column in ("lower_quartile", "efficiency", "upper_quartile")
            )
            ends = [np.subtract(median, low), np.subtract(high, median)]
            last = f"{title}: {float(points[-1]['efficiency']):.0%} efficient"
            axis.errorbar(x, median, yerr=ends, marker="o", markersize=4, capsize=2, color=hue, label=last)
        axis.set_xticks(counts)
        axis.set(xlabel="cores, each with a device or a run", ylabel="speed, in that of one")
        axis.set_title(f"Scaling of {rows[0]['network']}, {rows[0]['device']}", loc="left", fontsize=10)
        axis.legend(frameon=False, fontsize=8, loc="upper left")
        target = path.with_suffix(".png")
        write_atomically(target, figures.png(figure))
    return target


class _Steps:
    """A network over as many devices as JAX shows, or on TensorFlow; takes steps of one call each."""

    def __init__(self, network: str, batch: int, devices: int):
        from resnet_keras.quiet import load_keras

        load_keras()
        import resnet_keras
        from resnet_keras.training.devices import check_devices, data_parallel
        from resnet_keras.training.optimizer import SGD
        from resnet_keras.training.steps import engine

        layout = data_parallel(check_devices(devices, batch))
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (2000, 32, 32, 3)).astype(np.uint8), rng.integers(0, 10, 2000).astype(np.int32)
        with layout.scope() if layout else contextlib.nullcontext():
            built = resnet_keras.build(network)
            self.engine = engine(built, SGD(), *pictures, **({"layout": layout} if layout else {}))
        self.batch, self.done = batch, 0

    def take(self) -> None:
        from resnet_keras.data.augment import draw

        self.engine.train(draw(0, self.done, 1, self.batch, 2000), np.full(1, 0.1, np.float32))
        self.done += 1


def main(network: str, batch: str, cores: str) -> None:
    """One process: says 0 when it has compiled, then answers each number of seconds with images a second."""
    cores = json.loads(cores)
    os.sched_setaffinity(0, cores)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    jax = os.environ["KERAS_BACKEND"] == "jax"
    steps = _Steps(network, int(batch), len(cores) if jax else 1)
    steps.take()
    print(0.0, file=answers, flush=True)
    for line in sys.stdin:
        start, before = time.perf_counter(), steps.done
        while steps.done == before or time.perf_counter() - start < float(line):
            steps.take()
        print((steps.done - before) * int(batch) / (time.perf_counter() - start), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
