"""What a person sees of a run while it trains: one live line in a terminal, a line per log interval elsewhere."""

import io
import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text


def duration(seconds: float) -> str:
    """A length of time for people: "45 s", "12 min", "3 h 20 min"."""
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Reports one run: a line that is renewed in place and cut to the terminal's width, below lines that stay.

    Elsewhere, and where $TERM is dumb, the lines that stay are all. Output that nobody takes any more, of a closed
    terminal or pipe, is dropped, so that a training outlives its window.
    """

    def __init__(self, label: str, total: int, later: float = 0.0, stream=None):
        """`label` is what the lines begin with, `total` the iterations of the run; `stream` is standard output.

        `later` is the work of the runs after this one, as a multiple of what this one has left.
        """
        self.label, self.total, self.later, self.stream = label, total, later, stream or sys.stdout
        self.test, self.live, self.first = "", None, None  # (time, iteration) after the first call, which compiles
        # By the stream alone: kernels of notebooks set $FORCE_COLOR, which rich takes for a terminal.
        kind = {"force_terminal": self.stream.isatty(), "force_jupyter": False}
        self.console = Console(file=self.stream, highlight=False, markup=False, emoji=False, **kind)
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            quiet = {"auto_refresh": False, "redirect_stdout": False, "redirect_stderr": False}
            self.live = Live(console=self.console, transient=True, **quiet)

    def note(self, text: str) -> None:
        """Write a line that stays."""
        self._attempt(lambda: self.console.print(text, soft_wrap=True))

    def update(self, iteration: int, train_error: float) -> None:
        """After a call: renew the live line."""
        self.first = self.first or (time.perf_counter(), iteration)
        if self.live:
            line = Text(self._line(iteration, train_error, self.console.width), no_wrap=True, overflow="ellipsis")
            self._attempt(lambda: (self.live.start(), self.live.update(line, refresh=True)))

    def row(self, row: dict) -> None:
        """After a log interval: a line in a log or a notebook, and the test error for the live line."""
        for split in ("test", "validation"):
            if row.get(f"{split}_error") is not None:
                self.test = f", {split} {row[f'{split}_error']:.1f} %"
        if not self.live:
            speed = f"  {row['images_per_second']:.0f} images/s" if row["images_per_second"] else ""  # not of call one
            self.note(self._line(row["iteration"], row["train_error"]) + speed)

    def close(self) -> None:
        """Take the live line away."""
        if self.live:
            self._attempt(self.live.stop)

    def _line(self, iteration: int, train_error: float, width: int = 1000) -> str:
        """The state of the run; where it is wider than that, the time of all goes first, and then the label's end."""
        state = f"  {iteration}/{self.total}  train {train_error:.1f} %{self.test}"
        if self.first and iteration > self.first[1]:
            each = (time.perf_counter() - self.first[0]) / (iteration - self.first[1])
            left, later = each * (self.total - iteration), self.later * each * (self.total - self.first[1])
            state += f"  {duration(left)} left"
            of_all = f", {duration(left + later)} for all" if later else ""
            state += of_all if len(self.label + state + of_all) <= width else ""
        room = width - len(state)
        return (self.label if len(self.label) <= room else f"{self.label[: max(0, room - 1)]}…") + state

    def _attempt(self, write) -> None:
        try:
            write()
        except OSError:
            self.live, self.console = None, Console(file=io.StringIO())
