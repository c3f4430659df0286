"""The numbers that ours stand beside: the paper's, and those of others who repeated it (`paper.csv`)."""

from __future__ import annotations

import csv
import functools
import importlib.resources
import re

FAMILY = re.compile(r"(cifar10|imagenet)(2012)?(_\w+)?")  # cifar10_jpeg and imagenet2012, but not cifar100


def rows_of(name: str) -> list[dict[str, str]]:
    """A CSV file of this package as a list of rows."""
    text = importlib.resources.files("resnet_keras.report").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def reproductions(networks: tuple[str, ...]) -> list[dict[str, str]]:
    """The paper and those who repeated it, a row each: their CIFAR-10 test errors of these networks, as text.

    Each row has the keys "who", "how reported" and the networks; empty where somebody has no number.
    """
    found: dict[str, dict[str, str]] = {}
    for row in rows_of("paper.csv"):
        if row["data"] != "cifar10" or row["network"] not in networks:
            continue
        if not row["metric"].startswith("test_error"):
            continue
        line = found.setdefault(row["source"], dict.fromkeys(("who", "how reported", *networks), ""))
        sign = {"above this": "> ", "below this": "< "}.get(
            row["reported"], "≈ " if row["approximate"] == "yes" else ""
        )
        spread = f" ± {row['std']}" if row["std"] else ""
        spread += f" (n = {row['n']})" if spread and row["n"] else ""
        line["who"] = row["source"]
        line["how reported"] = line["how reported"] or row["reported"]
        line[row["network"]] = "; ".join(filter(None, [line[row["network"]], f"{sign}{row['value']}{spread}"]))
    return list(found.values())


@functools.cache
def numbers() -> dict[tuple[str, str, str, str], dict[str, str]]:
    """(data, network, shortcut, metric) -> the paper's own row."""
    keys = ("data", "network", "shortcut", "metric")
    own = [row for row in rows_of("paper.csv") if row["source"] == "paper"]
    return {tuple(row[key] for key in keys): row for row in own}


def shown(data: str, network: str, shortcut: str, metric: str = "test_error") -> str:
    """The paper's number as text, such as 6.97 or ≈ 13.5; empty where it has none.

    `data` may be a re-encoded copy, such as cifar10_jpeg for cifar10.
    """
    match = FAMILY.fullmatch(data)
    family = match[1] if match else ""
    row = numbers().get((family, network, shortcut, f"{metric}_mean")) or numbers().get(
        (family, network, shortcut, metric)
    )
    if row is None:
        return ""
    bound = {"above this": "> ", "below this": "< "}.get(row["reported"])
    sign = bound or ("≈ " if row["approximate"] == "yes" else "")
    return sign + row["value"] + (f" ± {row['std']}" if row["std"] else "")


WAYS = {"1_crop": "1", "10_crop": "10", "multi_scale": "multiscale"}  # of testing: in paper.csv, and as we name them


def imagenet(place: str) -> list[dict[str, str]]:
    """A table of the paper, such as "Table 3": a row a network, with its printed errors in percent as text.

    Each row has the keys "network", "shortcut", "views", "top-1" and "top-5"; empty where none is printed there.
    """
    found: dict[tuple, dict[str, str]] = {}
    for row in rows_of("paper.csv"):
        match = re.fullmatch(r"top([15])_error_(\w+)", row["metric"])
        if row["source"] == "paper" and row["place"] == place and match:
            key = (row["network"], row["shortcut"], WAYS[match[2]])
            line = found.setdefault(key, dict(zip(("network", "shortcut", "views"), key, strict=True)))
            line[f"top-{match[1]}"] = row["value"]
    return [{"top-1": "", "top-5": "", **line} for line in found.values()]
