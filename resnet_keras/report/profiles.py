"""What the figures of measurements draw: a number along the depth of each network, as in the paper's Fig. 7."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from resnet_keras.errors import UserError
from resnet_keras.report.curves import DEPTH_HUES, Arrangement
from resnet_keras.report.selection import Group


@dataclasses.dataclass(frozen=True)
class Profile:
    """How a measurement is drawn.

    Attributes:
        along: What stands along the x axis.
        measured: What stands along the y axis, with its unit.
        panels: Heading -> (measurement as a DataFrame -> float [points, 2]).
        logarithmic: Whether the y axis is.
    """

    along: str
    measured: str
    panels: dict[str, Callable]
    logarithmic: bool = False


@dataclasses.dataclass(frozen=True)
class Line:
    """One network in one panel: its name, hue, dashes' name, and an array [points, 2] for each seed."""

    label: str
    hue: int
    dashes: str
    seeds: tuple


def in_order(x: str, y: str, **where) -> Callable:
    """The rows that have these values, as points."""

    def points(table):
        for column, value in where.items():
            table = table[table[column] == (getattr(table[column], value)() if value in ("min", "max") else value)]
        return table[[x, y]].to_numpy(float)

    return points


def with_kernel(points: Callable) -> Callable:
    """The same of a table that has a column "scaled" too: the gradient's norm times its kernel's.

    Under BN a kernel's scale changes nothing but its own gradient; the product is free of that.
    """
    return lambda table: points(table.assign(scaled=table["gradient_norm"] * table["weight_norm"]))


def by_size(y: str) -> Callable:
    """The column from its largest value to its smallest, over 1, 2, 3 ..."""

    def points(table):
        import numpy as np

        values = np.sort(table[y].to_numpy(float))[::-1]
        return np.column_stack([np.arange(1, len(values) + 1), values])

    return points


PROFILES = {
    "responses": Profile(
        along="3x3 layer",
        measured="std of the response",
        panels={"In the order of the data": in_order("layer", "std"), "From large to small": by_size("std")},
        logarithmic=True,
    ),
    "gradients": Profile(
        along="layer",
        measured="norm of the gradient",
        panels={
            "Before training": in_order("layer", "gradient_norm", iteration="min"),
            "After 16 iterations": in_order("layer", "gradient_norm", iteration=16),
            "At the end": in_order("layer", "gradient_norm", iteration="max"),
            "At the end, times the norm of the kernel": with_kernel(in_order("layer", "scaled", iteration="max")),
        },
        logarithmic=True,
    ),
    "lesion": Profile(
        along="block",
        measured="test error (%)",
        panels={
            "One block left out": in_order("block", "error", lesion="delete"),
            "Two neighbours swapped": in_order("block", "error", lesion="swap"),
        },
    ),
}
# (kind, whether its recipe differs from the scale's) -> how its line is drawn.
DASHES = {
    ("plain", False): "dashed",
    ("resnet", False): "solid",
    ("plain", True): "dotted",
    ("resnet", True): "dashdot",
}


def lines(groups: list[Group], arrangement: Arrangement, measurement: str) -> list[list[Line]]:
    """For each panel of the measurement's profile, a line for each row.

    Raises:
        UserError: A measurement lacks a column.
    """
    return [
        [_line(group, arrangement, measurement, points) for group in groups]
        for points in PROFILES[measurement].panels.values()
    ]


def _line(group: Group, arrangement: Arrangement, measurement: str, points: Callable) -> Line:
    row = group.row
    tables = [record.folder.measurement(measurement) for record in group.records]
    try:
        seeds = tuple(points(table) for table in tables)
    except (KeyError, ValueError) as error:
        raise UserError(f"a {measurement}.csv of {arrangement.title(row)} cannot be used ({error}).") from None
    dashes = DASHES.get((row.kind, bool(row.recipe)), "solid")
    return Line(arrangement.title(row), DEPTH_HUES.get(row.depth, row.depth), dashes, seeds)
