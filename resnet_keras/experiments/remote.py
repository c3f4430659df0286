"""A run trained in another process, on this machine or elsewhere: both ends of it.

`work` is what that process does. `Home` is the results folder it works for. Where both see the same folder, the worker
trains in it, with its lock. Elsewhere it trains in a folder of its own machine, Home holds the lock, and every
checkpoint comes home packed as `transfer` packs it, so that whoever takes the run up next goes on from there.

Nothing here knows what carries the calls from one to the other; `cluster.py` does that with Ray.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import platform
import shutil
import tempfile
import time
import uuid
from pathlib import Path

from resnet_keras.errors import UserError, first_line
from resnet_keras.experiments import measurements, transfer
from resnet_keras.locks import Held, Lock, Lost
from resnet_keras.store import Store
from resnet_keras.training.checkpoint import checkpoints
from resnet_keras.training.deadline import Deadline
from resnet_keras.training.progress import Progress
from resnet_keras.training.run import Run

PROBE = ".probe-"  # what the name of a file begins with by which two processes find out whether they share a folder
BETWEEN = 1.0  # seconds between two reports of a worker


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker is told of a run.

    Attributes:
        run: What to train.
        name: The run's, as the data and the code of whoever sends it make it.
        measures: What to measure on it then.
        results: The results folder, absolute; the worker may or may not see it.
        session: A word that no other experiment has: names the worker's own folder.
        data_dir: Where data sets lie; None for each machine's default.
        environment: Variables to set before anything is imported.
        deterministic: As the command line takes it.
        attempt: Which one this is, from 0.
    """

    run: Run
    name: str
    measures: tuple[str, ...]
    results: str
    session: str
    data_dir: str | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    deterministic: bool = False
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a worker ended.

    Attributes:
        status: "done", "interrupted" (saved, to be gone on with), "held" (another process is at work on the run) or
            "failed".
        node: The machine's name.
        text: Why, in one line.
    """

    status: str
    node: str
    text: str = ""


class Home:
    """The results folder that workers work for. One object answers them all, one call after the other."""

    def __init__(self, results: str, forced: tuple[str, ...] = ()):
        """`results`: the folder; `forced`: names of runs to begin anew."""
        self.store = Store(results)
        self.forced = set(forced)
        self.attempts: dict[str, int] = {}
        self.locks: dict[str, Lock] = {}
        self.told: dict[str, dict] = {}
        self.notes: list[str] = []
        self.stopping = False

    def sees(self, name: str) -> bool:
        """Whether a worker's probe is here: it then sees this very folder."""
        return name.startswith(PROBE) and (self.store.root / Path(name).name).is_file()

    def begin(self, name: str, attempt: int, shared: bool, node: str) -> bytes | None:
        """A worker takes a run up; where it does not share the folder, it gets what there is of the run, packed.

        Raises:
            Held: Another process is at work on the run here.
        """
        folder = self.store.run(name)
        self.attempts[name] = attempt
        if name not in self.locks:
            self.locks[name] = folder.lock(wait=False)
            try:
                self.locks[name].__enter__()
            except BaseException:
                del self.locks[name]
                raise
        if name in self.forced:
            folder.clear()
            self.forced.discard(name)
        self.told[name] = {"attempt": attempt, "node": node}
        if shared:
            self._unlock(name)  # the worker takes the lock itself
            return None
        return packed(self.store, name)

    def tell(self, name: str, attempt: int, **news) -> bool:
        """A worker says how far it is; returns whether it is to stop.

        Raises:
            Lost: Another worker has taken the run up meanwhile.
        """
        self._check(name, attempt)
        self.notes += [news.pop("note")] if "note" in news else []
        self.told.setdefault(name, {}).update(news)
        return self.stopping

    def keep(self, name: str, attempt: int, content: bytes) -> None:
        """Put what a worker has of a run in its place here, if it is further than what is there.

        Raises:
            Lost: Another worker or process has taken the run up meanwhile.
            UserError: It is not whole.
        """
        self._check(name, attempt)
        self.locks[name].check()
        unpacked(self.store, name, content, held=(name,))

    def end(self, name: str) -> None:
        """Nobody is to work on the run any more."""
        self.attempts.pop(name, None)
        self._unlock(name)

    def stop(self) -> None:
        """Ask all workers to save themselves and stop."""
        self.stopping = True

    def news(self) -> tuple[dict[str, dict], list[str]]:
        """(run's name -> what its worker said last, lines since the last call)."""
        notes, self.notes = self.notes, []
        return self.told, notes

    def close(self) -> None:
        """Give every lock back."""
        for name in list(self.locks):
            self.end(name)

    def _unlock(self, name: str) -> None:
        lock = self.locks.pop(name, None)
        if lock is not None:
            lock.__exit__()

    def _check(self, name: str, attempt: int) -> None:
        if self.attempts.get(name) != attempt:
            raise Lost(f"run {name} was taken up by another worker while this one seemed dead: it stops here.")


def packed(store: Store, name: str) -> bytes | None:
    """A run as a tar, with its network and its newest checkpoint; None where there is nothing to go on from."""
    folder = store.run(name)
    if not folder.done and not checkpoints(folder.path):
        return None
    with tempfile.TemporaryDirectory(prefix="resnet-keras-") as place:
        file = Path(place) / "run.tar"
        transfer.export(store, [name], file, weights=True, with_checkpoints=True)
        return file.read_bytes()


def unpacked(store: Store, name: str, content: bytes, held=()) -> None:
    """Add a run that `packed` made to a store; checked, as `transfer.import_runs` does."""
    with tempfile.TemporaryDirectory(prefix="resnet-keras-") as place:
        file = Path(place) / "run.tar"
        file.write_bytes(content)
        store.root.mkdir(parents=True, exist_ok=True)
        transfer.import_runs(store, file, held)


def work(job: Job, home) -> Outcome:
    """Train and measure one run; what is wrong here comes back in words.

    Args:
        job: The run.
        home: A `Home`, or what passes the calls on to one.
    """
    node = platform.node() or "a machine without a name"
    try:
        with contextlib.closing(Desk(job, home, node)) as desk:
            if desk.tell(text="starting"):
                return Outcome("interrupted", node)
            prepare(job.environment, job.deterministic)
            return Outcome(desk.work(), node)
    except Held as error:
        return Outcome("held", node, str(error))
    except (UserError, ImportError) as error:
        return Outcome("failed", node, first_line(error))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return Outcome("failed", node, f"{error.strerror or first_line(error)}{where}")


def prepare(environment: dict[str, str], deterministic: bool = False) -> None:
    """Set the variables and import Keras with its backend, unless an earlier run of this process has done it."""
    os.environ.update(environment)
    if deterministic:
        from resnet_keras.training import determinism

        determinism.enable()
    else:
        from resnet_keras.quiet import load_keras

        load_keras()


class Desk:
    """Where a worker works on one run: the results folder itself, or a folder of its own machine."""

    def __init__(self, job: Job, home, node: str):
        """Take the run up.

        Raises:
            Held: Another process is at work on the run at home.
        """
        self.job, self.home = job, home
        self.shared = shares(job.results, home)
        self.own = Path(tempfile.gettempdir()) / f"resnet-keras-{job.session}"
        self.store = Store(job.results if self.shared else self.own)
        self.folder = self.store.run(job.name)
        self.shipped = None
        self.recall = Deadline(math.inf)  # comes when home says so
        there = home.begin(job.name, job.attempt, self.shared, node)
        if there is not None:
            unpacked(self.store, job.name, there)

    def work(self) -> str:
        """Train and measure; returns the status for an `Outcome`."""
        from resnet_keras import data
        from resnet_keras.training.interruption import Interrupted
        from resnet_keras.training.trainer import train

        job, run = self.job, self.job.run
        identity = data.identify(run.data, job.data_dir)
        if run.name(identity) != job.name:
            raise UserError(
                f"the data or the code is not that of the sender, and would make {run.name(identity)}: give every node "
                "the same resnet_keras and the same data."
            )
        dataset = data.load(run.data, job.data_dir, run.recipe.validation, run.recipe.crop)
        if self.tell():
            return "interrupted"
        reporter = functools.partial(Reporter, self)
        try:
            train(
                run, store=self.store, dataset=dataset, label=run.title, deadline=self.recall, wait=False,
                progress=reporter,
            )  # fmt: skip
        except Interrupted:
            self.ship()
            return "interrupted"
        self.ship()
        if not self.folder.done:
            return "interrupted"
        if job.measures and not self.tell(text="measuring"):
            measurements.complete(job.measures, [run], identity, store=self.store, data_dir=job.data_dir)
            self.ship()
        return "done"

    def tell(self, **news) -> bool:
        """Say how far it is; whether to stop."""
        stop = self.home.tell(self.job.name, self.job.attempt, **news)
        if stop:
            self.recall.at = -math.inf
        return stop

    def ship(self) -> None:
        """Send home what there is now, unless home is here."""
        if not self.shared:
            content = packed(self.store, self.job.name)
            if content is not None:
                self.home.keep(self.job.name, self.job.attempt, content)

    def ship_a_new_checkpoint(self) -> None:
        """Send home what there is now, if there is a checkpoint that has not been sent."""
        newest = [path.name for path in checkpoints(self.folder.path)[-1:]]
        if not self.shared and newest and newest != self.shipped:
            self.ship()
            self.shipped = newest

    def close(self) -> None:
        """Leave nothing behind on this machine; what is worth having is at home."""
        if not self.shared:
            shutil.rmtree(self.folder.path, ignore_errors=True)
            for folder in (self.folder.path.parent, self.own):
                with contextlib.suppress(OSError):
                    folder.rmdir()  # fails, as it should, while another worker is at work there


def shares(results: str, home) -> bool:
    """Whether this process can write to the very folder that home has, by a file put there and asked for."""
    probe = Path(results) / f"{PROBE}{uuid.uuid4().hex}"
    try:
        probe.touch(exist_ok=False)
    except OSError:
        return False
    try:
        return home.sees(probe.name)
    finally:
        probe.unlink(missing_ok=True)


class Reporter(Progress):
    """The reporter of a run whose reader is elsewhere: says now and then how far it is, and sends checkpoints."""

    def __init__(self, desk: Desk, label: str, total: int, start: int = 0, later: float = 0.0, stream=None):
        """`desk`: what sends; the others as of `Progress`."""
        super().__init__(label, total, start, later, stream)
        self.desk, self.live = desk, False
        self.told, self.tested = -math.inf, ""

    def update(self, iteration: int, train_error: float) -> None:
        """After a call: send a checkpoint that is new and, once a second, how far it is."""
        self.desk.ship_a_new_checkpoint()
        if time.monotonic() - self.told >= BETWEEN:
            self.told = time.monotonic()
            width = len(str(self.total))
            place = f"{iteration:{width}d} of {self.total}"
            text = f"{place}  training error {train_error:5.1f} %{self.tested}  {self._left(iteration)}"
            self.desk.tell(iteration=iteration, text=text)

    def row(self, row: dict) -> None:
        """After a log interval: remember the held-out error, where there is one."""
        for split in ("test", "validation"):
            if row.get(f"{split}_error") is not None:
                self.tested = f"  {split} error {row[f'{split}_error']:5.1f} %"

    def note(self, text: str) -> None:
        """A line that stays, at home."""
        self.desk.tell(note=text)
