"""What every benchmark does with its rows: spreads, turns, the machine beside the numbers, one CSV each."""

import datetime
import os
import statistics
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
# Where a row was measured. `class`: of the CPU, or "gpu"; `load`: the system's load average before the benchmark.
ENVIRONMENT = ("class", "device", "cores", "system", "python", "packages", "commit", "load", "measured")


def environment() -> dict:
    """The columns of `ENVIRONMENT`, now."""
    from resnet_keras.quiet import load_keras

    load_keras()
    from resnet_keras.training import device

    machine = device.environment()
    return {
        "class": machine["kind"],
        **{name: machine[name] for name in ("device", "cores", "system", "python")},
        "packages": " ".join(f"{name}={version}" for name, version in machine["packages"].items()),
        "commit": (machine["commit"] or "")[:8] + "+" * bool(machine["dirty"]),
        "load": round(os.getloadavg()[0], 1),
        "measured": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
    }


def interleaved(ways: dict, rounds: int) -> dict[str, list]:
    """What each function returns in each round, A B C A B C ...: the speed of a shared machine changes by the minute.

    A round of warm-up goes before those that count.
    """
    values = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            value = way()
            if number:
                values[name].append(value)
    return values


def spread(column: str, values: list[float]) -> dict:
    """Columns of the median, under this name, of the quartiles, and of the number of values."""
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    low, median, high = map(rounded, quartiles)
    return {column: median, "lower_quartile": low, "upper_quartile": high, "rounds": len(values)}


def compared(column: str, speeds: dict[str, list[float]], at_least: dict[str, float]) -> dict[str, dict]:
    """Columns of each contender: its speed, and the first one's (ours) over it, which some limits are for."""
    spreads = {name: spread(column, values) for name, values in speeds.items()}
    ours = next(iter(spreads.values()))[column]
    ratios = {name: ours / own[column] for name, own in spreads.items()}
    return {
        name: {**own, "ours_faster": rounded(ratios[name]), "target": judged(ratios[name], at_least=at_least.get(name))}
        for name, own in spreads.items()
    }


def rounded(value: float, digits: int = 3) -> float | int:
    """A value in significant digits, so that a CSV shows no more than was measured."""
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() else short


def judged(value: float, at_least: float | None = None, at_most: float | None = None) -> str:
    """Whether a value meets its limit, as text; empty where there is no limit."""
    if at_least is None and at_most is None:
        return ""
    met = value >= at_least if at_most is None else value <= at_most
    return f"{'met' if met else 'missed'}: {f'>= {at_least}' if at_most is None else f'<= {at_most}'}"


def read(path: Path):
    """A CSV as a pandas frame of text; empty where there is no file."""
    import pandas

    return pandas.read_csv(path, dtype=str, keep_default_na=False) if path.exists() else pandas.DataFrame()


def write(path: Path, rows: list[dict]) -> None:
    """Write rows as CSV, all or nothing. They replace those of the same class of CPU and network; the others stay."""
    import pandas

    from resnet_keras.files import write_atomically

    new, before = pandas.DataFrame(rows, dtype=object), read(path)
    for frame in (new, before):
        if "network" not in frame:
            frame["network"] = ""
    if "class" in before:
        measured = set(zip(new["class"], new["network"], strict=True))
        before = before[[key not in measured for key in zip(before["class"], before["network"], strict=True)]]
    table = pandas.concat([before, new]).fillna("")
    columns = [name for name in table if name not in ENVIRONMENT and any(table[name].astype(str))]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, table[[*columns, *ENVIRONMENT]].to_csv(index=False))
