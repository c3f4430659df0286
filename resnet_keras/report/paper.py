"""The numbers that ours stand beside: the paper's and other people's (`paper.csv`, `others.csv`), and benchmarks."""

import csv
import functools
import importlib.resources
import re

import pandas

from resnet_keras.files import checkout
from resnet_keras.report.style import network_title

WAYS = {"1_crop": "1", "10_crop": "10", "multi_scale": "multiscale"}  # of testing: in paper.csv, and as we name them


def resource(name: str) -> str:
    """The text of a file of this package."""
    return importlib.resources.files("resnet_keras.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def rows_of(name: str) -> list[dict[str, str]]:
    """A CSV file of this package as a list of rows."""
    return list(csv.DictReader(resource(name).splitlines()))


def others():
    """Others' errors in percent at 20 and 56 layers on the paper's schedule; their gap is a mean over five epochs."""
    numbers = {"iteration": int, "error_20": float, "error_56": float}
    table = pandas.DataFrame(rows_of("others.csv")).astype(numbers).sort_values("iteration", kind="stable")
    groups = (table["error_56"] - table["error_20"]).groupby([table[name] for name in ("source", "kind", "metric")])
    return table.assign(gap=groups.transform(lambda gap: gap.rolling(5, center=True, min_periods=1).mean()))


def crossings() -> list[int]:
    """In each public log, the iteration at rate 0.1 after which ResNet-56 has the lower training error; ascending."""
    behind = others().query("kind == 'residual' and metric == 'train_error' and gap < 0")
    return sorted(behind.groupby("source")["iteration"].min())


def benchmark(name: str):
    """A CSV file of benchmarks/results as a DataFrame; empty where there is none, as in an installed copy."""
    file = (checkout() or importlib.resources.files("resnet_keras")) / "benchmarks" / "results" / f"{name}.csv"
    return pandas.read_csv(file) if file.is_file() else pandas.DataFrame()


def starts():
    """Gradients before training over many seeds (`benchmarks/start.py`), with the columns that claims need of a run."""
    table = benchmark("start")
    if len(table):
        table["gradients_start"] = table["first"] / table["last"]
        table["shortcut"] = table["network"].str.startswith("resnet").map({True: "A", False: "none"})
    return table.assign(recipe="", data="cifar10_jpeg", data_title="CIFAR-10 (JPEG)", iterations=0, precision="float32")


@functools.cache
def idle_hours() -> tuple[str, dict[int, float]]:
    """The idle machine of the benchmark, and depth -> hours of 1,000 iterations of a residual network in bfloat16."""
    table = benchmark("train_step")
    if not len(table):
        return "", {}
    own = table[(table["contender"] == "resnet_keras") & (table["precision"] == "bfloat16")]
    own = own[own["network"].str.fullmatch(r"resnet\d+") & (own["class"] == own["class"].iloc[0])]
    hours = 1000 * 128 / own["images_per_second"] / 3600
    return own["device"].iloc[0], dict(zip(own["network"].str[6:].astype(int), hours, strict=True))


def reproduction_rows(networks: tuple[str, ...]) -> tuple[list[str], list[list[str]]]:
    """The paper and those who repeated it, a row each: CIFAR-10 test errors of these networks; (headers, rows)."""
    lines = {}
    for row in rows_of("paper.csv"):
        if row["data"] == "cifar10" and row["network"] in networks and row["metric"].startswith("test_error"):
            line = lines.setdefault(row["source"], dict.fromkeys(["how reported", *networks], ""))
            repeats = f" (n = {row['n']})" if row["std"] and row["n"] else ""
            line["how reported"] = line["how reported"] or row["reported"]
            line[row["network"]] = "; ".join(filter(None, [line[row["network"]], _printed(row) + repeats]))
    headers = ["who", "how reported", *map(network_title, networks)]
    return headers, [[who, *line.values()] for who, line in lines.items()]


def shown(data: str, network: str, shortcut: str) -> str:
    """The paper's test error on CIFAR-10, or a copy of it, as text: 6.97 or ≈ 13.5; empty where it has none."""
    if not re.fullmatch(r"cifar10(_\w+)?", data):
        return ""
    key = ("paper", "cifar10", network, shortcut)
    own = [row for row in rows_of("paper.csv") if (row["source"], row["data"], row["network"], row["shortcut"]) == key]
    texts = {row["metric"]: _printed(row) for row in own}
    return texts.get("test_error_mean") or texts.get("test_error", "")


def _printed(row: dict[str, str]) -> str:
    sign = "> " if row["reported"] == "above this" else "≈ " if row["approximate"] == "yes" else ""
    return sign + row["value"] + (f" ± {row['std']}" if row["std"] else "")


def imagenet(place: str) -> dict[tuple[str, str, str], dict[str, str]]:
    """(Network, shortcut, views) -> {"top1": "24.52", ...}: the errors in percent of a table such as "Table 3"."""
    lines = {}
    for row in rows_of("paper.csv"):
        match = re.fullmatch(r"(top[15])_error_(\w+)", row["metric"])
        if row["source"] == "paper" and row["place"] == place and match:
            lines.setdefault((row["network"], row["shortcut"], WAYS[match[2]]), {})[match[1]] = row["value"]
    return lines
