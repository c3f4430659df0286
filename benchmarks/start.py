"""Gradients before training, over 20 seeds: `python -m benchmarks.start --data-dir FOLDER` (three minutes).

For each network and seed the norm of the gradient in the first convolution's kernel and in the last one's: whether
they vanish or explode at the start (Sec. 4.1 says that with BN they do neither) needs no training.
"""

import argparse
from pathlib import Path

import pandas

from resnet_keras.data import load
from resnet_keras.quiet import load_keras

TABLE = Path(__file__).parent / "results" / "start.csv"
SEEDS = 20
NETWORKS = ("plain20", "plain56", "resnet20", "resnet56")


def main() -> None:
    """Measure each network before training under each seed, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", help="where cifar10_jpeg lies")
    data = load("cifar10_jpeg", parser.parse_args().data_dir)
    load_keras()
    from resnet_keras.evaluation.inside import gradient_norms
    from resnet_keras.experiments.measurements import GRADIENT_BATCHES, GRADIENT_IMAGES
    from resnet_keras.models import build

    batches = (data.train.images[:GRADIENT_IMAGES], data.train.labels[:GRADIENT_IMAGES], GRADIENT_BATCHES)
    rows = []
    for name in NETWORKS:
        networks = [build(name, input_shape=data.shape, seed=seed) for seed in range(SEEDS)]
        networks[0].set_mean(data.mean())
        measure = gradient_norms(networks[0], *batches)  # compiled once
        for seed, network in enumerate(networks):
            for variable, value in zip(networks[0].trainable_variables, network.trainable_variables, strict=True):
                variable.assign(value)
            first, *_, last, _ = (row["gradient_norm"] for row in measure())
            rows.append({"network": name, "seed": seed, "first": first, "last": last})
            print(rows[-1], flush=True)
    pandas.DataFrame(rows).round(6).to_csv(TABLE, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
