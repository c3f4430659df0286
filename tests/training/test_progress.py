"""What a person sees of many runs at once, in a terminal and in a log."""

import io
import re

import pytest

from resnet_keras.training.progress import Board, Standing


class Terminal(io.StringIO):
    """Keeps what stands on a screen that is written to."""

    def isatty(self):
        return True

    @property
    def screen(self):
        lines, row = [""], 0
        for part in re.split(r"(\x1b\[\d*[AJ]|\r|\n)", self.getvalue()):
            if part == "\n":
                row += 1
                lines += [""] * (row == len(lines))
            elif part.endswith("A"):
                row -= int(part[2:-1])
            elif part == "\x1b[J":
                del lines[row:]
                lines.append("")
            elif part != "\r":
                lines[row] += part
        return [line for line in lines if line]


@pytest.fixture
def rows():
    return {"a": Standing("resnet20"), "b": Standing("plain20", "training", "100 of 400"), "c": Standing("plain8")}


def test_the_table_stands_in_its_place_below_the_lines_that_stay(rows, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    board = Board(rows, Terminal())
    board.show()
    rows["b"].text = "200 of 400"
    board.show()
    board.note("something happened")
    rows["b"].state, rows["b"].text = "finished", ""
    board.show()
    assert board.stream.screen == [
        "something happened", "resnet20  waiting", "plain20   finished", "plain8    waiting",
        "3 runs: 1 finished, 2 waiting",
    ]  # fmt: skip
    board.done()
    assert board.stream.screen == ["something happened"]


def test_a_small_terminal_shows_those_under_way_and_wraps_nothing(rows, monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("LINES", "4")
    board = Board(rows, Terminal())
    for _ in range(3):
        board.show()
    screen = board.stream.screen
    assert screen[0].startswith("plain20   training") and len(screen) == 3
    assert max(map(len, screen)) < 24


def test_a_log_gets_a_line_for_each_under_way_once_a_period(rows):
    board = Board(rows, io.StringIO(), period=3600.0)
    board.show()
    board.note("something happened")
    assert board.stream.getvalue() == "something happened\n"
    board.period = 0.0
    board.show()
    assert board.stream.getvalue().splitlines()[1:] == [
        "plain20   training   100 of 400", "3 runs: 1 training, 2 waiting",
    ]  # fmt: skip
