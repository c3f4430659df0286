"""The errors that are meant for the person at the keyboard."""


class UserError(ValueError):
    """Something from outside cannot be used; in one line: what was given, what is allowed, what to do."""


class Interrupted(Exception):
    """A run was stopped by a signal and has saved itself; a shell expects 128 + `signal` as the exit code."""

    def __init__(self, number: int):
        super().__init__(f"stopped by signal {number}")
        self.signal = number


class ProcessLost(ConnectionError):
    """Another process of a training over several processes is gone; a normal exit would wait for it."""


class SomeFailed(Exception):
    """Some of many runs could not be made where they were sent; the others are done. The message is one line."""


def first_line(error: Exception, longest: int = 200) -> str:
    """What another library's error says first, short enough for a line of ours."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line if len(line) <= longest else f"{line[:longest]}..."
