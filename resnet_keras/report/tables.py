"""Tables made of the frame of runs: one of all results, one of runs, and those of the terminal and the pages."""

from __future__ import annotations

from resnet_keras.report import paper, text
from resnet_keras.report.runs import CELL, NUMBERS, finished
from resnet_keras.report.statistics import estimate

ERRORS = ("train_error", "test_error")
# What tables/runs.csv says of each run.
RUNS = [
    "run", "network", "shortcut", "recipe", "scale", "iterations", "data", "precision", "seed", "status", "train_error",
    "test_error", "train_error_inference", "warmup_end", "commit", "cores", "cpu", "device_class", "began_on",
]  # fmt: skip


def cells(runs):
    """Means over seeds, as a DataFrame with a row for each network, length, recipe, data set and precision.

    Beside what its runs share (`runs.CELL`, kind, depth, scale) a row has seeds (the finished runs), diverged,
    for either error `_mean`, `_std`, `_low` and `_high` (the 95 % interval, from three seeds on), and the mean of
    each number that was measured.
    """
    import pandas

    rows = []
    for _, group in runs.groupby(CELL, sort=False):
        done = finished(group)
        row = {name: group.iloc[0][name] for name in (*CELL, "kind", "depth", "scale")}
        row |= {"seeds": len(done), "diverged": int((group["status"] == "diverged").sum())}
        for metric in ERRORS:
            values = done[metric].dropna()
            mean = estimate(values) if len(values) else None
            low, high = mean.interval() if mean else (None, None)
            numbers = {"mean": mean and mean.mean, "std": mean and mean.std, "low": low, "high": high}
            row |= {f"{metric}_{name}": value for name, value in numbers.items()}
        measured = [column for columns in NUMBERS.values() for column in columns]
        rows.append({**row, **group[measured].mean()})
    return pandas.DataFrame(rows, columns=None if rows else [*CELL, "kind", "depth", "scale", "seeds"])


def csv_text(table) -> str:
    """A table as CSV, numbers to four decimals."""
    return table.to_csv(
        index=False, float_format=lambda value: text.number(value, 4).replace(",", ""), lineterminator="\n"
    )


def markdown_table(headers, rows) -> str:
    """A Markdown table of cells that are strings already escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def escaped_table(headers, rows) -> str:
    """A Markdown table of plain text."""
    return markdown_table([text.markdown(cell) for cell in headers], [[text.markdown(c) for c in row] for row in rows])


def row_title(row, precisions: int = 1) -> str:
    """Name of a row of results, the precision where the table has several."""
    name = text.title(row.network, row.shortcut, row.recipe)
    return f"{name}, {row.precision}" if precisions > 1 else name


def networks_by_length(results) -> tuple[list[str], list[list[str]]]:
    """The master table: a row a network, a column a length; training / test error in percent (seeds).

    Args:
        results: Of `cells`, on one data set.

    Returns:
        (headers, rows); the last two columns are the paper's test error and hours on an idle machine.
    """
    lengths = sorted(results["iterations"].unique())
    rows, usual = [], results["precision"].mode().squeeze() if len(results) else ""
    for key, group in results.groupby(["kind", "depth", "network", "shortcut", "recipe", "precision"]):
        _, depth, network, shortcut, recipe, precision = key
        by_length = {row.iterations: row for row in group.itertuples()}
        name = text.title(network, shortcut, recipe) + (f", {precision}" if precision != usual else "")
        printed = "" if recipe else paper.shown(group.iloc[0]["data"], network, shortcut)
        hours = paper.idle_hours(depth, 1000) if precision == "bfloat16" else None
        shown = [cell(by_length[length]) if length in by_length else "" for length in lengths]
        rows.append([name, *shown, printed, text.number(hours, 2)])
    return ["Network", *(f"{n:,}" for n in lengths), "Paper, 64,000", "Hours for 1,000"], rows


def cell(row) -> str:
    """One cell of the master table, such as 70.2 ± 1.8 / 68.2 ± 1.9 (3)."""
    if not row.seeds:
        return "diverged" if row.diverged else ""
    errors = [text.spread(getattr(row, f"{m}_mean"), getattr(row, f"{m}_std", None), 1) for m in ERRORS]
    return f"{' / '.join(errors)} ({row.seeds})"


# Column of the frame -> heading in the table of an experiment.
HEADINGS = {
    "responses_median": "Median response",
    "gradients_start": "First layer's gradient over the last's: at the start",
    "gradients_end_scaled": "at the end, times the kernels' norms",
    "lesion_intact": "Error intact, %",
    "lesion_deleted": "without a block (median), %",
    "lesion_swapped": "two blocks swapped (median), %",
    "top1_1": "Top-1, one crop, %",
    "top1_10": "10 crops, %",
    "top1_multiscale": "multi-scale, %",
}


def of_experiment(runs, measures=()) -> tuple[list[str], list[list[str]]]:
    """The table of an experiment at one length: a row a network; (headers, rows) of plain text."""
    results = cells(runs) if len(runs) else runs
    columns = [c for measure in measures for c in NUMBERS[measure] if c in HEADINGS and c in results]
    headers = ["Network", "Seeds", "Training error, %", "Test error, %", "Paper", *(HEADINGS[c] for c in columns)]
    rows = []
    for row in results.itertuples():
        errors = [text.spread(getattr(row, f"{m}_mean", None), getattr(row, f"{m}_std", None)) for m in ERRORS]
        printed = "" if row.recipe else paper.shown(row.data, row.network, row.shortcut)
        measured = [getattr(row, column) for column in columns]
        seeds = f"{row.seeds}" + (f" ({row.diverged} diverged)" if row.diverged else "")
        name = row_title(row, results["precision"].nunique())
        rows.append([name, seeds, *errors, printed, *map(text.significant, measured)])
    return headers, rows
