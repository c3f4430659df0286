"""`results/README.md`: every CSV beside it as a table, with the machine and the date, and which targets are met."""

from __future__ import annotations

import importlib
import operator
from pathlib import Path

from benchmarks import records

# Ratio of the medians of this package in the device's precision to those of a peer: at least this much.
TARGETS = {("Keras fit", "float32"): 2.5, ("tf.function", "bfloat16"): 0.95, ("PyTorch compiled", "bfloat16"): 1.0}
LEFT_OUT = (*records.ENVIRONMENT, "versions")
# Column with a value that has a limit -> how it has to be to it; of several the last one counts.
RELATIONS = {"seconds": operator.le, "peak_mb": operator.le, "times_training": operator.ge, "ours_faster": operator.ge}
LIMITS = ("limit", "limit_mb", "target")


def write(folder: Path, names: tuple[str, ...]) -> Path:
    """Write the page of the benchmarks of these names that have a CSV in the folder; returns its path."""
    from resnet_keras.files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    blocks = [
        "# Measured speed",
        "Written by `make bench` from the CSV files beside it; [how to read it](../README.md).",
    ]
    for name in names:
        rows = records.read(folder / f"{name}.csv")
        blocks += _section(folder, name, rows) if rows else []
    path = folder / "README.md"
    write_atomically(path, "\n\n".join(blocks) + "\n")
    return path


def _section(folder: Path, name: str, rows: list[dict]) -> list[str]:
    from resnet_keras.report.tables import markdown_table

    doc = importlib.import_module(f"benchmarks.{name}").__doc__
    shown = [column for column in rows[0] if column not in LEFT_OUT and any(row.get(column) for row in rows)]
    met = [_verdict(row) for row in rows]
    cells = [[row.get(column) or "" for column in shown] + [verdict] for row, verdict in zip(rows, met, strict=True)]
    figure = [f"![{doc.splitlines()[0]}]({name}.png)"] if (folder / f"{name}.png").exists() else []
    return [
        f"## {name}",
        doc.splitlines()[0],
        *figure,
        markdown_table([*shown, "verdict"], cells).strip(),
        _where(rows),
    ]


def _verdict(row: dict) -> str:
    """Whether a row's target is met; nothing where it has none."""
    target = TARGETS.get((row.get("contender"), row.get("precision"))) if row.get("ours_faster") else None
    limit = target or next((float(row[column]) for column in LIMITS if row.get(column)), None)
    if limit is None:
        return ""
    column = [name for name in RELATIONS if row.get(name)][-1]
    return f"{'met' if RELATIONS[column](float(row[column]), limit) else 'missed'}: {limit:g}"


def _where(rows: list[dict]) -> str:
    """Machine, date, commit and versions of the newest row, and the highest load before a benchmark."""
    last = max(rows, key=lambda row: row["measured"])
    load = max(float(row["load"]) for row in rows)
    versions = sorted({row["versions"] for row in rows if "torch=" in row.get("versions", "")})
    return (
        f"{last['device']}, {last['system']}, Python {last['python']}, {last['packages']}"
        f"{''.join(f', {text}' for text in versions)}; commit {last['commit']}; {last['measured'][:10]}; "
        f"system load before it started: {load:g}."
    )
