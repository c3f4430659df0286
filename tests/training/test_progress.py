"""What a person sees of a run while it trains."""

import io

from resnet_keras.training import progress


def test_the_time_left_is_that_of_the_speed_so_far_and_told_for_all_runs_after_a_minute(monkeypatch):
    """Ten seconds an iteration after a first call of half a minute; two equal runs are to follow."""
    now, stream = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    report = progress.Progress("[1/3] plain8", 21, 0, 2.0, stream)
    for iteration in range(1, 11):
        now[0] = 30.0 + 10 * (iteration - 1)
        report.update(iteration, 50.0)
    report.row({"iteration": 10, "train_error": 50.0, "images_per_second": 1.0})
    told, row = stream.getvalue().splitlines()
    assert told == "about 9 min for all by the speed so far"  # at 70 seconds: 13 iterations, then twice 21
    assert row.endswith("110 s left, 9 min for all".replace("110 s", "2 min"))
