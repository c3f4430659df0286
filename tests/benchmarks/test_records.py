"""What becomes of measurements: spreads, ratios, verdicts, and files that keep the rows of other machines."""

import pytest

from benchmarks import __main__ as command
from benchmarks import page, records, train_step
from benchmarks.contenders import Contender


def test_median_and_quartiles_of_known_values():
    expected = {"seconds": 3, "lower_quartile": 2, "upper_quartile": 4, "rounds": 5}
    assert records.spread("seconds", [1.0, 2.0, 3.0, 4.0, 5.0]) == expected


def test_turns_are_interleaved_after_a_round_of_warm_up():
    log = []
    ways = {name: lambda name=name: log.append(name) or len(log) for name in "ab"}
    assert records.interleaved(ways, rounds=2) == {"a": [3, 5], "b": [4, 6]}
    assert log == ["a", "b"] * 3


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
        Fake("resnet_keras", "bfloat16", 0.1),
        Fake("resnet_keras", "float32", 0.2),
        Fake("Keras fit", "float32", 0.3),
        Fake("PyTorch compiled", "bfloat16", 0.102),
    ]
    options = command.parse(["--rounds", "3"])
    speeds = train_step.take_turns(workers, options)
    assert workers[0].log == [1, 25, 25, 25, 25, 25, 25] and workers[2].log[-3:] == [8, 8, 8]
    rows = train_step.rows_of("resnet20", workers, speeds, kind)
    assert [row["images_per_second"] for row in rows] == [1280.0, 640.0, 427.0, 1250.0]
    assert [row["ours_faster"] for row in rows] == [1.0, 2.0, 3.0, 1.02]
    assert [row["same_precision"] for row in rows] == [1.0, 1.0, 1.5, 1.02]
    assert [row["target"] for row in rows] == ["", "", "met: >= 2.5", verdict]
    assert "python_percent" in train_step.rows_of("resnet20", workers, speeds, "gpu")[0]


def test_what_cannot_be_measured_on_a_class_says_why():
    bfloat16, twin = Contender("PyTorch", "bfloat16", "", {}, {}), Contender("Keras fit, oneDNN", "float32", "", {}, {})
    assert "no bfloat16" in train_step.left_out(bfloat16, "AVX2") and not train_step.left_out(bfloat16, "AMX")
    assert "oneDNN by itself" in train_step.left_out(twin, "AMX") and not train_step.left_out(twin, "AVX2")


def rows(kind, network, speed):
    where = dict.fromkeys(records.ENVIRONMENT, "0") | {"class": kind, "measured": "2026-01-01", "device": f"a {kind}"}
    return [{"network": network, "images_per_second": speed, "target": "met: >= 1", **where}]


def test_rows_of_other_classes_and_networks_stay(tmp_path):
    path = tmp_path / "train_step.csv"
    for kind, network, speed in (("AVX2", "a", "1"), ("AMX", "a", "2"), ("AMX", "b", "3"), ("AMX", "a", "4")):
        records.write(path, rows(kind, network, speed))
    kept = records.read(path)
    assert kept["images_per_second"].tolist() == ["1", "3", "4"] and kept["class"].tolist() == ["AVX2", "AMX", "AMX"]
    shown = page.write(tmp_path, command.BENCHMARKS).read_text()
    assert shown.count("### ") == 2 and "| b | 3 | met: >= 1 |" in shown and "a AVX2" in shown
    assert "## startup" not in shown


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["trian_step"], ["--networks", "resnet21"]])
def test_a_mistake_is_refused(capsys, arguments):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert "error:" in capsys.readouterr().err
