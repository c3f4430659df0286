"""Single numbers made of a measurement: what tables show of it, and what claims compare."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Number:
    """A number made of a measurement.

    Attributes:
        heading: What stands over its column.
        words: What a sentence calls it.
        unit: Its unit, with a space before it.
        of: (measurement as a DataFrame) -> the number.
    """

    heading: str
    words: str
    of: Callable
    unit: str = ""


def spread_of_gradient(when: str, with_kernel: bool = False) -> Callable:
    """Gradient norm of the first layer over that of the last 3x3 layer, at the first or last iteration measured.

    Args:
        when: "min" or "max", of the iteration.
        with_kernel: Take each norm times that of its kernel. Under BN a kernel's scale changes nothing but its
            own gradient, which shrinks as the kernel grows; the product is free of that.
    """

    def of(table) -> float:
        rows = table[table["iteration"] == getattr(table["iteration"], when)()].sort_values("layer")
        values = rows["gradient_norm"] * (rows["weight_norm"] if with_kernel else 1.0)
        first, last = values.iloc[0], values.iloc[-2]  # after these comes the classifier
        return float(first / last) if last else math.nan  # a dead network has no gradient at all

    return of


def error_after(lesion: str) -> Callable:
    """Median error over all lesions of this kind."""
    return lambda table: float(table[table["lesion"] == lesion]["error"].median())


def error_added(table) -> float:
    """What leaving out one block adds to the error, in the median."""
    return error_after("delete")(table) - error_after("none")(table)


def error_in(views: str, error: str) -> Callable:
    """Top-1 or top-5 error in one way of testing."""
    return lambda table: float(table[table["views"].astype(str) == views][error].iloc[0])


# Measurement -> name -> number. Claims call them by both, as in responses.std.
NUMBERS = {
    "responses": {
        "std": Number(
            "Mean std of a response", "mean standard deviation of its layers' responses", lambda t: t["std"].mean()
        ),
        "median": Number(
            "Median std", "median standard deviation of its layers' responses", lambda t: t["std"].median()
        ),
    },
    "gradients": {
        "start": Number(
            "First layer's gradient over the last's: before training",
            "ratio of the first layer's gradient to the last 3x3 layer's before training",
            spread_of_gradient("min"),
        ),
        "end": Number("at the end", "ratio of the first layer's gradient to the last's", spread_of_gradient("max")),
        "end_scaled": Number(
            "at the end, times the kernel's norm",
            "ratio of the first layer's gradient to the last's at the end, each times its kernel's norm",
            spread_of_gradient("max", with_kernel=True),
        ),
    },
    "lesion": {
        "whole": Number("Error of the whole network, %", "error", error_after("none"), " %"),
        "deleted": Number("Without one block (median), %", "error without one block", error_after("delete"), " %"),
        "added": Number("Added by that, points", "rise of its error when it loses a block", error_added, " points"),
        "swapped": Number("Two blocks swapped (median), %", "error with two blocks swapped", error_after("swap"), " %"),
    },
    "start": {},
    "surface": {},
    "views": {
        f"top{k}_{mode}": Number(f"Top-{k}, {how}, %", f"top-{k} error, {how}", error_in(mode, f"top{k}_error"), " %")
        for mode, how in (("1", "centre crop"), ("10", "10 crops"), ("multiscale", "multi-scale"))
        for k in (1, 5)
    },
}


def number(folder, name: str) -> float | None:
    """A number such as responses.std of a run; None where it has not been measured or makes no number.

    Args:
        folder: A `resnet_keras.store.RunFolder`.
        name: Measurement and number, with a dot between.
    """
    measurement, _, which = name.partition(".")
    wanted = NUMBERS.get(measurement, {}).get(which)
    table = folder.measurement(measurement) if wanted else None
    if table is None:
        return None
    try:
        value = float(wanted.of(table))
    except (KeyError, IndexError, TypeError, ValueError):  # a file of another making
        return None
    return value if math.isfinite(value) else None
