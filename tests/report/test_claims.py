"""Verdicts: the rule by itself, simulated, and on runs."""

import re

import numpy as np
import pytest

from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import claims, paper, runs
from resnet_keras.report.statistics import difference
from resnet_keras.store import Store
from tests.report.synthetic import write_run

BY_NAME = {claim.name: claim for claim in claims.CLAIMS}
ABOVE = BY_NAME["degradation-test"]
WITHIN = BY_NAME["precision-resnet20"]


@pytest.mark.parametrize("n", range(1, 11))
@pytest.mark.parametrize("effect", [0, 1, 2])
@pytest.mark.parametrize("claim", [ABOVE, ABOVE._replace(relation="below"), WITHIN], ids=str)
def test_at_most_one_in_twenty_verdicts_is_false(claim, effect, n):
    """By simulation: the true difference is `effect` standard deviations of one run, n seeds a side."""
    draw = np.random.default_rng(n).normal(0, 1, (800, 2, n))
    draw[:, 0] += effect
    verdicts = [claims.verdict(claim, difference(*sides), 2000, "cifar10_jpeg") for sides in draw]
    true = {
        "above": {"supported"} if effect > 0 else set(),
        "below": {"contradicted"} if effect > 0 else set(),
        "within": {"contradicted"} if effect > claim.margin else {"equivalent"},
    }[claim.relation]
    decided = {"supported", "contradicted", "equivalent"}
    assert np.mean([word in decided - true for word in verdicts]) <= 0.05 + 0.016  # and two errors of the simulation
    if n < 3:
        assert set(verdicts) == {"too few seeds"}
    if n == 10 and effect == 2 and claim.relation != "within":
        assert np.mean([word in true for word in verdicts]) > 0.95


def first(root, name, left, right=(), scale="short", data="cifar10_jpeg"):
    """The finding that decides a claim when its two networks end with these errors, one a seed."""
    claim = BY_NAME[name]
    for label, values in ((claim.left, left), (str(claim.right), right)):
        for seed, error in enumerate(values):
            write_run(root, claims.split_label(label)[0], scale=scale, seed=seed, data=data, end=(error, error))
    return claims.findings(claim, runs.frame(Store(root)))[0]


LOW, HIGH = [30, 31, 32], [40, 41, 42]


@pytest.mark.parametrize(("name", "scale", "data", "left", "right", "expected"), [
    ("degradation-test", "short", "cifar10_jpeg", HIGH, LOW, "supported at 2,000 iterations"),
    ("degradation-test", "short", "cifar10_jpeg", LOW, HIGH, "contradicted at 2,000 iterations"),
    ("degradation-test", "short", "cifar10_jpeg", [40, 31, 36], [30, 38, 33], r"undecided \(P\(above\) = 0\.\d\d"),
    ("degradation-test", "short", "cifar10_jpeg", [40, 41], LOW, "too few seeds"),
    ("degradation-test", "paper", "cifar10", HIGH, LOW, "reproduced"),
    ("degradation-test", "paper", "cifar10", LOW, HIGH, "not reproduced"),
    ("degradation-test", "paper", "cifar10_jpeg", HIGH, LOW, "supported at 64,000"),
    ("degradation-training", "short", "cifar10", HIGH, LOW, "supported at 2,000 iterations"),
    ("residual-test", "short", "cifar10", HIGH, LOW, "behind so far, as expected"),
    ("residual-test", "paper", "cifar10_jpeg", HIGH, LOW, "contradicted at 64,000"),
    ("residual-110", "short", "cifar10", [20, 21, 22], LOW, "too short to tell"),
    ("resnet20-error", "paper", "cifar10", [8.7, 8.8, 8.75], [], "reproduced"),
    ("resnet20-error", "paper", "cifar10", [9.7, 9.8, 9.75], [], "not reproduced"),
    ("resnet20-error", "paper", "cifar10_jpeg", [8.7, 8.8, 8.75], [], "cannot be run here"),
    ("imagenet-101", "short", "cifar10", [], [], r"cannot be run here \(needs ImageNet\)"),
])  # fmt: skip
def test_words(tmp_path, name, scale, data, left, right, expected):
    assert re.match(expected, first(tmp_path, name, left, right, scale, data).verdict_text)


def test_the_longest_runs_with_enough_seeds_decide(tmp_path):
    first(tmp_path, "degradation-test", [20], [30], "medium")
    deciding = first(tmp_path, "degradation-test", HIGH, LOW)
    assert (deciding.iterations, deciding.verdict) == (2000, "supported")
    assert [f.verdict for f in claims.findings(ABOVE, runs.frame(Store(tmp_path)))] == ["supported", "too few seeds"]
    deciding = first(tmp_path, "degradation-test", [20, 21, 22], LOW, "paper")
    assert (deciding.iterations, deciding.verdict) == (64_000, "contradicted")


def test_runs_of_another_recipe_data_or_length_are_never_compared(tmp_path):
    for other in ({"learning_rate": 0.05}, {"precision": "bfloat16"}, {"scale": "medium"}, {"data": "shapes16"}):
        write_run(tmp_path, "plain56", **{"data": "cifar10_jpeg", **other})
    assert first(tmp_path, "degradation-test", [], LOW).gap is None


def test_all_seeds_of_both_sides_count_and_are_not_paired(tmp_path):
    finding = first(tmp_path, "degradation-test", HIGH, [30, 31, 32, 33, 34])
    assert (finding.seeds, finding.gap.mean) == ("3 and 5", pytest.approx(9.0))
    assert finding.effect.startswith("41.0 against 32.0: +9.0 [+")
    where = "(41.0 against 32.0 %, 3 and 5 seeds, float32)"
    assert finding.sentence.startswith(f"Plain-56 has a higher test error than plain-20 {where}: ")


def test_training_errors_are_compared_as_ratios(tmp_path):
    """One bad start of three is no longer too much to decide."""
    sides = [20, 21, 45], [5, 5.2, 5.4]
    finding, (low, high) = first(tmp_path, "degradation-training", *sides), difference(*sides).interval()
    assert finding.verdict == "supported" and low < 0 < high and finding.effect.startswith("28.7 against 5.2: × 5.1")


def test_gradients_are_judged_on_diverged_runs_too_and_before_training_on_all_seeds_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "checkout", lambda: tmp_path)
    name = write_run(tmp_path, "plain56", data="cifar10_jpeg", status="diverged")
    table = "iteration,layer,gradient_norm,weight_norm\n0,1,344,5\n0,2,0.72,5\n0,3,9,1\n"
    (tmp_path / "runs" / name / "gradients.csv").write_text(table)
    vanish, healthy = (first(tmp_path, f"gradients-{name}", []) for name in ("vanish", "healthy"))
    assert vanish.effect == "478" and healthy.verdict == "too few seeds"
    folder = tmp_path / "benchmarks" / "results"
    folder.mkdir(parents=True)
    write_run(tmp_path, "plain56", data="cifar10_jpeg", seed=1)  # not measured, and in nobody's place
    rows = [f"plain56,{seed},{300 + 20 * seed},0.75" for seed in range(5)]
    (folder / "start.csv").write_text("\n".join(["network,seed,first,last", *rows]))
    healthy = first(tmp_path, "gradients-healthy", [])
    assert (healthy.seeds, healthy.verdict_text, round(healthy.left.mean)) == ("5", "contradicted before training", 469)


def test_precisions_are_compared_within_a_margin(tmp_path):
    for precision, errors in (("bfloat16", [26.3, 26.4, 26.5]), ("float32", [26.0, 26.1, 26.2])):
        for seed, error in enumerate(errors):
            write_run(tmp_path, "resnet20", data="cifar10", precision=precision, seed=seed, end=(error, error))
    assert first(tmp_path, "precision-resnet20", []).verdict_text == "equivalent within 1"


def test_what_more_layers_do_is_said_in_a_sentence(tmp_path):
    for network, error in (("plain20", 60.04), ("plain32", 85.05), ("resnet20", 50), ("resnet32", 34)):
        write_run(tmp_path, network, scale="smoke", data="shapes16", end=(error, error))
    assert claims.reading(runs.frame(Store(tmp_path))) == (
        "12 more layers harm a plain network (85.1 against 60.0 % training error); "
        "12 more layers help a residual network (34.0 against 50.0 % training error)."
    )
    for seed, error in ((1, 52), (2, 90)):
        write_run(tmp_path, "resnet32", scale="smoke", data="shapes16", end=(error, error), seed=seed)
    assert "12 more layers have no sure effect on a residual network (58.7 against 50.0 % training error, 3 and 1" in (
        claims.reading(runs.frame(Store(tmp_path)))
    )


def test_claims_print_the_papers_numbers_and_name_networks_of_their_experiments():
    own = [row for row in paper.rows_of("paper.csv") if row["source"] == "paper"]
    known = {float(row[column]) for row in own for column in ("value", "std", "n") if row[column]}
    for claim in claims.CLAIMS:
        numbers = {float(word) for word in re.findall(r"\d+(?:\.\d+)?", claim.paper)}
        assert numbers <= known and (not numbers or claim.right in numbers or isinstance(claim.right, str)), claim.name
        experiment = EXPERIMENTS[claim.experiment]
        networks = {(run.network, run.shortcut) for scale in experiment.networks for run in experiment.runs(scale)}
        labels = [label for label in (claim.left, claim.right) if isinstance(label, str)]
        assert {claims.split_label(label)[:2] for label in labels} <= networks | {("resnet56", "A")}, claim.name
        assert claim.metric in claims.METRICS and claim.metric in runs.NUMERIC, claim.name
        assert claim.relation in ("above", "below", "within") and claim.margin > claim.ratios, claim.name
        assert claim.from_iterations == 0 or claim.source or claim.needs, claim.name
