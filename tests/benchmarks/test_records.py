"""What becomes of measurements: spreads, ratios, verdicts, and files that keep the rows of other machines."""

import pytest

from benchmarks import __main__ as command
from benchmarks import page, records, train_step
from benchmarks.contenders import Contender


def test_turns_are_interleaved_after_a_round_of_warm_up_and_have_median_and_quartiles():
    log = []
    ways = {name: lambda name=name: log.append(name) or len(log) for name in "ab"}
    assert records.interleaved(ways, rounds=2) == {"a": [3, 5], "b": [4, 6]} and log == ["a", "b"] * 3
    expected = {"seconds": 3, "lower_quartile": 2, "upper_quartile": 4, "rounds": 5}
    assert records.spread("seconds", [1.0, 2.0, 3.0, 4.0, 5.0]) == expected


class Fake:
    """A worker whose steps take a known time."""

    def __init__(self, name, precision, seconds):
        self.contender = Contender(name, precision, "", {}, {})
        self.seconds, self.started, self.log = seconds, {"versions": "keras=3"}, []

    def call(self, method, argument):
        self.log.append(argument)
        return argument * self.seconds if method == "take" else 0.03


@pytest.mark.parametrize(("kind", "verdict"), [("AMX", "met: >= 1.0"), ("AVX-512 with bfloat16", "missed: >= 1.05")])
def test_ratios_are_those_of_medians_and_the_target_that_of_the_class(kind, verdict):
    workers = [
        Fake("resnet_keras", "bfloat16", 0.1), Fake("resnet_keras", "float32", 0.2), Fake("Keras fit", "float32", 0.3),
        Fake("PyTorch compiled", "bfloat16", 0.102),
    ]  # fmt: skip
    speeds = train_step.take_turns(workers, command.parse(["--rounds", "3"]))
    assert workers[0].log == [1, 25, 25, 25, 25, 25, 25] and workers[2].log[-3:] == [8, 8, 8]
    rows = train_step.rows_of("resnet20", workers, speeds, kind)
    assert [row["images_per_second"] for row in rows] == [1280.0, 640.0, 427.0, 1250.0]
    assert [row["ours_faster"] for row in rows] == [1.0, 2.0, 3.0, 1.02]
    assert [row["same_precision"] for row in rows] == [1.0, 1.0, 1.5, 1.02]
    assert [row["target"] for row in rows] == ["", "", "met: >= 2.5", verdict]
    assert "python_percent" in train_step.rows_of("resnet20", workers, speeds, "gpu")[0]
    left_out = [bool(train_step.left_out(workers[0].contender, kind)) for kind in ("AVX2", "AMX")]
    assert left_out == [True, False], "bfloat16 is left out where it takes seconds a step"


def test_rows_of_other_classes_and_networks_stay(tmp_path):
    path = tmp_path / "train_step.csv"
    for kind, network, speed in (("AVX2", "a", "1"), ("AMX", "a", "2"), ("AMX", "b", "3"), ("AMX", "a", "4")):
        where = {"class": kind, "measured": "2026-01-01", "device": f"a {kind}"}
        where = dict.fromkeys(records.ENVIRONMENT, "0") | where
        records.write(path, [{"network": network, "images_per_second": speed, "target": "met: >= 1", **where}])
    kept = records.read(path)
    assert kept["images_per_second"].tolist() == ["1", "3", "4"] and kept["class"].tolist() == ["AVX2", "AMX", "AMX"]
    shown = page.write(tmp_path, command.BENCHMARKS).read_text()
    assert shown.count("### ") == 2 and "| b | 3 | met: >= 1 |" in shown and "## startup" not in shown
