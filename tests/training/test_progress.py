"""What a person sees of a run, in a terminal, in a log, and where nobody takes the output any more."""

import io
import re

import pytest

from resnet_keras.training import progress
from resnet_keras.training.progress import Progress, duration

ROW = {"iteration": 20, "train_error": 50.0, "test_error": 44.44, "images_per_second": 300.0}


class Terminal(io.StringIO):
    """A terminal of 80 columns, which knows what stands on its screen."""

    def isatty(self):
        return True

    @property
    def screen(self):
        text = re.sub(r"\x1b\[\?25[hl]", "", self.getvalue())  # the cursor is hidden, and shown
        text = re.sub(r"[^\n]*\r\x1b\[2K", "", text)  # the line is cleared
        text = re.sub(r"[^\n]*\n\r?\x1b\[1A\x1b\[2K", "", text)  # and the one above it
        return [line for line in text.splitlines() if line]


@pytest.fixture
def trained(monkeypatch):
    """A function that reports calls (seconds, iteration): by default two, the first of which compiled."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")

    def report_calls(report, *calls):
        for seconds, iteration in calls or ((5, 10), (25, 20)):
            monkeypatch.setattr(progress.time, "perf_counter", lambda now=seconds: float(now))
            report.update(iteration, 61.0)

    return report_calls


def test_a_terminal_shows_one_line_below_those_that_stay(trained):
    report = Progress("plain20", 100, stream=Terminal())
    trained(report)
    assert report.stream.screen == ["plain20  20/100  train 61.0 %  3 min left"]
    assert [duration(t) for t in (-1, 45.4, 89, 720, 12_000)] == ["0 s", "45 s", "89 s", "12 min", "3 h 20 min"]
    report.row(ROW)
    report.note("warm-up over")
    trained(report, (45, 30))
    assert report.stream.screen == ["warm-up over", "plain20  30/100  train 61.0 %, test 44.4 %  2 min left"]
    report.close()
    assert report.stream.screen == ["warm-up over"]


@pytest.mark.parametrize(("label", "total", "shown"), [
    ("[2/4] plain32", 1400, "[2/4] plain32  350/1400  train 61.0 %, test 44.4 %  2 min left, 6 min for all"),
    ("[2/4] plain32", 64_000, "[2/4] plain32  350/64000  train 61.0 %, test 44.4 %  1 h 34 min left"),
    ("[12/20] resnet56 without BN seed 1", 64_000, "[12/20] resnet56 without…  350/64000  train 61.0 %, test"),
])  # fmt: skip
def test_the_line_fits_80_columns_and_keeps_errors_and_time(trained, label, total, shown):
    report = Progress(label, total, later=2, stream=Terminal())
    trained(report, (0, 10))
    report.row(ROW)
    trained(report, (30, 350))
    (line,) = report.stream.screen
    assert len(line) <= 80 and line.startswith(shown) and "left" in line


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO, "xterm"), (Terminal, "dumb")], ids=["log", "dumb"])
def test_a_log_or_a_dumb_terminal_gets_a_line_an_interval_without_codes(trained, monkeypatch, stream, term):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as kernels of notebooks do
    report = Progress("plain20", 100, later=3.0, stream=stream())
    trained(report)
    report.row(ROW)
    trained(report, (70, 35))
    report.close()
    line = "plain20  20/100  train 50.0 %, test 44.4 %  3 min left, 12 min for all  300 images/s\n"
    assert report.stream.getvalue() == line


def test_output_that_nobody_takes_stops_nothing(trained):
    class Gone(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    report = Progress("plain20", 100, stream=Gone())
    trained(report)
    report.row(ROW)
    report.close()
