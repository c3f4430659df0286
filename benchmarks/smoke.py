"""What `make reproduce` ends with under other seeds, precisions and threads: `python -m benchmarks.smoke [--seeds 5]`.

Not a measurement of speed but of the demonstration: each call adds rows to `benchmarks/results/smoke.csv`, with the
threads (`TF_NUM_INTRAOP_THREADS`) and oneDNN (`TF_ENABLE_ONEDNN_OPTS`) that the environment asks for. Rows without
`wall_seconds` were made beside other work.
"""

import argparse
import tempfile
from pathlib import Path

import pandas

from resnet_keras import quiet
from resnet_keras.data import load
from resnet_keras.experiments.catalogue import experiment
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.trainer import train

TABLE = Path(__file__).parent / "results" / "smoke.csv"


def main() -> None:
    """Train the degradation experiment's networks at smoke scale, and add a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    quiet.load_keras()
    data = load("shapes16")
    for run in experiment("degradation").runs("smoke", seeds=options.seeds, precision=options.precision):
        with tempfile.TemporaryDirectory() as folder:
            summary = train(run, store=Store(folder), dataset=data).summary
        row = {
            "network": run.network,
            "seed": run.seed,
            "precision": options.precision,
            "threads": quiet.cores(),
            "onednn": quiet.onednn(),
            "device": device.name(),
            "class": device.kind(),
            **{key: summary[key] for key in ("iterations", "train_error", "test_error", "wall_seconds")},
        }
        rows = [*(pandas.read_csv(TABLE).to_dict("records") if TABLE.is_file() else []), row]
        pandas.DataFrame(rows).to_csv(TABLE, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
