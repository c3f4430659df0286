"""`python -m benchmarks`: measure, print, and write one CSV each; see README.md beside this file."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from pathlib import Path

from benchmarks import figure, page, records, train_step

BENCHMARKS = ("train_step", "profile", "startup", "evaluation", "data", "memory", "imagenet_data", "scaling", "load")


@dataclasses.dataclass(frozen=True)
class Options:
    """What benchmarks read of the command line; see its help."""

    smoke: bool
    networks: dict
    rounds: int
    turn: float
    batch_size: int
    torch_python: str | None
    photographs: Path | None = None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, side by side with peers.")
    made.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}; default: all")
    made.add_argument("--networks", nargs="+", default=list(train_step.NETWORKS), help="of train_step")
    made.add_argument("--rounds", type=int, default=5, help="interleaved rounds that count (default: 5)")
    made.add_argument("--turn", type=float, default=2.5, help="seconds of a contender's turn in train_step")
    made.add_argument("--batch-size", type=int, default=128, help="of train_step")
    made.add_argument("--torch-python", help="a Python that has PyTorch; default: this one, where it has")
    made.add_argument("--photographs", type=Path, help="folder of JPEGs for imagenet_data; default: drawn ones")
    made.add_argument("--resume", action="store_true", help="leave out what was measured in the last six hours")
    made.add_argument("--output", type=Path, default=records.RESULTS, help="folder of the CSV files and the figure")
    made.add_argument("--smoke", action="store_true", help="one short round of a small network, and nothing written")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; see `--help`."""
    command = parser()
    given = command.parse_args(arguments)
    unknown = set(given.names) - set(BENCHMARKS) | set(given.networks) - set(train_step.NETWORKS)
    if unknown:
        command.error(f"unknown: {', '.join(sorted(unknown))}; see --help, and train_step.NETWORKS for networks")
    if min(given.rounds, given.batch_size) < 1 or given.turn <= 0:
        command.error("--rounds and --batch-size are whole numbers, 1 or more, and --turn is above 0")
    networks = {name: train_step.NETWORKS[name] for name in given.networks}
    options = Options(given.smoke, networks, given.rounds, given.turn, given.batch_size, given.torch_python)
    options = dataclasses.replace(options, photographs=given.photographs)
    if given.smoke:
        options = dataclasses.replace(options, networks=train_step.SMOKE, rounds=1, turn=0.01, batch_size=16)
    for name in given.names or BENCHMARKS:
        run(name, options, None if given.smoke else given.output, given.resume)
        if not given.smoke:
            page.write(given.output, (*BENCHMARKS, "gpu"))


def run(name: str, options: Options, folder: Path | None, resume: bool) -> None:
    """Measure one benchmark and, where there is a folder, write its CSV: that of `train_step` network by network."""
    module = importlib.import_module(f"benchmarks.{name}")
    path = folder / f"{name}.csv" if folder else None
    before = records.read(path) if path else []
    if resume:
        fresh = {row.get("network") for row in before if records.age_hours(row) < records.FRESH_HOURS}
        options = dataclasses.replace(options, networks={k: v for k, v in options.networks.items() if k not in fresh})
        if fresh and (name != "train_step" or not options.networks):
            print(f"{name}: measured in the last {records.FRESH_HOURS:g} hours already")
            return
    print(f"\n{name}: {module.__doc__.splitlines()[0]}", flush=True)
    rows = []
    for part in module.measure(options):
        print(records.text(part), flush=True)
        rows += part
        if path and name == "train_step":
            measured = {row["network"] for row in rows}
            records.write(path, [row for row in before if row["network"] not in measured] + rows)
            figure.draw(path)
    if path and rows and name != "train_step":
        records.write(path, rows)
        if hasattr(module, "draw"):
            module.draw(path)


if __name__ == "__main__":
    main()
