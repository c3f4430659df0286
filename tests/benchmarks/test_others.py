"""The other benchmarks: what they read of the system, and that each runs at its smallest."""

import sys

import pytest

pytest.importorskip("tensorflow")

from benchmarks import __main__ as command
from benchmarks import memory, page, profile, records


def test_quartiles_of_known_values():
    assert records.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert records.spread([7.0]) == {"median": 7.0, "low": 7.0, "high": 7.0}


def test_memory_that_a_process_takes_is_seen():
    code = "import time; held = bytearray(200_000_000); time.sleep(1.0)"
    seen = memory.watch([sys.executable, "-c", code])
    assert 200 < max(megabytes for _, megabytes in seen) * 2**20 / 1e6 < 300


def test_operations_are_summed_by_kind(tmp_path):
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    space = XSpace()
    plane = space.planes.add()
    lines = {"tf_Compute/1": plane.lines.add(name="tf_Compute/1"), "python": plane.lines.add(name="python")}
    events = [
        ("tf_Compute/1", "a/conv:_MklNativeConv2DBackpropFilter", 3),
        ("tf_Compute/1", "b:Conv2D", 2),
        ("tf_Compute/1", "c:FusedBatchNormGradV3", 4),
        ("tf_Compute/1", "loop:While", 100),
        ("tf_Compute/1", "ExecutorState::Process", 100),
        ("python", "d:Conv2D", 100),
    ]
    for number, (line, name, seconds) in enumerate(events, start=1):
        plane.event_metadata[number].name = name
        lines[line].events.add(metadata_id=number, duration_ps=seconds * 10**12)
    (tmp_path / "trace").write_bytes(space.SerializeToString())
    assert profile.by_kind(tmp_path / "trace") == {"convolution": 5.0, "batch normalization": 4.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("profile", ["convolution", "floor: convolutions"]),
        ("data", ["times_training"]),
        ("evaluation", ["Keras evaluate", "Keras predict"]),
        ("scaling", ["devices", "runs", "efficiency"]),
    ],
)
def test_each_runs_at_its_smallest(name, columns, capsys):
    command.main(["--smoke", name])
    out = capsys.readouterr().out
    assert all(column in out for column in columns)


def test_the_page_says_which_targets_are_met(tmp_path):
    where = {"device": "test CPU", "system": "Linux", "python": "3", "packages": "keras=3", "commit": "0", "load": 0.1}
    where["measured"] = records.now()
    steps = [
        {"network": "resnet20", "contender": "Keras fit", "precision": "float32", "ours_faster": 2.6, **where},
        {"network": "resnet20", "contender": "tf.function", "precision": "bfloat16", "ours_faster": 0.9, **where},
    ]
    records.write(tmp_path / "train_step.csv", steps)
    seconds = [{"what": "import", "seconds": 0.6, "limit": 0.5, **where}, {"what": "pass", "seconds": 9, **where}]
    records.write(tmp_path / "startup.csv", seconds)
    faster = {"contender": "Keras evaluate", "seconds": 9.0, "ours_faster": 1.6, "limit": 1.5, **where}
    records.write(tmp_path / "evaluation.csv", [faster])
    shown = page.write(tmp_path, command.BENCHMARKS).read_text()
    verdicts = ["met: 2.5", "missed: 0.95", "missed: 0.5", "met: 1.5"]
    assert [shown.count(f"| {verdict} |") for verdict in verdicts] == [1, 1, 1, 1]
    assert "test CPU" in shown and "load" in shown and "## memory" not in shown


def test_scaling_compares_within_a_round_and_draws(tmp_path):
    from benchmarks import scaling

    speeds = {("devices", 1): [100.0, 50.0], ("devices", 2): [180.0, 90.0], ("runs", 1): [10.0, 20.0]}
    speeds["runs", 2] = [20.0, 40.0]
    rows = scaling._rows(speeds, "plain8", 16)
    assert [row["efficiency"] for row in rows] == [1.0, 0.9, 1.0, 1.0]
    records.write(tmp_path / "scaling.csv", rows)
    assert scaling.draw(tmp_path / "scaling.csv").stat().st_size > 5000
