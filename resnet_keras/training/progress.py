"""What a person sees of a run while it trains: one updating line in a terminal, a line per interval elsewhere."""

from __future__ import annotations

import sys
import time

MINUTE = 60.0  # seconds of training after which a run's speed is known well


def duration(seconds: float) -> str:
    """A length of time for people: "45 s", "12 min", "3 h 20 min"."""
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Reports one run.

    Args:
        label: What the lines begin with.
        total: Iterations of the run.
        start: Iterations already done.
        later: Work of the runs after this one, as a multiple of this one's, for the time left; 0 for a run alone.
        stream: Where to write; default: standard output.
    """

    def __init__(self, label: str, total: int, start: int = 0, later: float = 0.0, stream=None):
        """See the class."""
        self.label, self.total, self.start, self.later = label, total, start, later
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.first: tuple[float, int] | None = None  # (time, iteration) after the first call, which compiles
        self.shown = 0.0
        self.corrected = not later

    def update(self, iteration: int, train_error: float) -> None:
        """After a call: renew the terminal's line, and after a minute say how long all runs will take."""
        now = time.perf_counter()
        self.first = self.first or (now, iteration)
        if not self.corrected and now - self.first[0] > MINUTE:
            self.corrected = True
            self.note(f"about {duration(self._seconds_left(iteration, self.later))} for all by the speed so far")
        if self.live and now - self.shown > 0.2:
            self.shown = now
            self._show(f"{self._place(iteration)}  training error {train_error:5.1f} %  {self._left(iteration)}")

    def row(self, row: dict) -> None:
        """After a log interval: a line, in a log or a notebook."""
        if self.live:
            return
        parts = [self._place(row["iteration"]), f"training error {row['train_error']:5.1f} %"]
        for split in ("test", "validation"):
            if row.get(f"{split}_error") is not None:
                parts.append(f"{split} error {row[f'{split}_error']:5.1f} %")
        parts += [f"{row['images_per_second']:.0f} images/s"] if row["images_per_second"] else []  # not the first call
        parts.append(self._left(row["iteration"]))
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        """A line that stays."""
        if self.live:
            self.stream.write("\r\x1b[K")
        print(text, file=self.stream, flush=True)

    def _place(self, iteration: int) -> str:
        width = len(str(self.total))
        return f"{self.label}  iteration {iteration:{width}d} of {self.total}"

    def _left(self, iteration: int) -> str:
        if self.first is None or iteration <= self.first[1]:
            return ""
        left = f"{duration(self._seconds_left(iteration))} left"
        return f"{left}, {duration(self._seconds_left(iteration, self.later))} for all" if self.later else left

    def _seconds_left(self, iteration: int, later: float = 0.0) -> float:
        """Seconds to the end of this run and of what comes later, at the speed so far."""
        each = (time.perf_counter() - self.first[0]) / (iteration - self.first[1])
        return each * (self.total - iteration + later * (self.total - self.start))

    def _show(self, text: str) -> None:
        self.stream.write(f"\r\x1b[K{text}")
        self.stream.flush()


class Counter:
    """Shows in a terminal, and nowhere else, how far a test is: one line that goes when it is done."""

    def __init__(self, label: str, stream=None):
        """`label`: what the line begins with; `stream`: default: standard error, since results go to the other."""
        self.label, self.stream = label, stream or sys.stderr
        self.began = time.perf_counter()

    def update(self, counted, total: int) -> None:
        """After a batch: `counted` of `resnet_keras.evaluation.accuracy.Tally`, `total` images in all."""
        if self.stream.isatty():
            each = (time.perf_counter() - self.began) / counted.images
            left = duration(each * (total - counted.images))
            place = f"{counted.images:,} of {total:,} images"
            self.stream.write(f"\r\x1b[K{self.label}  {place}  error {counted.error():.2f} %  {left} left")
            self.stream.flush()

    def done(self) -> None:
        """Take the line away."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()
