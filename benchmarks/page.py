"""`results/README.md`: every CSV beside it as tables, one a class of CPU, with the machine and the date."""

import importlib
from pathlib import Path

from benchmarks import records

HEAD = "# Measured speed\n\nWritten by `make bench` from the CSV files beside it; [how to read it](../README.md)."


def write(folder: Path, names: tuple[str, ...]) -> Path:
    """Write the page of the benchmarks of these names that have a CSV in the folder; returns its path."""
    from resnet_keras.files import write_atomically

    blocks = [HEAD]
    for name in names:
        frame = records.read(folder / f"{name}.csv")
        if len(frame):
            blocks.append(f"## {name}\n\n{importlib.import_module(f'benchmarks.{name}').__doc__.splitlines()[0]}")
            blocks += [_table(rows) for _, rows in frame.groupby("class", sort=False)]
    path = folder / "README.md"
    write_atomically(path, "\n\n".join(blocks) + "\n")
    return path


def _table(rows) -> str:
    """The rows of one class of CPU, then where they were measured."""
    notes = rows["note"] if "note" in rows else rows["class"].str[:0]
    reasons = [f"{note} ({', '.join(rows['contender'][notes == note].unique())})." for note in notes.unique() if note]
    columns = [name for name in rows if name not in (*records.ENVIRONMENT, "versions", "note") and any(rows[name])]
    shown = rows[columns][notes == ""]
    lines = [list(shown), ["---"] * shown.shape[1], *shown.to_numpy().tolist()]
    last = rows.loc[rows["measured"].idxmax()]
    torch = sorted({version for version in rows.get("versions", ()) if version.startswith("torch=")})
    return (
        f"### {last['class']}\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + "".join(f"\n\n{reason[0].upper()}{reason[1:]}" for reason in reasons)
        + f"\n\n{last['device']}, {last['system']}, Python {last['python']}, {', '.join([last['packages'], *torch])}; "
        f"commit {last['commit']}; {last['measured'][:10]}; system load before it started: {rows['load'].max()}."
    )
