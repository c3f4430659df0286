"""`python -m benchmarks`: measure, print, and write one CSV each; see README.md beside this file."""

import argparse
import importlib
from pathlib import Path

import pandas

from benchmarks import page, records
from benchmarks.train_step import NETWORKS

BENCHMARKS = ("train_step", "startup", "evaluation", "imagenet_data")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options, which every benchmark's `measure` takes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, side by side with peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS, help="of train_step")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds that count (default: 5)")
    parser.add_argument("--torch-python", help="a Python that has PyTorch; default: this one, where it has")
    parser.add_argument("--photographs", type=Path, help="folder of JPEGs for imagenet_data; default: drawn ones")
    parser.add_argument("--output", type=Path, default=records.RESULTS, help="folder of the CSV files and the page")
    parser.add_argument("--smoke", action="store_true", help="one short round of a small network, and nothing written")
    options = parser.parse_args(arguments)
    if set(options.names) - set(BENCHMARKS) or options.rounds < 1:
        parser.error(f"names are some of {', '.join(BENCHMARKS)}, and --rounds a whole number, 1 or more")
    options.turn, options.batch_size = 2.5, 128  # seconds, images
    if options.smoke:
        options.networks, options.rounds, options.turn, options.batch_size = ["resnet8"], 1, 0.01, 16
    return options


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; see `--help`."""
    options = parse(arguments)
    for name in options.names or BENCHMARKS:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{name}: {module.__doc__.splitlines()[0]}", flush=True)
        for rows in module.measure(options):
            shown = [name for name in rows[0] if name not in records.ENVIRONMENT]
            print(pandas.DataFrame(rows)[shown].to_string(index=False, na_rep=""), flush=True)
            if not options.smoke:
                records.write(options.output / f"{name}.csv", rows)
                page.write(options.output, BENCHMARKS)


if __name__ == "__main__":
    main()
