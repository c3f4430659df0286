"""Training on an accelerator with JAX beside PyTorch's compiled twin, and what Python adds to a step.

`benchmarks/gpu.sh` makes what it needs and calls it. The pictures lie on the device as uint8, are cropped and flipped
inside the compiled step, and a call takes many steps.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time
from pathlib import Path

from benchmarks import records, train_step
from benchmarks.contenders import CONTENDERS, OURS

NETWORKS = ("resnet20", "resnet56", "resnet110")
DEPTHS = (20, 32, 44, 56, 110)  # those of the paper's Table 6 but the deepest
ITERATIONS = 64_000
AT_MOST = {"python_percent": 5.0, "minutes_resnet20": 4.0, "minutes_all": 45.0}
AT_LEAST = {"faster_than_pytorch": 1.5}


@dataclasses.dataclass(frozen=True)
class Options:
    """What `train_step` reads of the command line, and the seconds after which no further network is begun."""

    batch_size: int
    rounds: int
    turn: float
    torch_python: str | None
    seconds: float
    per_call: int


def measure(networks, options: Options):
    """Yield the rows of one network after the other, as long as there is time."""
    start = time.perf_counter()
    for network in networks:
        if time.perf_counter() - start > options.seconds:
            print(f"{network}: left out, {options.seconds:g} s are over", flush=True)
            continue
        yield [{**row, **records.environment()} for row in _network(network, options)]


def _network(network: str, options: Options) -> list[dict]:
    contenders = [c for c in CONTENDERS if c.best and c.name in (OURS, "PyTorch compiled")]
    contenders[0] = dataclasses.replace(contenders[0], options={"per_call": options.per_call})
    with contextlib.ExitStack() as stack:
        workers, skipped = train_step.start(stack, network, contenders, options)
        times = train_step.take_turns(workers, options.rounds, options.turn)
        rows = train_step.rows_of(network, workers, times, options)
        for worker, row in zip(workers, rows, strict=True):
            row["minutes_of_64000"] = records.rounded(
                ITERATIONS * options.batch_size / row["images_per_second"] / 60, 3
            )
            if worker.contender.name == OURS:
                share = worker.call("python_share", max(3, options.rounds))
                row["python_percent"] = records.rounded(100 * share, 3)
    return rows + skipped


def verdicts(rows: list[dict]) -> list[dict]:
    """Each target with what was measured; nothing for what was not."""
    ours = {row["network"]: row for row in rows if row["contender"] == OURS and row.get("images_per_second")}
    theirs = [float(r["ours_faster"]) for r in rows if r["contender"] == "PyTorch compiled" and r.get("ours_faster")]
    minutes = {int(name.removeprefix("resnet")): float(row["minutes_of_64000"]) for name, row in ours.items()}
    found = {
        "python_percent": max((float(row["python_percent"]) for row in ours.values()), default=None),
        "minutes_resnet20": minutes.get(20),
        "minutes_all": _all_depths(minutes),
        "faster_than_pytorch": min(theirs, default=None),
    }
    return [
        {
            "what": name,
            "measured": found[name],
            "limit": limit,
            "met": found[name] >= limit if name in AT_LEAST else found[name] <= limit,
        }
        for name, limit in {**AT_MOST, **AT_LEAST}.items()
        if found[name] is not None
    ]


def _all_depths(minutes: dict[int, float]) -> float | None:
    """Minutes of all of the paper's depths; those between two that were measured lie on the line through them."""
    import numpy as np

    if not minutes or min(minutes) > min(DEPTHS) or max(minutes) < max(DEPTHS):
        return None
    known = sorted(minutes)
    return records.rounded(sum(float(np.interp(d, known, [minutes[k] for k in known])) for d in DEPTHS), 3)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write `gpu.csv` after every network."""
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds that count (default: 5)")
    parser.add_argument("--turn", type=float, default=2.0, help="seconds of a contender's turn (default: 2)")
    parser.add_argument("--seconds", type=float, default=300, help="begin no further network after this (default: 300)")
    parser.add_argument("--torch-python", help="a Python that has PyTorch; default: this one, where it has")
    parser.add_argument("--resume", action="store_true", help="keep what gpu.csv has of the last six hours")
    parser.add_argument("--output", type=Path, default=records.RESULTS, help="folder of gpu.csv")
    parser.add_argument("--smoke", action="store_true", help="tiny lengths, on whatever device there is")
    given = parser.parse_args(arguments)
    options = Options(128, given.rounds, given.turn, given.torch_python, given.seconds, 0)
    networks, path = given.networks, given.output / "gpu.csv"
    if given.smoke:
        options = dataclasses.replace(options, batch_size=16, rounds=1, turn=0.01, per_call=4)
        networks = ["resnet8"]
    young = [row for row in records.read(path) if records.age_hours(row) < records.FRESH_HOURS]
    rows = young if given.resume else []
    done = {row["network"] for row in rows}
    for part in measure([name for name in networks if name not in done], options):
        print(records.text(part), flush=True)
        rows += part
        records.write(path, rows)
    print(records.text(verdicts(rows)) if rows else "nothing measured", flush=True)
    print(f"Written to {path.name}")


if __name__ == "__main__":
    main()
