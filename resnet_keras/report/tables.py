"""Tables made of the frame of runs: one of all results, one of runs, and those of the terminal and the pages."""

import pandas

from resnet_keras.report import paper, style
from resnet_keras.report.runs import CELL, MEASURED, NUMBERS, finished
from resnet_keras.report.statistics import estimate

ERRORS = ("train_error", "test_error")
# What tables/runs.csv says of each run.
RUNS = [
    "run", "network", "shortcut", "recipe", "scale", "iterations", "data", "precision", "seed", "status", "train_error",
    "test_error", "train_error_inference", "warmup_end", "commit", "cores", "cpu", "device_class", "began_on",
]  # fmt: skip
# Column of the frame -> heading in the table of an experiment.
HEADINGS = {
    "responses_median": "Median response", "responses_augmented": "to augmented images",
    "gradients_start": "First layer's gradient over the last's: at the start",
    "responses_image": "within the median image", "gradients_end_scaled": "at the end, times the kernels' norms",
    "lesion_intact": "Error intact, %", "lesion_deleted": "without a block (median), %",
    "lesion_swapped": "two blocks swapped (median), %",
    "top1_1": "Top-1, one crop, %", "top1_10": "10 crops, %", "top1_multiscale": "multi-scale, %",
}  # fmt: skip


def cells(runs):
    """A DataFrame of a row for all runs that agree in `runs.CELL`: means over their seeds.

    It has seeds (the finished runs), diverged, of either error `_mean`, `_std` and both ends of the 95 % interval, and
    the mean of each number that was measured.
    """
    shared, rows = [*CELL, "kind", "depth", "scale"], []
    for _, group in runs.groupby(CELL, sort=False):
        done = finished(group)
        row = {**group[shared].iloc[0], "seeds": len(done), "diverged": int((group["status"] == "diverged").sum())}
        for metric in ERRORS:
            mean = estimate(done[metric].dropna())
            numbers = zip(("mean", "std", "low", "high"), (mean.mean, mean.std, *mean.interval()), strict=True)
            row |= {f"{metric}_{name}": value for name, value in numbers}
        rows.append({**row, **group[MEASURED].mean()})
    return pandas.DataFrame(rows, columns=None if rows else [*shared, "seeds"])


def markdown_table(headers, rows) -> str:
    """A Markdown table of plain text, which means nothing but itself."""
    lines = [["---"] * len(headers) if line is None else map(style.markdown, line) for line in (headers, None, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def networks_by_length(results) -> tuple[list[str], list[list[str]]]:
    """The master table of `cells` on one data set, as (headers, rows): a row a network, a column a length."""
    texts, rows, usual = [], [], results["precision"].mode().squeeze()
    for row in results.itertuples():
        texts.append(f"{' / '.join(errors(row, 1))} ({row.seeds})" if row.seeds else "diverged" * bool(row.diverged))
    keys = ["kind", "depth", "network", "shortcut", "recipe", "precision"]
    table = results.assign(text=texts).pivot_table("text", keys, "iterations", "last", fill_value="")
    for (_, _, network, shortcut, recipe, precision), cell in table.iterrows():
        name = style.title(network, shortcut, recipe) + (f", {precision}" if precision != usual else "")
        rows.append([name, *cell, "" if recipe else paper.shown(results["data"].iloc[0], network, shortcut)])
    return ["Network", *(f"{n:,}" for n in table.columns), "Paper, 64,000"], rows


def errors(row, digits: int = 2) -> list[str]:
    """Training and test error of a row of `cells`, such as 70.2 ± 1.8."""
    return [style.spread(getattr(row, f"{metric}_mean"), getattr(row, f"{metric}_std"), digits) for metric in ERRORS]


def experiment_table(runs, measures=()) -> tuple[list[str], list[list[str]]]:
    """The table of an experiment at one length: a row a network; (headers, rows) of plain text."""
    results, rows = cells(runs), []
    columns = [column for measure in measures for column in NUMBERS[measure] if column in HEADINGS]
    headers = ["Network", "Seeds", "Training error, %", "Test error, %", "Paper", *map(HEADINGS.get, columns)]
    several = results["precision"].nunique() > 1
    for row in results.itertuples():
        name = style.title(row.network, row.shortcut, row.recipe) + (f", {row.precision}" if several else "")
        seeds = f"{row.seeds}" + (f" ({row.diverged} diverged)" if row.diverged else "")
        printed = "" if row.recipe else paper.shown(row.data, row.network, row.shortcut)
        rows.append([name, seeds, *errors(row), printed, *(style.significant(getattr(row, c)) for c in columns)])
    return headers, rows
