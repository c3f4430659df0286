"""The numbers that ours stand beside: the paper's and other people's (`paper.csv`, `others.csv`), and benchmarks."""

from __future__ import annotations

import csv
import functools
import importlib.resources
import re

from resnet_keras.paths import checkout

FAMILY = re.compile(r"(cifar10|imagenet)(2012)?(_\w+)?")  # cifar10_jpeg and imagenet2012, but not cifar100
BOUNDS = {"above this": "> ", "below this": "< "}
WAYS = {"1_crop": "1", "10_crop": "10", "multi_scale": "multiscale"}  # of testing: in paper.csv, and as we name them


def rows_of(name: str) -> list[dict[str, str]]:
    """A CSV file of this package as a list of rows."""
    content = importlib.resources.files("resnet_keras.report").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(content.splitlines()))


def others():
    """Errors in percent of others' networks of 20 and 56 layers on the paper's schedule, as a DataFrame.

    Columns: source, kind ("plain" or "residual"), metric, iteration, error_20, error_56, note (where they come from).
    Training errors are of the phase at rate 0.1, test errors of the end.
    """
    import pandas

    with importlib.resources.files("resnet_keras.report").joinpath("others.csv").open(encoding="utf-8") as file:
        return pandas.read_csv(file)


def crossings() -> list[int]:
    """In each public log, the iteration at rate 0.1 after which ResNet-56 has the lower training error.

    Errors are means over five epochs; in ascending order.
    """
    table = others().query("kind == 'residual' and metric == 'train_error'").sort_values("iteration")
    ends = []
    for _, log in table.groupby("source"):
        gap = (log["error_56"] - log["error_20"]).rolling(5, center=True, min_periods=1).mean()
        ends.append(int(log["iteration"][gap < 0].min()))
    return sorted(ends)


def benchmark(name: str):
    """A CSV file of benchmarks/results as a DataFrame; None where there is none, as in an installed copy."""
    import pandas

    root = checkout()
    path = root / "benchmarks" / "results" / f"{name}.csv" if root else None
    return pandas.read_csv(path) if path and path.is_file() else None


def starts():
    """Gradients before training over many seeds (`benchmarks/start.py`), with the columns that claims need of a run."""
    import pandas

    table = benchmark("start")
    if table is None:
        return pandas.DataFrame()
    setting = {"data": "cifar10_jpeg", "data_title": "CIFAR-10 (JPEG)", "iterations": 0, "precision": "float32"}
    shortcut = table["network"].str.startswith("resnet").map({True: "A", False: "none"})
    return table.assign(shortcut=shortcut, recipe="", gradients_start=table["first"] / table["last"], **setting)


@functools.cache
def idle_speeds(precision: str = "bfloat16") -> tuple[str, dict[int, float]]:
    """The idle machine of the benchmark, and depth -> seconds an image that a residual network takes there."""
    table = benchmark("train_step")
    if table is None:
        return "", {}
    own = table[(table["contender"] == "resnet_keras") & (table["precision"] == precision)]
    own = own[own["network"].str.fullmatch(r"resnet\d+") & (own["device"] == own["device"].head(1).squeeze())]
    return own["device"].head(1).squeeze(), {
        int(row.network.removeprefix("resnet")): 1 / row.images_per_second for row in own.itertuples()
    }


def idle_hours(depth: int, iterations: int, batch_size: int = 128) -> float | None:
    """Hours that a CIFAR network of this depth takes on that machine; None beyond the depths that were measured.

    Between those, seconds an image are interpolated.
    """
    import numpy as np

    _, seconds = idle_speeds()
    if not seconds or not min(seconds) <= depth <= max(seconds):
        return None
    depths = sorted(seconds)
    return float(np.interp(depth, depths, [seconds[d] for d in depths])) * batch_size * iterations / 3600


def reproductions(networks: tuple[str, ...]) -> list[dict[str, str]]:
    """The paper and those who repeated it, a row each: their CIFAR-10 test errors of these networks, as text.

    Each row has the keys "who", "how reported" and the networks; empty where somebody has no number.
    """
    lines: dict[str, dict[str, str]] = {}
    for row in rows_of("paper.csv"):
        if row["data"] == "cifar10" and row["network"] in networks and row["metric"].startswith("test_error"):
            line = lines.setdefault(row["source"], dict.fromkeys(("who", "how reported", *networks), ""))
            repeats = f" (n = {row['n']})" if row["std"] and row["n"] else ""
            line["who"] = row["source"]
            line["how reported"] = line["how reported"] or row["reported"]
            line[row["network"]] = "; ".join(filter(None, [line[row["network"]], _printed(row) + repeats]))
    return list(lines.values())


@functools.cache
def numbers() -> dict[tuple[str, str, str, str], dict[str, str]]:
    """(data, network, shortcut, metric) -> the paper's own row."""
    keys = ("data", "network", "shortcut", "metric")
    return {tuple(row[key] for key in keys): row for row in rows_of("paper.csv") if row["source"] == "paper"}


def shown(data: str, network: str, shortcut: str, metric: str = "test_error") -> str:
    """The paper's number as text, such as 6.97 or ≈ 13.5; empty where it has none.

    `data` may be a re-encoded copy, such as cifar10_jpeg for cifar10.
    """
    match = FAMILY.fullmatch(data)
    keys = [(match[1] if match else "", network, shortcut, name) for name in (f"{metric}_mean", metric)]
    return next((_printed(numbers()[key]) for key in keys if key in numbers()), "")


def _printed(row: dict[str, str]) -> str:
    sign = BOUNDS.get(row["reported"], "≈ " if row["approximate"] == "yes" else "")
    return sign + row["value"] + (f" ± {row['std']}" if row["std"] else "")


def imagenet(place: str) -> list[dict[str, str]]:
    """A table of the paper, such as "Table 3": a row a network, with its printed errors in percent as text.

    Each row has the keys "network", "shortcut", "views", "top-1" and "top-5"; empty where none is printed there.
    """
    lines: dict[tuple, dict[str, str]] = {}
    for row in rows_of("paper.csv"):
        match = re.fullmatch(r"top([15])_error_(\w+)", row["metric"])
        if row["source"] == "paper" and row["place"] == place and match:
            key = (row["network"], row["shortcut"], WAYS[match[2]])
            line = lines.setdefault(key, dict(zip(("network", "shortcut", "views"), key, strict=True)))
            line[f"top-{match[1]}"] = row["value"]
    return [{"top-1": "", "top-5": "", **line} for line in lines.values()]
