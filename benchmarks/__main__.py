"""`python -m benchmarks`: measure training steps and write the CSV."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import train_step

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=train_step.__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet56", "resnet110"])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: 7)")
    parser.add_argument("--steps", type=int, default=10, help="steps of a contender in a round (default: 10)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--output", type=Path, default=RESULTS / "train_step.csv", help="where the CSV goes")
    parser.add_argument("--smoke", action="store_true", help="one short round of a small network, no CSV")
    given = parser.parse_args(arguments)
    if min(given.rounds, given.steps, given.batch_size) < 1:
        parser.error("--rounds, --steps and --batch-size are whole numbers, 1 or more")
    if given.smoke:
        given.networks, given.rounds, given.steps, given.batch_size, given.output = ["resnet8"], 1, 1, 16, None
    rows = train_step.measure(given.networks, given.rounds, given.steps, given.batch_size)
    print(train_step.text(rows))
    if given.output:
        train_step.write(rows, given.output)
        print(f"Written to {given.output}")


if __name__ == "__main__":
    main()
