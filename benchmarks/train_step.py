"""Training speed of ours and of stock Keras, interleaved A B A B, medians and ratios.

Interleaving matters: the speed of a shared machine changes from minute to minute, a ratio within one round does not.
"""

from __future__ import annotations

import csv
import io
import statistics
from pathlib import Path

from benchmarks.contenders import CONTENDERS

COLUMNS = (
    "network", "precision", "contender", "images_per_second", "slowest", "fastest", "ours_is_faster_by",
    "first_step_seconds", "batch_size", "steps", "rounds", "backend", "device", "keras", "tensorflow", "commit",
)  # fmt: skip
PRECISIONS = ("bfloat16", "float32")


def measure(networks: list[str], rounds: int, steps: int, batch_size: int) -> list[dict]:
    """A row per network, precision and contender.

    Args:
        networks: Residual CIFAR networks, such as "resnet20".
        rounds: Every contender takes its turn once a round; the first round is a warm-up and not counted.
        steps: Steps of a turn.
        batch_size: Images a step.
    """
    from resnet_keras.quiet import load_keras

    load_keras()
    rows = []
    for network in networks:
        makers = {(name, precision): kind for precision in PRECISIONS for name, kind in CONTENDERS.items()}
        runners, first = {}, {}
        for (name, precision), kind in makers.items():
            runners[name, precision] = kind(network, precision, batch_size)
            first[name, precision] = runners[name, precision].steps(1)
        times = {key: [] for key in runners}
        for number in range(rounds + 1):
            for key, runner in runners.items():
                seconds = runner.steps(steps)
                if number:
                    times[key].append(seconds / steps)
        rows += _rows(network, times, first, rounds, steps, batch_size)
    return rows


def _rows(network, times, first, rounds, steps, batch_size) -> list[dict]:
    from resnet_keras.training.environment import describe

    here = describe()
    rows = []
    for (name, precision), seconds in times.items():
        # The ratio of two neighbours in a round, then the median over the rounds.
        ratios = [theirs / ours for theirs, ours in zip(seconds, times["ours", precision], strict=True)]
        row = {
            "network": network,
            "precision": precision,
            "contender": name,
            "images_per_second": round(batch_size / statistics.median(seconds), 1),
            "slowest": round(batch_size / max(seconds), 1),
            "fastest": round(batch_size / min(seconds), 1),
            "ours_is_faster_by": round(statistics.median(ratios), 2),
            "first_step_seconds": round(first[name, precision], 1),
            "batch_size": batch_size,
            "steps": steps,
            "rounds": rounds,
            "backend": here["backend"],
            "device": here["device"],
            "keras": here["packages"].get("keras"),
            "tensorflow": here["packages"].get("tensorflow"),
            "commit": (here["commit"] or "")[:8],
        }
        rows.append(row)
    return rows


def text(rows: list[dict]) -> str:
    """The rows for a terminal."""
    import pandas

    shown = pandas.DataFrame(rows)[list(COLUMNS[:8])]
    return f"{rows[0]['device']}, {rows[0]['backend']}\n{shown.to_string(index=False)}"


def write(rows: list[dict], path: Path) -> None:
    """Write the rows as CSV."""
    from resnet_keras.files import write_atomically

    content = io.StringIO()
    table = csv.DictWriter(content, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, content.getvalue())
