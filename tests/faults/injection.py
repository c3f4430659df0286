"""Kills this process, or breaks its disk, at the n-th thing it does to the file system.

Counted are the calls that change something: opening to write, each half of each write, flushing, closing, renaming and
so on. With every n from 0 up to the first that is never reached, no point between two system calls is left out.
"""

import builtins
import contextlib
import io
import os
import signal
from pathlib import Path

CHANGING = ("fsync", "replace", "rename", "unlink", "remove", "mkdir", "rmdir")


class Injector:
    """While entered, counts what is done and strikes at the `at`-th, from 0; with `at` None it only counts.

    It raises the errno `error`, or kills the process where that is None. With `lasting` everything after it fails too,
    as on a disk that stays full, but for removing and closing.
    """

    def __init__(self, at=None, error=None, lasting=False):
        self.at, self.error, self.lasting, self.count = at, error, lasting, 0
        self.undo = contextlib.ExitStack()

    def __enter__(self):
        self.open = builtins.open
        for name in CHANGING:
            self._replace(os, name, self._struck(name, getattr(os, name)))
        for module in (builtins, io):
            self._replace(module, "open", self._opened)
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
            self.strike(name)
            return call(*arguments, **keywords)

        return counted

    def _opened(self, path, mode="r", *arguments, **keywords):
        if not set(mode) & set("wax+") or not isinstance(path, (str, Path)):
            return self.open(path, mode, *arguments, **keywords)
        self.strike("open")
        return Torn(self.open(path, mode, *arguments, **keywords), self)


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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.injector.strike("close")

    def __getattr__(self, name):
        return getattr(self.file, name)
