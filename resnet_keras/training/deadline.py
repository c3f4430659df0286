"""A moment by which a run has to be saved, and when to stop for it."""

from __future__ import annotations

import time

SAVING = 3.0  # seconds for a checkpoint and a summary


class Deadline:
    """So many seconds from now.

    A run stops after a call (some iterations, and whatever falls due after them) when another one as long as the
    longest so far might end too late. Calls that compile as well count until there is one that does not.
    """

    def __init__(self, seconds: float):
        """`seconds`: from now; infinity for no deadline."""
        self.at = time.monotonic() + seconds
        self.longest: float | None = None  # of the calls that did not compile

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.at - time.monotonic()

    def comes_before_another(self, took: float, compiled: bool) -> bool:
        """Whether it comes before a next call would have ended and been saved.

        Args:
            took: Seconds that the last call took.
            compiled: Whether it compiled as well.
        """
        if not compiled:
            self.longest = max(self.longest or 0.0, took)
        return self.left < (took if self.longest is None else self.longest) + SAVING
