"""One process at a time, on this machine or on several that share a folder: `with Lock(path, "run x"):`.

A lock is a small file that names its owner. It is made by a hard link, which is atomic on network filesystems too,
where `flock` may be ignored; where there are no hard links, by exclusive creation. The owner touches it now and then.
An owner on this machine is dead when its process is; one elsewhere when it has not touched the file for `STALE`
seconds, by the clock of the filesystem. A dead owner's lock is taken over by exactly one of those who wait, and an
owner that was taken for dead (a suspended machine, a lost connection) finds out by `check` before it writes.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import platform
import tempfile
import threading
import time
import uuid
from pathlib import Path

from resnet_keras.errors import UserError

HEARTBEAT = 30.0  # seconds between two touches
STALE = 300.0  # seconds without a touch after which an owner on another machine is taken for dead
POLL = 0.5  # seconds between two looks of one who waits
FIELDS = {"host": str, "place": str, "pid": int, "started": str, "token": str}
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL}


class Held(UserError):
    """Another process is at work on this, and the caller would not wait."""


class Lost(UserError):
    """The lock was taken over by another process while this one seemed dead; nothing more may be written."""


class Lock:
    """A lock file.

    Args:
        path: The file, in a folder that exists or can be made.
        what: What it guards, for messages: "run x".
        wait: Whether `with` waits for another owner to end; otherwise it raises `Held`.
        say: Called once with a line when there is somebody to wait for.

    Attributes:
        waited: Whether another owner had to be waited for.
    """

    def __init__(self, path: Path, what: str, *, wait: bool = True, say=None):
        """Nothing is locked yet."""
        self.path, self.what, self.wait = Path(path), what, wait
        self.say = say or functools.partial(print, flush=True)
        self.me: dict = {}
        self.waited = False
        self.ended = threading.Event()

    def __enter__(self) -> Lock:
        """Take the lock, waiting for it if that is allowed.

        Raises:
            Held: Another process has it.
            OSError: No lock file can be made there.
        """
        self.made_folder = not self.path.parent.is_dir()
        self.me = _myself()
        while not _take(self.path, self.me):
            owner = _shown(_read(self.path))
            if not self.wait:
                raise Held(f"{self.what} is being worked on by {owner}: wait for it, or stop it first.")
            if not self.waited:
                self.say(f"{self.what} is being worked on by {owner}: waiting for it.")
                self.waited = True
            time.sleep(POLL)
        self.ended.clear()
        threading.Thread(target=self._beat, name=f"heartbeat of {self.path.name}", daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        """Give the lock back, unless it has been lost or this is a forked child of its owner."""
        self.ended.set()
        if self.me.get("pid") != os.getpid():
            return
        with contextlib.suppress(OSError):
            if self._mine():
                self.path.unlink()
            if self.made_folder:
                self.path.parent.rmdir()  # fails, as it should, where something lies in it by now

    def check(self) -> None:
        """See that the lock is still this process's; to be called before each write.

        Raises:
            Lost: It is not.
            OSError: The folder is gone.
        """
        if not self._mine():
            os.stat(self.path.parent)
            owner = _shown(_read(self.path))
            raise Lost(f"{self.what} was taken over by {owner} while this process stood still: it stops here.")

    def _mine(self) -> bool:
        return (_read(self.path) or {}).get("token") == self.me["token"]

    def _beat(self) -> None:
        while not self.ended.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                if self._mine():
                    os.utime(self.path)


def _take(path: Path, me: dict) -> bool:
    """Make the lock file, or replace that of a dead owner; whether it is ours now.

    Replacing is guarded by a second lock of the same kind, `<path>.takeover`, whose owner looks again before it
    acts: so one of many who find the same dead owner succeeds it, and none of them removes a living one's lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine, now = _draft(path, me)
    if mine is None:
        return False
    try:
        if _link(mine, path):
            return True
        seen = _read(path)
        if seen is None or not _dead(path, seen, now):
            return False
        takeover = path.with_name(f"{path.name}.takeover")
        if not _take(takeover, me):
            return False
        try:
            if _read(path) != seen:
                return False
            os.replace(mine, path)
            _sweep(path, now)
            return True
        finally:
            takeover.unlink(missing_ok=True)
    finally:
        mine.unlink(missing_ok=True)


def _draft(path: Path, me: dict) -> tuple[Path | None, float]:
    """A whole file beside the lock that names us, and the filesystem's time; None if somebody tidied it away."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}-", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(me, file)
        os.chmod(name, 0o644)  # mkstemp makes it private, and others are to read who has the lock
        return Path(name), os.stat(name).st_mtime
    except FileNotFoundError:
        return None, 0.0


def _link(mine: Path, path: Path) -> bool:
    """Give our file the lock's name if nothing bears it; whether it now does."""
    try:
        os.link(mine, path)
        return True
    except FileExistsError:
        # A server's answer may get lost after it has made the link; the count tells.
        with contextlib.suppress(OSError):
            return os.stat(mine).st_nlink == 2
        return False
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _create(mine, path)


def _create(mine: Path, path: Path) -> bool:
    """The same where there are no hard links: a reader may find the file empty for a moment."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(mine.read_bytes())
    return True


def _read(path: Path) -> dict | None:
    """Who has the lock; {} for a file that does not say, None where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            owner = json.loads(file.read(4096))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    whole = isinstance(owner, dict) and all(isinstance(owner.get(name), kind) for name, kind in FIELDS.items())
    return owner if whole else {}


def _dead(path: Path, owner: dict, now: float) -> bool:
    """Whether the owner of a lock file will not come back to it; `now` is the filesystem's time."""
    if owner and owner["place"] == _place():
        return _started(owner["pid"]) != owner["started"]
    try:
        return now - os.stat(path).st_mtime > STALE
    except FileNotFoundError:
        return False


def _sweep(path: Path, now: float) -> None:
    """Remove the drafts of processes that died before they could."""
    for draft in path.parent.glob(f"{path.name}*.tmp"):
        with contextlib.suppress(OSError):
            if now - draft.stat().st_mtime > STALE:
                draft.unlink()


def _myself() -> dict:
    pid = os.getpid()
    return {
        "host": platform.node() or "this machine",
        "place": _place(),
        "pid": pid,
        "started": _started(pid) or "",
        "token": uuid.uuid4().hex,
    }


def _shown(owner: dict | None) -> str:
    if not owner:
        return "another process"
    host = "".join(mark for mark in owner["host"] if mark.isprintable())
    return f"process {owner['pid']} on {host}"


@functools.cache
def _place() -> str:
    """Where process numbers mean the same: this boot of this machine, and the same container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux
        return f"{platform.node()} {uuid.getnode()}"


def _started(pid: int) -> str | None:
    """When a process of this machine began, which tells it from a later one of the same number; None if it is gone."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except OSError:
        pass
    import psutil

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return ""
