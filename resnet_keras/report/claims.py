"""The paper's claims, each with the rule that decides about it (`claims.csv`), and what our runs say to them.

A rule compares a number of the runs of one network (`left`) with that of another, or with a fixed one (`right`):

    above   left is more than `margin` above right
    below   left is more than `margin` below right
    within  left and right differ by no more than `margin`

Seeds that both networks have are compared pair by pair. From three on the whole 95 % interval of the difference
has to lie above or below; a claim is open where only a part of it does. With fewer, their mean decides. What has to be
within the margin is the mean; the margin "std" is the standard deviation over seeds, pooled over both
networks. `scales` and `data` say where a rule applies (nothing: everywhere), and `needs` how many seeds it takes.
Numbers of different scales, data, precision or code are never compared.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import math

from resnet_keras.report import text
from resnet_keras.report.curves import recipe_words
from resnet_keras.report.measured import NUMBERS
from resnet_keras.report.paper import rows_of
from resnet_keras.report.records import deciding
from resnet_keras.report.selection import Group, Setting, row_of
from resnet_keras.report.statistics import Estimate, difference, estimate

REPRODUCED, NOT_REPRODUCED, OPEN, NOT_RUN = "reproduced", "not reproduced", "open", "not run"

# Relation -> whether it holds for one value of left minus right; a rule that is no row of this is refused.
RELATIONS = {
    "above": lambda value, margin: value > margin,
    "below": lambda value, margin: value < -margin,
    "within": lambda value, margin: abs(value) <= margin,
}
# Metric -> what a sentence calls it, and its unit. Others go by their own names.
METRICS = {
    "train_error": ("training error", " %"),
    "test_error": ("test error", " %"),
    **{f"{name}.{key}": (of.words, of.unit) for name, found in NUMBERS.items() for key, of in found.items()},
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A row of `claims.csv`.

    `metric` is a number of `summary.json` or, such as responses.std, of `measured.NUMBERS`. `left` and `right` are
    labels as `selection.Row` makes them; `right` may be a number instead. `margin` is None for the seeds' own.
    """

    name: str
    experiment: str
    claim: str
    place: str
    paper: str
    left: str
    metric: str
    relation: str
    right: str | float
    margin: float | None
    scales: tuple[str, ...]
    data: str
    needs: int
    reading: bool

    def __post_init__(self):
        """Refuse a rule that cannot be judged.

        Raises:
            ValueError: Naming the claim.
        """
        by_seeds = self.margin is None and (self.needs < 2 or isinstance(self.right, float))
        if self.relation not in RELATIONS or by_seeds or (self.margin or 0) < 0 or self.needs < 1:
            raise ValueError(f"claim {self.name!r}: relation, margin or needs is out of range; see claims.py.")

    def applies(self, setting: Setting) -> bool:
        """Whether the rule may be judged on runs of this setting."""
        return (not self.scales or setting.scale in self.scales) and (
            not self.data or fnmatch.fnmatchcase(setting.data, self.data)
        )


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the runs of one setting say to one claim; `setting` is None where there are no runs at all."""

    claim: Claim
    setting: Setting | None
    verdict: str
    ours: str = ""
    n: int = 0
    left: float | None = None
    right: float | None = None
    difference: Estimate | None = None
    margin: float = 0.0


@functools.cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the file."""
    return tuple(claim_from(row) for row in rows_of("claims.csv"))


def claim_from(row: dict[str, str]) -> Claim:
    """A claim from a row of the file."""
    return Claim(
        **{
            **row,
            "right": _number_or_label(row["right"]),
            "margin": None if row["margin"] == "std" else float(row["margin"]),
            "scales": tuple(row["scales"].split()),
            "needs": int(row["needs"]),
            "reading": row["reading"] == "yes",
        }
    )


def deciding_runs(experiment, scale: str, data: str, runs: list) -> list[list]:
    """For each claim that can be judged by runs of a scale on a data set, those of the runs whose numbers it compares.

    A claim that needs more seeds than there are is left out.

    Args:
        experiment: Of the catalogue.
        scale: "smoke", "short", "medium" or "paper".
        data: The data set's name, as in its identity.
        runs: The experiment's.
    """
    setting = Setting(scale, data, "", "", "", 0)
    with_precision = bool(experiment.precisions)
    labels = [row_of(r.network, r.shortcut, deciding(r.recipe), scale, with_precision).label for r in runs]
    found, seeds = [], len({run.seed for run in runs})
    for claim in claims():
        if claim.experiment == experiment.name and claim.applies(setting) and claim.needs <= seeds:
            taken = [run for run, label in zip(runs, labels, strict=True) if label in (claim.left, claim.right)]
            found.append(taken)
    return found


def findings(claim: Claim, settings: dict[Setting, list[Group]]) -> list[Finding]:
    """One finding for each setting in which the claim has runs; without any, one that says "not run"."""
    found = [judge(claim, setting, groups) for setting, groups in settings.items() if claim.applies(setting)]
    return [finding for finding in found if finding.n] or [Finding(claim, None, NOT_RUN)]


def judge(claim: Claim, setting: Setting, groups: list[Group]) -> Finding:
    """Apply the claim's rule to the runs of one setting."""
    by_label = {group.row.label: group for group in groups}
    left = _values(by_label, claim.left, claim.metric)
    if isinstance(claim.right, float):
        if not left:
            return Finding(claim, setting, NOT_RUN)
        mean = estimate(list(left.values()))
        margin = claim.margin
        gap = dataclasses.replace(
            mean, mean=mean.mean - claim.right, low=_less(mean.low, claim), high=_less(mean.high, claim)
        )
        ours, ends = f"{text.spread(mean.mean, mean.std)}{_interval(mean)}", (mean.mean, claim.right)
    else:
        right = _values(by_label, claim.right, claim.metric)
        if not left or not right:
            return Finding(claim, setting, NOT_RUN)
        gap = difference(left, right)
        sides = [estimate(list(side.values())) for side in _matched(left, right)]
        ends = tuple(side.mean for side in sides)
        margin = _pooled(sides) if claim.margin is None else claim.margin
        ours = f"{text.number(ends[0])} against {text.number(ends[1])}" + (
            f", difference {gap.mean:+.2f}{_interval(gap)}" if gap.n > 1 else ""
        )
    if gap.n < claim.needs:
        ours = f"{ours} ({gap.n} of {claim.needs} seeds)"
        return Finding(claim, setting, NOT_RUN, ours, gap.n, *ends, gap)
    values = [gap.mean] if claim.relation == "within" else gap.range
    holds = [RELATIONS[claim.relation](value, margin) for value in values]
    verdict = REPRODUCED if all(holds) else OPEN if any(holds) else NOT_REPRODUCED
    ours += f", standard deviation over seeds {margin:.2f}" if claim.margin is None else ""
    return Finding(claim, setting, verdict, ours, gap.n, *ends, gap, margin)


def reading(found: list[Finding]) -> str:
    """One sentence on the claims of one experiment in one setting, made of its numbers; empty where it has none."""
    told = [f for f in found if f.claim.reading and f.verdict != NOT_RUN and not isinstance(f.claim.right, float)]
    clauses, endings = [_clause(finding) for finding in told], [_ending(finding) for finding in told]
    if len(told) > 1 and len(set(endings)) == 1:  # say it once
        clauses, endings = [" and ".join(clauses)], [f", {'both' if len(told) == 2 else 'all'} {endings[0]}"]
    else:
        endings = [f", {ending}" for ending in endings]
    return text.capital("; ".join(map("".join, zip(clauses, endings, strict=True))) + ".") if told else ""


def _clause(finding: Finding) -> str:
    claim, gap = finding.claim, finding.difference
    left, right = (label_title(label) for label in (claim.left, claim.right))
    metric, unit = METRICS.get(claim.metric, (claim.metric.replace("_", " "), ""))
    digits = 1 if text.number(finding.left, 1) != text.number(finding.right, 1) else 2
    numbers = f"({text.number(finding.left, digits)} against {text.number(finding.right, digits)}{unit})"
    if gap.mean == 0:
        return f"{left} has the same {metric} as {right} {numbers}"
    return f"{left} has a {'higher' if gap.mean > 0 else 'lower'} {metric} than {right} {numbers}"


def _ending(finding: Finding) -> str:
    claim, gap = finding.claim, finding.difference
    if claim.margin is None:
        return f"a difference {'within' if finding.verdict == REPRODUCED else 'beyond'} that between seeds"
    source = "the paper" if claim.place.startswith(("Sec.", "Fig.", "Table")) else claim.place
    if finding.verdict == REPRODUCED:
        return f"as in {source}"
    against = [] if RELATIONS[claim.relation](gap.mean, finding.margin) else [f"unlike in {source}"]
    unsure = [f"but over {gap.n} seeds too little to be sure of"] if finding.verdict == OPEN else []
    return ", ".join(against + unsure)


def label_title(label: str) -> str:
    """plain56 -> plain-56, resnet56-A -> ResNet-56, resnet34-B -> ResNet-34 B, with what else tells rows apart."""
    name, _, recipe = label.partition(" ")
    network, _, option = name.partition("-")
    words = [text.network_title(network), *([option] if option not in ("", "A") else [])]
    return " ".join(words + ([recipe_words(recipe)] if recipe else []))


def _values(by_label: dict[str, Group], label: str, metric: str) -> dict[int, float]:
    return by_label[label].by_seed(metric) if label in by_label else {}


def _matched(left: dict, right: dict) -> tuple[dict, dict]:
    """Both sides over the seeds that are compared, so that the numbers shown are those of the verdict."""
    shared = left.keys() & right.keys()
    return tuple({s: v for s, v in side.items() if s in shared or not shared} for side in (left, right))


def _pooled(sides: list[Estimate]) -> float:
    """Standard deviation over seeds of both sides together; 0 where a side has a single seed."""
    return math.sqrt(sum((side.std or 0.0) ** 2 for side in sides) / len(sides))


def _interval(found: Estimate) -> str:
    return "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"


def _less(value: float | None, claim: Claim) -> float | None:
    return None if value is None else value - claim.right


def _number_or_label(word: str) -> str | float:
    try:
        return float(word)
    except ValueError:
        return word
