"""Tables: rows of plain numbers, written as CSV first and as Markdown from the same rows."""

from __future__ import annotations

import csv
import io

from resnet_keras.report import text
from resnet_keras.report.records import Record
from resnet_keras.report.selection import Group
from resnet_keras.report.statistics import Estimate, estimate

# Errors in percent, after the last iteration; mean and standard deviation over seeds; hours: mean of a run.
MAIN = (
    "network",
    "shortcut",
    "depth",
    "scale",
    "data",
    "seeds",
    "iterations",
    "train_error_mean",
    "train_error_std",
    "test_error_mean",
    "test_error_std",
    "parameters",
    "hours",
    "device",
    "precision",
    "commit",
)
# In the CSV alone: what else keeps rows apart, the ends of the 95 % intervals (Student's t, three seeds or more)
# and the number of runs whose loss became NaN, which are in no mean.
MORE = (
    "recipe",
    "data_version",
    "protocol",
    "train_error_low",
    "train_error_high",
    "test_error_low",
    "test_error_high",
    "diverged",
)
COLUMNS = MAIN + MORE


def table(groups: list[Group]) -> list[dict]:
    """A row of `COLUMNS` for each group; None where there is no number."""
    return [row(group) for group in groups]


def row(group: Group) -> dict:
    """The row of one group of runs."""
    finished = group.finished
    train, test = (_estimate(group, metric) for metric in ("train_error", "test_error"))
    setting = group.setting
    return {
        "network": group.row.network,
        "shortcut": group.row.shortcut,
        "depth": text.depth(group.row.network),
        "scale": setting.scale,
        "data": setting.data,
        "seeds": len(finished),
        "iterations": _first(finished, "iterations"),
        "train_error_mean": _rounded(train and train.mean),
        "train_error_std": _rounded(train and train.std),
        "test_error_mean": _rounded(test and test.mean),
        "test_error_std": _rounded(test and test.std),
        "parameters": _first(finished, "parameters"),
        "hours": _mean(finished, "hours"),
        "device": "; ".join(devices(finished)),
        "precision": group.records[0].recipe["precision"],
        "commit": " ".join(_commits(finished)),
        "recipe": group.row.recipe,
        "data_version": setting.data_version,
        "protocol": setting.protocol,
        "train_error_low": _rounded(train and train.low),
        "train_error_high": _rounded(train and train.high),
        "test_error_low": _rounded(test and test.low),
        "test_error_high": _rounded(test and test.high),
        "diverged": len(group.records) - len(finished),
    }


def csv_text(rows: list[dict], columns=COLUMNS) -> str:
    """The rows as CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def markdown_table(headers, rows) -> str:
    """A Markdown table of cells that are strings already escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def markdown_text(rows: list[dict], columns=MAIN) -> str:
    """The rows as a Markdown table under their column names."""
    return markdown_table(columns, [[text.markdown(_shown(row[name])) for name in columns] for row in rows])


def _shown(value) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _inert(value):
    """Text that a spreadsheet would take for a formula gets the quote that makes it text."""
    return f"'{text.plain(value)}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _estimate(group: Group, metric: str) -> Estimate | None:
    values = list(group.by_seed(metric).values())
    return estimate(values) if values else None


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _mean(records: list[Record], name: str) -> float | None:
    values = [value for value in (record.number(name) for record in records) if value is not None]
    return _rounded(sum(values) / len(values)) if values else None


def _first(records: list[Record], name: str) -> int | None:
    """A number that is the same for every run of a row."""
    return next((value for value in (record.number(name) for record in records) if value is not None), None)


def devices(records: list[Record]) -> list[str]:
    """What the runs were trained on, each kind once."""
    found = {str(record.summary.get("device") or "") for record in records}
    return sorted({text.plain(device)[:100] for device in found} - {""})


def _commits(records: list[Record]) -> list[str]:
    """The first eight digits of each commit, with a + when files had been changed since."""
    found = {(str(r.environment.get("commit") or ""), bool(r.environment.get("dirty"))) for r in records}
    return sorted(text.plain(commit)[:8] + "+" * dirty for commit, dirty in found if commit)
