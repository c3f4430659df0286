"""Verdicts, both ways."""

import re

import pytest

from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import claims, paper, records, selection
from resnet_keras.store import Store
from tests.report.synthetic import write_run

BY_NAME = {claim.name: claim for claim in claims.claims()}


def findings(root, name, scale="short", **ends):
    """What the store says to a claim when these networks end with these test errors, one a seed."""
    for network, values in ends.items():
        for seed, error in enumerate(values):
            if error is not None:
                write_run(root, network, scale=scale, seed=seed, end=(error, error))
    claim = BY_NAME[name]
    settings, problems = selection.select(EXPERIMENTS[claim.experiment], records.read(Store(root))[0])
    assert not problems
    return claims.findings(claim, settings)


def verdict(*arguments, **ends):
    (finding,) = findings(*arguments, **ends)
    return finding.verdict


@pytest.mark.parametrize(
    ("plain20", "plain56", "expected"),
    [
        ([30], [40], "reproduced"),
        ([40], [30], "not reproduced"),
        ([30], [30], "not reproduced"),
        ([30, 31, 32], [40, 41, 42], "reproduced"),
        # Higher in the mean, but by less than three pairs can tell from chance.
        ([30, 31, 32], [40, 25, 33], "open"),
        # Lower in the mean, and as unsure; lower beyond doubt.
        ([40, 25, 33], [30, 31, 32], "open"),
        ([40, 41, 42], [30, 31, 32], "not reproduced"),
        # The seeds differ much, the pairs do not.
        ([10, 30, 50], [11, 31.1, 51.2], "reproduced"),
        # No seed is shared: Welch.
        ([30, 31, 32], [None, None, None, 40, 41, 42], "reproduced"),
        ([30], [], "not run"),
        ([], [], "not run"),
    ],
)
def test_above(tmp_path, plain20, plain56, expected):
    assert verdict(tmp_path, "degradation-test", plain20=plain20, plain56=plain56) == expected


@pytest.mark.parametrize(
    ("resnet20", "resnet56", "expected"), [([30], [20], "reproduced"), ([20], [30], "not reproduced")]
)
def test_below(tmp_path, resnet20, resnet56, expected):
    assert verdict(tmp_path, "residual-test", resnet20=resnet20, resnet56=resnet56) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [(8.75, "reproduced"), (9.2, "reproduced"), (8.3, "reproduced"), (9.3, "not reproduced")],
)
def test_within_of_a_printed_number(tmp_path, error, expected):
    assert verdict(tmp_path, "resnet20-error", scale="paper", resnet20=[error]) == expected


def test_printed_numbers_are_for_paper_scale_alone(tmp_path):
    assert verdict(tmp_path, "resnet20-error", scale="short", resnet20=[8.75]) == "not run"


def test_a_claim_about_repeats_waits_for_them(tmp_path):
    (finding,) = findings(tmp_path, "resnet110-error", scale="paper", resnet110=[6.6, 6.7])
    assert finding.verdict == "not run" and "2 of 5 seeds" in finding.ours
    (finding,) = findings(tmp_path, "resnet110-error", scale="paper", resnet110=[None, None, 6.6, 6.7, 6.5])
    assert finding.verdict == "reproduced" and finding.n == 5


def test_scales_are_never_compared(tmp_path):
    write_run(tmp_path, "plain20", scale="paper", end=(1, 1))
    assert verdict(tmp_path, "degradation-test", plain56=[40]) == "not run"


def test_each_setting_has_its_own_verdict(tmp_path):
    write_run(tmp_path, "plain20", scale="paper", end=(50, 50))
    write_run(tmp_path, "plain56", scale="paper", end=(40, 40))
    found = findings(tmp_path, "degradation-test", plain20=[30], plain56=[40])
    assert [(f.setting.scale, f.verdict) for f in found] == [("paper", "not reproduced"), ("short", "reproduced")]


@pytest.mark.parametrize(
    ("bfloat16", "float32", "expected"),
    [
        # Three tenths apart in every pair, and the seeds differ by one.
        ([26.3, 27.3, 28.3], [26.0, 27.0, 28.0], "reproduced"),
        # Just as far apart, where seeds hardly differ.
        ([26.3, 26.4, 26.5], [26.0, 26.1, 26.2], "not reproduced"),
        ([26.3, 27.3], [26.0, 27.0], "not run"),
    ],
)
def test_precisions_are_compared_with_the_seeds(tmp_path, bfloat16, float32, expected):
    for precision, errors in (("bfloat16", bfloat16), ("float32", float32)):
        for seed, error in enumerate(errors):
            write_run(tmp_path, "resnet20", precision=precision, seed=seed, end=(error, error))
    (finding,) = findings(tmp_path, "precision-test-resnet20")
    assert (finding.verdict, finding.setting.precision) == (expected, "bfloat16 and float32")
    assert finding.difference.paired and finding.difference.mean == pytest.approx(0.3)
    assert claims.reading([finding]).startswith("ResNet-20 bfloat16 has" if expected != "not run" else "")


def test_a_measurement_can_be_claimed(tmp_path):
    for network, std in (("plain56", 2.0), ("resnet56", 1.0)):
        name = write_run(tmp_path, network)
        (tmp_path / "runs" / name / "responses.csv").write_text(f"layer,std\n1,{std}\n2,{std + 1}\n")
    (finding,) = findings(tmp_path, "responses-plain")
    assert (finding.verdict, finding.left, finding.right) == ("reproduced", 1.5, 2.5)


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (
            {"plain20": [30], "plain56": [40], "resnet20": [30], "resnet56": [20]},
            "Plain-56 has a higher training error than plain-20 (40.0 against 30.0 %) and ResNet-56 has a lower "
            "training error than ResNet-20 (20.0 against 30.0 %), both as in the paper.",
        ),
        (
            {"plain20": [30], "plain56": [40], "resnet20": [20], "resnet56": [30]},
            "Plain-56 has a higher training error than plain-20 (40.0 against 30.0 %), as in the paper; ResNet-56 has "
            "a higher training error than ResNet-20 (30.0 against 20.0 %), unlike in the paper.",
        ),
        (
            {"plain20": [30, 31, 32], "plain56": [40, 25, 33]},
            "Plain-56 has a higher training error than plain-20 (32.7 against 31.0 %), but over 3 seeds too little "
            "to be sure of.",
        ),
        ({"plain20": [30.0], "plain56": [30.0]}, "Plain-56 has the same training error as plain-20 (30.00 against"),
        ({"plain20": [30]}, ""),
    ],
)
def test_the_sentence_follows_the_numbers(tmp_path, ends, sentence):
    found = findings(tmp_path, "degradation-training", **ends)
    found += [f for f in findings(tmp_path, "residual-training") if f.setting]
    assert claims.reading(found).startswith(sentence) if sentence else claims.reading(found) == ""


def test_what_the_claims_print_is_in_the_papers_table():
    """Each number of the claims' texts stands in paper.csv, too."""
    own = [row for row in paper.rows_of("paper.csv") if row["source"] == "paper"]
    known = {float(row[column]) for row in own for column in ("value", "std", "n") if row[column]}
    for claim in claims.claims():
        text = re.sub(r"\(\d+ layers on ImageNet\)", "", claim.paper)
        numbers = [float(word) for word in re.findall(r"\d+(?:\.\d+)?", text)]
        assert set(numbers) <= known, claim.name
        if isinstance(claim.right, float):
            assert claim.right in numbers, claim.name


def setting(scale):
    return selection.Setting(scale, "cifar10", "3.0.2", "CIFAR-10", "float32", 1)


def test_claims_name_networks_of_their_experiments():
    for claim in claims.claims():
        experiment = EXPERIMENTS.get(claim.experiment)
        if experiment is None:
            continue
        scales = claim.scales or ("short",)
        rows = {row.label for scale in scales for row in selection.planned_rows(experiment, setting(scale))}
        wanted = {claim.left} | ({claim.right} if isinstance(claim.right, str) else set())
        assert wanted <= rows, claim.name


def test_a_rule_that_cannot_be_judged_is_refused():
    row = {**paper.rows_of("claims.csv")[0], "relation": "looks like"}
    with pytest.raises(ValueError, match="degradation-training"):
        claims.claim_from(row)
