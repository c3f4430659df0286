"""The claims of the paper and of others (`claims.csv`), the rule that decides about them, and our runs' verdicts.

A claim says that a number of one network (`left`) is above, below or within a margin of that of another, or of a fixed
one (`right`). It is judged on runs of the paper's recipe, of one data set, length and precision; `verdict` is the rule.
Columns of the file: `metric` is one of the frame's (`runs.py`); `margin` the smallest effect of interest, in its unit
or as a ratio for a metric that is compared on a log scale; `from_iterations` the length from which the effect can
show, as `source` says; `expected` what others' curves do before it; `data` the one data set that counts; `needs` what
this project has not got.
"""

from __future__ import annotations

import dataclasses
import functools
import math

from resnet_keras.report import paper, text
from resnet_keras.report.paper import rows_of
from resnet_keras.report.runs import finished
from resnet_keras.report.statistics import ENOUGH, Estimate, difference, estimate, seeds_needed

SUPPORTED, CONTRADICTED = "supported", "contradicted"
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"  # at the paper's length, on the paper's data
BEHIND, EQUIVALENT, UNDECIDED = "behind so far, as expected", "equivalent", "undecided"
TOO_FEW, TOO_SHORT, CANNOT = "too few seeds", "too short to tell", "cannot be run here"
PAPER = {"cifar10": 64_000, "imagenet2012": 600_000}  # the paper's data, and its length on them
FAMILIES = ("cifar10", "imagenet")  # data that claims are judged on: not the package's own drawings
SMALLEST = 0.001  # percent: a training error of zero on 50,000 images is less than this
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
    source: str
    expected: str
    data: str
    needs: str

    @property
    def ratios(self) -> bool:
        """Whether ratios are compared in place of differences."""
        return METRICS[self.metric][2]

    @property
    def reach(self) -> float:
        """The margin on the scale on which the claim is compared."""
        return math.log(self.margin) if self.ratios else self.margin


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the runs of one data set, length and precision say to a claim.

    Attributes:
        claim: The claim.
        verdict: One of the words above.
        gap: Left less right on the claim's scale, as an estimate; None where a side has no runs.
        left: The left side in the metric's unit.
        right: The right side; a fixed number has no seeds.
        data, data_title, iterations, precision: Of the runs.
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
        """The verdict as the page prints it: with its length, margin, probability or what is missing."""
        claim, gap = self.claim, self.gap
        if self.verdict == UNDECIDED:
            needed = seeds_needed(gap.std, claim.reach, equivalence=claim.relation == "within")
            likely = max(gap.probability_above, 1 - gap.probability_above)
            margin = (
                f"a factor of {claim.margin:g}"
                if claim.ratios
                else f"{claim.margin:g} point{'s' * (claim.margin != 1)}"
            )
            more = f"; {needed - gap.n} more seeds a side could show {margin}" if needed > gap.n else ""
            return f"undecided (P({'above' if gap.mean > 0 else 'below'}) = {text.number(likely)}{more})"
        length = f" at {self.iterations:,} iterations" if self.iterations else " before training"
        more = {
            SUPPORTED: length,
            CONTRADICTED: length,
            BEHIND: f" (from {claim.from_iterations:,} iterations on)",
            TOO_SHORT: f" (from {claim.from_iterations:,} iterations on)",
            EQUIVALENT: f" within {claim.margin:g}",
            CANNOT: f" (needs {claim.needs})",
        }
        return self.verdict + more.get(self.verdict, "")

    @property
    def seeds(self) -> str:
        """Seeds of either side."""
        return " and ".join(str(side.n) for side in (self.left, self.right) if side and side.n) or "0"

    @property
    def effect(self) -> str:
        """Both sides, and their difference or ratio with its 95 % interval where three seeds a side give one."""
        if self.gap is None:
            return ""
        values, fixed = [self.gap.mean, *self.gap.interval()], not self.right.n
        if self.claim.ratios:
            factor = self.right.mean if fixed else 1
            words = [text.significant(factor * math.exp(value)) for value in values]
        else:
            words = [text.number(value + self.right.mean * fixed, 1, "" if fixed else "+") for value in values]
        interval = f" [{words[1]}, {words[2]}]" if words[1] else ""
        return ("" if fixed else f"{self._sides(' against ')}: {'× ' * self.claim.ratios}") + words[0] + interval

    def _sides(self, between: str) -> str:
        shown = (lambda value: text.number(value, 1)) if METRICS[self.claim.metric][1] else text.significant
        return f"{shown(self.left.mean)}{between}{shown(self.right.mean)}"

    @property
    def sentence(self) -> str:
        """The finding in a sentence made of its numbers; empty without runs."""
        if self.gap is None:
            return ""
        claim, (words, unit, _) = self.claim, METRICS[self.claim.metric]
        name = text.capital(label_title(claim.left))
        if not self.right.n:
            return (
                f"{name}, {words}: {self.effect}{unit} (claim: {claim.relation} {claim.right:g}); {self.verdict_text}."
            )
        side, seeds = (
            "higher" if self.gap.mean > 0 else "lower",
            f"{self.seeds} seeds".replace("1 and 1 seeds", "one seed each"),
        )
        numbers = f"({self._sides(' against ')}{unit}, {seeds})"
        return f"{name} has the {side} {words} than {label_title(claim.right)} {numbers}: {self.verdict_text}."


@functools.cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the file."""
    rows = []
    for row in rows_of("claims.csv"):
        numbers = {"margin": float(row["margin"]), "from_iterations": int(row["from_iterations"])}
        right = row["right"] if row["right"][0].isalpha() else float(row["right"])
        rows.append(Claim(**{**row, **numbers, "right": right}))
    return tuple(rows)


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
    early, full = iterations < claim.from_iterations, PAPER.get(data) == iterations
    if early and not claim.expected:
        return TOO_SHORT
    if gap.n < ENOUGH:
        return TOO_FEW
    low, high = gap.interval()
    if claim.relation == "within":
        holds, fails, word = gap.within(claim.reach), low > claim.reach or high < -claim.reach, EQUIVALENT
    else:
        low, high = (low, high) if claim.relation == "above" else (-high, -low)
        holds, fails, word = low > 0, high < 0, SUPPORTED
        if early and low + high < 0:
            return BEHIND
    if holds:
        return REPRODUCED if full else word
    return UNDECIDED if not fails else NOT_REPRODUCED if full else CONTRADICTED


def findings(claim: Claim, runs) -> list[Finding]:
    """What the runs say to a claim, a finding for each data set, length and precision; the one to show comes first.

    That is the longest with enough seeds on both sides or, where none has, the longest of all; there is always one.

    Args:
        claim: The claim.
        runs: A frame of runs (`runs.frame`).
    """
    import pandas

    own = finished(runs) if claim.metric.endswith("error") else runs
    if claim.metric == "gradients_start":
        own = pandas.concat([own, paper.starts()])
    own = own[own["data"].str.startswith(claim.data or FAMILIES) & own[claim.metric].notna()]
    own = own[own["data"] == claim.data] if claim.data else own
    keys = ["data", "data_title", "iterations", *([] if "precision=" in claim.left else ["precision"])]
    results = []
    for values, group in own.groupby(keys):
        sides = [list(group[has_label(group, label)][claim.metric]) for label in (claim.left, claim.right)]
        fixed = isinstance(claim.right, float)
        if not sides[0] or not (fixed or sides[1]):
            continue
        scale = (lambda value: math.log(max(value, SMALLEST))) if claim.ratios else float
        left, right = ([scale(value) for value in side] for side in sides)
        gap = estimate([value - scale(claim.right) for value in left]) if fixed else difference(left, right)
        place = dict(zip(keys, values, strict=True))
        decided = verdict(claim, gap, place["iterations"], place["data"])
        other = Estimate(claim.right, 0) if fixed else estimate(sides[1])
        results.append(Finding(claim, decided, gap, estimate(sides[0]), other, **place))
    results.sort(key=lambda f: (f.gap.n >= ENOUGH, f.iterations, f.data in PAPER, f.gap.n), reverse=True)
    return results or [Finding(claim, CANNOT if claim.needs else TOO_FEW)]


def has_label(runs, label: str | float):
    """Which runs have a label: network, shortcut option, and what else differs from the scale's recipe."""
    network, option, recipe = split_label(str(label))
    mask = (runs["network"] == network) & (runs["shortcut"] == option)
    mask &= runs["recipe"] == ", ".join(word for word in recipe if "precision=" not in word)
    precisions = [word.removeprefix("precision=") for word in recipe if "precision=" in word]
    return mask & runs["precision"].isin(precisions) if precisions else mask


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


def table(results: list[list[Finding]]):
    """Every finding as a DataFrame, the one that decides a claim marked."""
    import pandas

    columns = ["data", "iterations", "precision", "effect", "seeds", "verdict_text"]
    rows = [
        {"claim": finding.claim.name, "group": finding.claim.group, "decides": finding is each[0]}
        | {name: getattr(finding, name) for name in columns}
        for each in results
        for finding in each
    ]
    return pandas.DataFrame(rows).rename(columns={"verdict_text": "verdict"})


def reading(runs) -> str:
    """In a sentence: what more layers do to plain and to residual networks of a frame, by their training errors."""
    own, clauses = finished(runs), []
    own = own[own["recipe"] == ""]
    for kind in ("plain", "residual"):
        means = own[own["kind"] == kind].groupby("depth")["train_error"].mean()
        if len(means) > 1:
            more, deep, shallow = means.index[-1] - means.index[0], means.iloc[-1], means.iloc[0]
            numbers = f"{text.number(deep, 1)} against {text.number(shallow, 1)} % training error"
            clauses.append(f"{more} more layers {'harm' if deep > shallow else 'help'} a {kind} network ({numbers})")
    return "; ".join(clauses) + "." * bool(clauses)
