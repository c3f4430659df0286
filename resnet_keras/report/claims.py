"""The claims of the paper and of others, each with the rule that decides about it (`claims.csv`), and our runs' verdict.

A claim says that a number of one network (`left`) is above, below or within a margin of that of another, or of a fixed
one (`right`). It is judged on runs of the paper's recipe, of one data set, length and precision; `verdict` is the rule.
Columns of the file: `metric` is one of the frame's (`runs.py`); `margin` the smallest effect of interest, in the metric's
unit, or as a ratio for a metric that is compared on a log scale; `from_iterations` the length from which the effect can
show, as `source` says; `expected` what others' curves do before it; `data` the one data set that counts; `needs` what
this project has not got.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.resources
import math

from resnet_keras.report import text
from resnet_keras.report.runs import finished
from resnet_keras.report.statistics import ENOUGH, Estimate, difference, estimate, seeds_needed

SUPPORTED, CONTRADICTED = "supported", "contradicted"
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"  # at the paper's length, on the paper's data
BEHIND, EQUIVALENT, UNDECIDED = "behind so far, as expected", "equivalent", "undecided"
TOO_FEW, TOO_SHORT, CANNOT = "too few seeds", "too short to tell", "cannot be run here"
SETTING = ["data", "data_title", "iterations"]  # and the precision, unless that is what a claim compares
PAPER = {("cifar10", 64_000), ("imagenet2012", 600_000)}  # the paper's data, and its length on them
FAMILIES = ("cifar10", "imagenet")  # data that claims are judged on: not the package's own drawings
# Metric -> what a sentence calls it, its unit, and whether ratios of it are compared in place of differences.
METRICS = {
    "train_error": ("training error", " %", True),
    "test_error": ("test error", " %", False),
    "responses_median": ("median response of a layer", "", True),
    "gradients_start": ("first layer's gradient over the last's, before training", "", True),
    "gradients_end_scaled": ("first layer's gradient over the last's, times their kernels' norms", "", True),
    "lesion_added": ("rise of the test error by the loss of a block", " points", False),
    "lesion_swapped": ("test error with two blocks swapped", " %", False),
    "top1_10": ("top-1 error of 10 crops", " %", False),
}
SMALLEST = 0.001  # percent: a training error of zero on 50,000 images is less than this


@dataclasses.dataclass(frozen=True)
class Claim:
    """A row of `claims.csv`; `left` and `right` are labels such as plain56 or resnet20-A precision=float32."""

    name: str
    group: str
    experiment: str
    claim: str
    place: str
    paper: str
    left: str
    metric: str
    relation: str
    right: str | float
    margin: float
    from_iterations: int
    source: str = ""
    expected: str = ""
    data: str = ""
    needs: str = ""

    @property
    def logarithmic(self) -> bool:
        """Whether ratios are compared in place of differences."""
        return METRICS[self.metric][2]

    @property
    def reach(self) -> float:
        """The margin on the scale on which the claim is compared."""
        return math.log(self.margin) if self.logarithmic else self.margin


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the runs of one data set, length and precision say to a claim.

    Attributes:
        claim: The claim.
        verdict: One of the words above.
        gap: Left less right on the claim's scale; None where a side has no runs.
        left: The left side's values as an estimate, in the metric's unit.
        right: The right side's; for a fixed number that number, with n = 0.
        data, data_title, iterations, precision: Of the runs; of a claim without runs, empty.
    """

    claim: Claim
    verdict: str
    gap: Estimate | None = None
    left: Estimate | None = None
    right: Estimate | None = None
    data: str = ""
    data_title: str = ""
    iterations: int = 0
    precision: str = ""

    @property
    def verdict_text(self) -> str:
        """The verdict as the page prints it, with its length, margin or probability."""
        claim, gap = self.claim, self.gap
        if self.verdict in (SUPPORTED, CONTRADICTED):
            return f"{self.verdict} at {self.iterations:,} iterations"
        if self.verdict == EQUIVALENT:
            return f"equivalent within {claim.margin:g}"
        if self.verdict == UNDECIDED:
            needed = seeds_needed(gap.std, claim.reach, equivalence=claim.relation == "within")
            likely = max(gap.probability_above, 1 - gap.probability_above)
            sign = "above" if gap.mean > 0 else "below"
            more = f", {needed - gap.n} more seeds to find {self.margin_text}" if needed > gap.n else ""
            return f"undecided (P({sign}) = {text.number(likely)}{more})"
        if self.verdict == CANNOT:
            return f"{CANNOT} (needs {claim.needs})"
        return self.verdict

    @property
    def margin_text(self) -> str:
        """The smallest effect of interest with its unit."""
        claim = self.claim
        return f"a factor of {claim.margin:g}" if claim.logarithmic else f"{claim.margin:g} points"

    @property
    def seeds(self) -> str:
        """Seeds of either side."""
        if self.left is None:
            return "0"
        return f"{self.left.n} and {self.right.n}" if self.right.n else str(self.left.n)

    @property
    def effect(self) -> str:
        """Both sides, and their difference or ratio with its 95 % interval where three seeds a side give one."""
        if self.gap is None:
            return ""
        unit = METRICS[self.claim.metric][1]
        sides = f"{_shown(self.left.mean, unit)} against {_shown(self.right.mean, unit)}"
        values = [self.gap.mean, *self.gap.interval()]
        if self.claim.logarithmic:
            words = [f"× {text.significant(math.exp(value))}" if value == value else "" for value in values]
        else:
            words = [text.number(value, 1, "+") for value in values]
        interval = f" [{words[1]}, {words[2]}]".replace("× ", "") if words[1] else ""
        return f"{sides}: {words[0]}{interval}"

    @property
    def sentence(self) -> str:
        """The finding in a sentence made of its numbers."""
        claim, (words, unit, _) = self.claim, METRICS[self.claim.metric]
        left, right = _shown(self.left.mean, unit), _shown(self.right.mean, unit)
        name = label_title(claim.left)
        if isinstance(claim.right, float):
            return f"{name}: {words} {left}{unit} (claim: {claim.relation} {claim.right:g}); {self.verdict_text}."
        side = "higher" if self.gap.mean > 0 else "lower"
        numbers = f"({left} against {right}{unit}, {self.seeds} seeds)"
        return f"{name} has the {side} {words} than {label_title(claim.right)} {numbers}: {self.verdict_text}."


def _shown(value: float, unit: str) -> str:
    return text.number(value, 1) if unit else text.significant(value)


@functools.cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the file."""
    return tuple(_claim(row) for row in rows_of("claims.csv"))


def rows_of(name: str) -> list[dict[str, str]]:
    """A CSV file of this package as a list of rows."""
    content = importlib.resources.files("resnet_keras.report").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(content.splitlines()))


def _claim(row: dict[str, str]) -> Claim:
    numbers = {"margin": float(row["margin"]), "from_iterations": int(row["from_iterations"])}
    right = row["right"] if row["right"][0].isalpha() else float(row["right"])
    return Claim(**{**row, **numbers, "right": right})


def verdict(claim: Claim, gap: Estimate, iterations: int, data: str) -> str:
    """The rule.

    Below `ENOUGH` seeds on a side there is no verdict, nor before the length from which the effect can show, unless
    others' curves say what to expect until then. Otherwise the 95 % interval of the difference decides by the side
    of zero that it lies on (for "within" the 90 % interval, by lying inside the margin).

    Args:
        claim: The claim.
        gap: Left less right, on the claim's scale.
        iterations: Length of the runs.
        data: The data set's name.
    """
    early = iterations < claim.from_iterations
    if early and not claim.expected:
        return TOO_SHORT
    if gap.n < ENOUGH:
        return TOO_FEW
    low, high = gap.interval()
    if claim.relation == "within":
        if gap.within(claim.reach):
            return EQUIVALENT
        return CONTRADICTED if low > claim.reach or high < -claim.reach else UNDECIDED
    low, high = (low, high) if claim.relation == "above" else (-high, -low)
    full = (data, iterations) in PAPER
    if low > 0:
        return REPRODUCED if full else SUPPORTED
    if early and low + high < 0:
        return BEHIND
    if high < 0:
        return NOT_REPRODUCED if full else CONTRADICTED
    return UNDECIDED


def findings(claim: Claim, runs) -> list[Finding]:
    """What the runs say to a claim, a finding for each data set, length and precision; the one to show comes first.

    That is the longest with enough seeds on both sides or, where none has, the longest of all; there is always one.

    Args:
        claim: The claim.
        runs: A frame of runs (`runs.frame`).
    """
    usable = finished(runs) if claim.metric.endswith("error") else runs
    usable = usable[usable["data"].str.startswith(FAMILIES) & usable[claim.metric].notna()]
    if claim.data:
        usable = usable[usable["data"] == claim.data]
    keys = SETTING + ([] if "precision=" in claim.left else ["precision"])
    results = []
    for values, group in usable.groupby(keys):
        setting = dict(zip(keys, values, strict=True))
        finding = _judged(claim, group, setting)
        results += [finding] if finding else []
    results.sort(key=lambda f: (f.gap.n >= ENOUGH, f.iterations, f.data in dict(PAPER), f.gap.n), reverse=True)
    return results or [Finding(claim, CANNOT if claim.needs else TOO_FEW)]


def _judged(claim: Claim, runs, setting: dict) -> Finding | None:
    left = list(runs[has_label(runs, claim.left)][claim.metric])
    fixed = isinstance(claim.right, float)
    right = [claim.right] if fixed else list(runs[has_label(runs, claim.right)][claim.metric])
    if not left or not right:
        return None
    scale = (lambda value: math.log(max(value, SMALLEST))) if claim.logarithmic else float
    sides = [list(map(scale, values)) for values in (left, right)]
    if fixed:
        gap = estimate([value - sides[1][0] for value in sides[0]])
    else:
        gap = difference(*sides)
    right_side = Estimate(claim.right, 0) if fixed else estimate(right)
    decided = verdict(claim, gap, setting["iterations"], setting["data"])
    return Finding(claim, decided, gap, estimate(left), right_side, **setting)


def has_label(runs, label: str):
    """Which runs have a label: network, shortcut option, and what else differs from the scale's recipe."""
    network, option, recipe = split_label(label)
    mask = (runs["network"] == network) & (runs["shortcut"] == option)
    precision = [word.removeprefix("precision=") for word in recipe if word.startswith("precision=")]
    others = ", ".join(word for word in recipe if not word.startswith("precision="))
    mask &= runs["recipe"] == others
    return mask & (runs["precision"] == precision[0]) if precision else mask


def split_label(label: str) -> tuple[str, str, list[str]]:
    """resnet20-A precision=float32 -> network, shortcut option, words of the recipe."""
    name, *recipe = label.split(" ")
    network, _, option = name.partition("-")
    return network, option or "none", recipe


def label_title(label: str) -> str:
    """plain56 -> plain-56, resnet34-B learning_rate=0.05 -> ResNet-34 B rate 0.05."""
    network, option, recipe = split_label(label)
    return text.title(network, option, " ".join(recipe))


def all_findings(runs) -> list[list[Finding]]:
    """The findings of every claim, in the order of the file; see `findings`."""
    return [findings(claim, runs) for claim in claims()]


def tally(results: list[list[Finding]]) -> dict[str, dict[str, int]]:
    """Group -> verdict -> number of claims: each claim counts once, by its first finding."""
    counts: dict[str, dict[str, int]] = {}
    for first, *_ in results:
        group = counts.setdefault(first.claim.group, {})
        group[first.verdict] = group.get(first.verdict, 0) + 1
    return counts


def reading(runs) -> str:
    """In a sentence: what more layers do to plain and to residual networks of a frame, by their training errors."""
    clauses = {"plain": "", "residual": ""}
    for kind in clauses:
        means = (
            finished(runs)[lambda f: (f["kind"] == kind) & (f["recipe"] == "")].groupby("depth")["train_error"].mean()
        )
        if len(means) > 1:
            shallow, deep = means.index.min(), means.index.max()
            change = "harm" if means[deep] > means[shallow] else "help"
            numbers = f"{text.number(means[deep], 1)} against {text.number(means[shallow], 1)} % training error"
            clauses[kind] = f"{deep - shallow} more layers {change} a {kind} network ({numbers})"
    return text.capital("; ".join(filter(None, clauses.values()))) + "." * any(clauses.values())


def table(results: list[list[Finding]]):
    """Every finding as a DataFrame, the one that decides a claim marked."""
    import pandas

    rows = [
        {
            "claim": finding.claim.name,
            "group": finding.claim.group,
            "decides": place == 0,
            "data": finding.data,
            "iterations": finding.iterations or "",
            "precision": finding.precision,
            "effect": finding.effect,
            "seeds": finding.seeds,
            "verdict": finding.verdict_text,
        }
        for findings_of_one in results
        for place, finding in enumerate(findings_of_one)
    ]
    return pandas.DataFrame(rows)
