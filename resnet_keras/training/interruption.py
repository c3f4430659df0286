"""Ctrl-C and SIGTERM end a run between two calls, after a checkpoint, instead of in the middle of anything."""

from __future__ import annotations

import signal
import threading


class Interrupted(Exception):
    """A run was stopped from outside and has saved itself.

    Attributes:
        signal: The signal's number; a shell expects 128 + it as the exit code.
    """

    def __init__(self, number: int):
        """`number`: the signal's."""
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class Interruption:
    """While it is entered, remembers SIGINT and SIGTERM instead of acting on them. A second one acts at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        """Nothing has come yet."""
        self.number: int | None = None

    def __enter__(self):
        """Take the signals over; threads other than the main one may not, and go without."""
        self.former = {}
        if threading.current_thread() is threading.main_thread():
            self.former = {number: signal.signal(number, self._remember) for number in self.SIGNALS}
        return self

    def __exit__(self, *_):
        """Give the signals back."""
        for number, handler in self.former.items():
            signal.signal(number, handler)

    def _remember(self, number, _frame):
        self.number = number
        signal.signal(number, self.former[number])
