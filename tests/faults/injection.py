"""Kills this process, or breaks its disk, at the n-th thing it does to the file system.

Counted are the calls that change something: opening to write, each half of each write, flushing, renaming, linking,
removing and so on. With every n from 0 up to the first that is never reached, no point between two system calls of a
writer is left out, and every write is torn once.
"""

import builtins
import contextlib
import io
import os
import signal
from pathlib import Path

CHANGING = (
    "close", "fsync", "replace", "rename", "link", "unlink", "remove", "chmod", "utime", "mkdir", "rmdir",
)  # fmt: skip


class Injector:
    """While entered, counts what is done and strikes at the `at`-th; with `at` None it only counts.

    Args:
        at: Which, from 0.
        error: The errno to raise; None to kill the process.
        lasting: Whether everything after it fails too, as on a disk that stays full, but for removing and closing.
    """

    def __init__(self, at=None, error=None, lasting=False):
        self.at, self.error, self.lasting = at, error, lasting
        self.count = 0
        self.handles = set()  # descriptors opened to write: closing others is not counted
        self.undo = contextlib.ExitStack()

    def __enter__(self):
        self.open, self.fdopen = os.open, os.fdopen
        for name in CHANGING:
            self._replace(os, name, self._struck(name, getattr(os, name)))
        self._replace(os, "open", self._os_open)
        self._replace(os, "fdopen", self._os_fdopen)
        former = builtins.open
        self._replace(builtins, "open", lambda *a, **k: self._opened(former, *a, **k))
        self._replace(io, "open", builtins.open)
        return self

    def __exit__(self, *_):
        self.undo.close()

    def _replace(self, module, name, new):
        self.undo.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, new)

    def strike(self, name="write"):
        """Count one thing done, and strike if its turn has come."""
        turn, self.count = self.count, self.count + 1
        if self.at is None or turn < self.at:
            return
        if self.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        if turn == self.at or (self.lasting and name not in ("close", "unlink", "remove", "rmdir")):
            raise OSError(self.error, os.strerror(self.error))

    def _struck(self, name, call):
        def counted(*arguments, **keywords):
            if name == "close" and arguments[0] not in self.handles:
                return call(*arguments, **keywords)
            if name == "close":  # a descriptor is given back even where closing it fails
                self.handles.discard(arguments[0])
                call(*arguments, **keywords)
                return self.strike(name)
            self.strike(name)
            return call(*arguments, **keywords)

        return counted

    def _os_open(self, path, flags, *arguments, **keywords):
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return self.open(path, flags, *arguments, **keywords)
        self.strike("open")
        handle = self.open(path, flags, *arguments, **keywords)
        self.handles.add(handle)
        return handle

    def _os_fdopen(self, handle, mode="r", *arguments, **keywords):
        file = self.fdopen(handle, mode, *arguments, **keywords)
        self.handles.discard(handle)  # the file closes it
        return Torn(file, self) if set(mode) & set("wax+") else file

    def _opened(self, former, path, mode="r", *arguments, **keywords):
        if not set(mode) & set("wax+") or not isinstance(path, (str, Path)):
            return former(path, mode, *arguments, **keywords)
        self.strike("open")
        return Torn(former(path, mode, *arguments, **keywords), self)


class Torn:
    """A file whose writes come in two halves, each of them on the disk before the next thing happens."""

    def __init__(self, file, injector):
        self.file, self.injector = file, injector

    def write(self, content):
        content = content if isinstance(content, str) else bytes(content)
        for half in (content[: len(content) // 2], content[len(content) // 2 :]):
            self.injector.strike()
            self.file.write(half)
            self.file.flush()
        return len(content)

    def close(self):
        self.file.close()
        self.injector.strike("close")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getattr__(self, name):
        return getattr(self.file, name)
