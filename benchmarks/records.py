"""What every benchmark does with its rows: the machine beside the numbers, one CSV each."""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
import statistics
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
FRESH_HOURS = 6.0  # what is younger than this is not measured again by --resume
# Where a row was measured. `load`: the system's load average before the benchmark, near 0 on a quiet machine.
ENVIRONMENT = ("device", "cores", "system", "python", "packages", "commit", "load", "measured")


def environment() -> dict:
    """The columns of `ENVIRONMENT`, now."""
    from resnet_keras.quiet import load_keras

    load_keras()
    from resnet_keras.training import device
    from resnet_keras.training.device import revision, versions

    commit, dirty = revision()
    return {
        "device": device.name(),
        "cores": device.cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": listed(versions()),
        "commit": (commit or "")[:8] + "+" * bool(dirty),
        "load": round(os.getloadavg()[0], 1),
        "measured": now(),
    }


def now() -> str:
    """The time in UTC, to the minute."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes")


def listed(versions: dict[str, str]) -> str:
    """Versions in one cell."""
    return " ".join(f"{name}={version}" for name, version in versions.items())


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles; of a single value three times itself."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median, "low": low, "high": high}


def rounded(value: float, digits: int = 4) -> float:
    """Significant digits, so that a CSV shows no more than was measured."""
    return float(f"{value:.{digits}g}")


def write(path: Path, rows: list[dict]) -> None:
    """Write rows as CSV, whole or not at all; the columns are those of all rows, in the order of their first sight."""
    from resnet_keras.files import write_atomically

    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = [c for c in columns if c not in ENVIRONMENT] + [c for c in ENVIRONMENT if c in columns]
    content = io.StringIO()
    table = csv.DictWriter(content, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def read(path: Path) -> list[dict]:
    """The rows of a CSV as text; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def age_hours(row: dict) -> float:
    """Hours since a row was measured."""
    then = datetime.datetime.fromisoformat(row["measured"])
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds() / 3600


def text(rows: list[dict]) -> str:
    """The rows for a terminal, without their environment."""
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in ENVIRONMENT]
    cells = [columns, *([str(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)).rstrip() for line in cells)
