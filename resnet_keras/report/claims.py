"""The claims of the paper and of others (`claims.csv`), the rule that decides about them, and our runs' verdicts.

A claim says that a number of one network (`left`) is above, below or within a margin of (`relation`) that of another,
or of a fixed one (`right`). It is judged on runs of one data set, length and precision; `verdict` is the rule. Columns
of the file, beside these: `group`, `experiment`, `claim` in words, `place` in the paper and what the `paper` has there;
`left` and `right` are labels such as plain56 or resnet20-A learning_rate=0.02; `metric` is one of the frame's
(`runs.py`); `margin` the smallest effect of interest, in its unit or as a ratio for a metric that is compared on a log
scale; `from_iterations` the length from which the effect can show, as `source` says; `expected` what others' curves do
before it; `data` the one data set that counts; `needs` what this project has not got.
"""

import collections
import dataclasses
import itertools
import math
import operator

import pandas

from resnet_keras.report import paper, style
from resnet_keras.report.runs import finished
from resnet_keras.report.statistics import ENOUGH, Estimate, difference, estimate, seeds_needed

SUPPORTED, CONTRADICTED = "supported", "contradicted"
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"  # at the paper's length, on the paper's data
BEHIND, EQUIVALENT, UNDECIDED = "behind so far, as expected", "equivalent", "undecided"
TOO_FEW, TOO_SHORT, CANNOT = "too few seeds", "too short to tell", "cannot be run here"
# The paper's data, and its length on them. On copies of them claims are judged too, on the package's drawings not.
PAPER = {"cifar10": 64_000, "imagenet2012": 600_000}
SMALLEST = 0.001  # percent: a training error of zero on 50,000 images is less than this
# Metric -> what a sentence calls it, its unit, and whether ratios of it are compared in place of differences.
METRICS = {
    "train_error": ("training error", " %", True),
    "test_error": ("test error", " %", False),
    "responses_median": ("median response of a layer", "", True),
    "gradients_start": ("first layer's gradient over the last's, before training", "", True),
    "gradients_end_scaled": ("first layer's gradient over the last's, times their kernels' norms", "", True),
    "lesion_added": ("median rise of the test error without one block", " points", False),
    "lesion_swapped": ("median test error with two blocks swapped", " %", False),
    "surface_median": ("median loss around the network", "", True),
    "top1_10": ("top-1 error of 10 crops", " %", False),
}
ROWS = paper.rows_of("claims.csv")
CONVERTERS = {"margin": float, "from_iterations": int, "right": lambda word: word if word[0].isalpha() else float(word)}


class Claim(collections.namedtuple("Claim", ROWS[0])):
    """A row of `claims.csv`, its numbers as numbers."""

    @property
    def ratios(self) -> bool:
        """Whether ratios are compared in place of differences."""
        return METRICS[self.metric][2]

    def scaled(self, value: float) -> float:
        """A value of the metric, or the margin, on the scale on which the claim is compared."""
        return math.log(max(value, SMALLEST)) if self.ratios else value


CLAIMS = [Claim(**{name: CONVERTERS.get(name, str)(word) for name, word in row.items()}) for row in ROWS]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the runs of one data set, length and precision say to a claim; the verdict is one of the words above."""

    claim: Claim
    verdict: str
    gap: Estimate | None = None  # left less right on the claim's scale; None where a side has no runs
    left: Estimate | None = None  # in the metric's unit, as is the right side
    right: Estimate | None = None  # a fixed number has no seeds
    data: str = ""
    data_title: str = ""
    iterations: int = 0
    precision: str = ""

    @property
    def verdict_text(self) -> str:
        """The verdict as the page prints it: with its length, margin, probability or what is missing."""
        claim, gap = self.claim, self.gap
        if self.verdict == UNDECIDED:
            more = seeds_needed(gap.std, claim.scaled(claim.margin), equivalence=claim.relation == "within") - gap.n
            points = f"{claim.margin:g} point" + "s" * (claim.margin != 1)
            margin = f"a factor of {claim.margin:g}" if claim.ratios else points
            likely, side = max((gap.probability_above, "above"), (1 - gap.probability_above, "below"))
            words = f"; {more:,} more seeds a side could show {margin}" if more > 0 else ""
            return f"undecided (P({side}) = {style.number(likely)}{words})"
        length = f" at {self.iterations:,} iterations" if self.iterations else " before training"
        start = f" (from {claim.from_iterations:,} iterations on)"
        more = {SUPPORTED: length, CONTRADICTED: length, BEHIND: start, TOO_FEW: " (none yet)" * (not gap)}
        more |= {TOO_SHORT: start, EQUIVALENT: f" within {claim.margin:g}", CANNOT: f" (needs {claim.needs})"}
        return self.verdict + more.get(self.verdict, "")

    @property
    def seeds(self) -> str:
        """Seeds of either side."""
        return " and ".join(str(side.n) for side in (self.left, self.right) if side and side.n) or "0"

    @property
    def sides(self) -> str:
        """Both sides in the metric's unit, such as 70.2 against 31.5; a fixed right side is left out."""
        values = [side.mean for side in (self.left, self.right) if side.n]
        percent = METRICS[self.claim.metric][1]
        return " against ".join(style.number(value, 1) if percent else style.significant(value) for value in values)

    @property
    def effect(self) -> str:
        """Both sides, and their difference or ratio with its 95 % interval where three seeds a side give one."""
        if self.gap is None:
            return ""
        values, fixed = [self.gap.mean, *self.gap.interval()], not self.right.n
        if self.claim.ratios:
            words = [style.significant(math.exp(value) * (self.right.mean if fixed else 1)) for value in values]
        else:
            words = [style.number(value + self.right.mean * fixed, 1, "" if fixed else "+") for value in values]
        interval = f" [{words[1]}, {words[2]}]" if words[1] else ""
        return ("" if fixed else f"{self.sides}: {'× ' * self.claim.ratios}") + words[0] + interval

    @property
    def sentence(self) -> str:
        """The finding in a sentence made of its numbers; empty without runs."""
        if self.gap is None:
            return ""
        claim, (words, unit, _) = self.claim, METRICS[self.claim.metric]
        network, other = (style.title(*split_label(str(label))) for label in (claim.left, claim.right))
        network = network[0].upper() + network[1:]
        seeds = {"1": "one seed", "1 and 1": "one seed each"}.get(self.seeds, f"{self.seeds} seeds")
        seeds += f", {self.precision}" * bool(self.precision)
        if not self.right.n:
            claimed = f"({seeds}; claim: {claim.relation} {claim.right:g})"
            return f"{network}, {words}: {self.effect}{unit} {claimed}; {self.verdict_text}."
        side = "higher" if self.gap.mean > 0 else "lower"
        return f"{network} has a {side} {words} than {other} ({self.sides}{unit}, {seeds}): {self.verdict_text}."


def verdict(claim: Claim, gap: Estimate, iterations: int, data: str) -> str:
    """The rule, for a gap (left less right) on the claim's scale.

    Below `ENOUGH` seeds on a side there is no verdict, nor before the length from which the effect can show, unless
    others' curves say what to expect until then. Otherwise the 95 % interval of the gap decides by the side of zero
    that it lies on; for "within" the 90 % one, by lying inside the margin.
    """
    early, full = iterations < claim.from_iterations, PAPER.get(data) == iterations
    if early and not claim.expected:
        return TOO_SHORT
    if gap.n < ENOUGH:
        return TOO_FEW
    low, high = gap.interval()
    if claim.relation == "within":
        reach = claim.scaled(claim.margin)
        holds = max(map(abs, gap.interval(0.9))) < reach  # two one-sided tests at 5 %
        fails, word = low > reach or high < -reach, EQUIVALENT
    else:
        low, high = (low, high) if claim.relation == "above" else (-high, -low)
        holds, fails, word = low > 0, high < 0, SUPPORTED
        if early and low + high < 0:
            return BEHIND
    if holds:
        return REPRODUCED if full else word
    return UNDECIDED if not fails else NOT_REPRODUCED if full else CONTRADICTED


def findings(claim: Claim, runs) -> list[Finding]:
    """What the runs say to a claim: a finding for each data set, length and precision, or one without runs.

    The one to show comes first: the longest with enough seeds on both sides or, where none has, the longest of all.
    """
    own = finished(runs) if claim.metric.endswith("error") else runs
    if claim.metric == "gradients_start":  # where the length of a run plays no part
        own = pandas.concat([own, paper.starts()]).assign(iterations=0).dropna(subset=[claim.metric])
        own = own.drop_duplicates(["data", "network", "shortcut", "recipe", "precision", "seed"])
    family = own["data"] == claim.data if claim.data else own["data"].str.startswith(tuple(PAPER))
    own = own[family & own[claim.metric].notna()]
    keys = ["data", "data_title", "iterations", *([] if "precision=" in claim.left else ["precision"])]
    fixed, results = isinstance(claim.right, float), []
    for values, group in own.groupby(keys):
        sides = [list(group[has_label(group, str(label))][claim.metric]) for label in (claim.left, claim.right)]
        if not sides[0] or not (fixed or sides[1]):
            continue
        left, right = (list(map(claim.scaled, side)) for side in sides)
        gap = estimate([value - claim.scaled(claim.right) for value in left]) if fixed else difference(left, right)
        other = Estimate(claim.right, 0) if fixed else estimate(sides[1])
        place = dict(zip(keys, values, strict=True))
        decided = verdict(claim, gap, place["iterations"], place["data"])
        results.append(Finding(claim, decided, gap, estimate(sides[0]), other, **place))
    results.sort(key=lambda f: (f.gap.n >= ENOUGH, f.iterations, f.data in PAPER, f.gap.n), reverse=True)
    return results or [Finding(claim, CANNOT if claim.needs else TOO_FEW)]


def split_label(label: str) -> tuple[str, str, str]:
    """resnet20-A precision=float32 -> network, shortcut option, recipe."""
    name, _, recipe = label.partition(" ")
    network, _, option = name.partition("-")
    return network, option or "none", recipe


def has_label(runs, label: str):
    """Which runs have a label: network, shortcut option, what else differs from the scale's recipe, maybe precision."""
    labels = runs["network"] + ("-" + runs["shortcut"]).replace("-none", "")
    labels += (" " + runs["recipe"].str.replace(", ", " ")).str.rstrip()
    return (labels == label) | (labels + " precision=" + runs["precision"] == label)


def findings_table(results: list[list[Finding]]):
    """Every finding of every claim as a DataFrame, the one that decides a claim marked."""
    fields = ["claim.name", "claim.group", "data", "iterations", "precision", "effect", "seeds", "verdict_text"]
    table = pandas.DataFrame(map(operator.attrgetter(*fields), itertools.chain(*results)), columns=fields)
    table.insert(2, "decides", [finding is each[0] for each in results for finding in each])
    return table.rename(columns={"claim.name": "claim", "claim.group": "group", "verdict_text": "verdict"})


def answer(experiment, runs) -> str:
    """What these runs of an experiment say, in sentences made of their numbers; on drawings without a verdict."""
    own = [findings(claim, runs)[0].sentence for claim in CLAIMS if claim.experiment == experiment.name]
    return " ".join(filter(None, own)) or reading(runs) or "No run has finished."


def reading(runs) -> str:
    """In a sentence: what more layers do to plain and to residual networks of a frame, by their training errors."""
    own, clauses = finished(runs), []
    errors = own[own["recipe"] == ""].groupby(["kind", "depth"])["train_error"]
    for kind, rows in errors.agg(["mean", "min", "max", "count"]).groupby("kind"):
        low, high, depths = rows.iloc[0], rows.iloc[-1], rows.index.get_level_values("depth")
        if len(rows) > 1 and kind in ("plain", "residual"):
            numbers = f"{style.number(high['mean'], 1)} against {style.number(low['mean'], 1)} % training error"
            numbers += f", {high['count']:.0f} and {low['count']:.0f} seeds" * bool(low["count"] + high["count"] > 2)
            does = "harm" if high["mean"] > low["mean"] else "help"
            if high["min"] <= low["max"] and low["min"] <= high["max"]:  # seeds of both depths lie among each other
                does = "have no sure effect on"
            does = "do not harm" if abs(high["mean"] - low["mean"]) < 1.0 else does
            clauses.append(f"{depths[-1] - depths[0]} more layers {does} a {kind} network ({numbers})")
    return "; ".join(clauses) + "." * bool(clauses)
