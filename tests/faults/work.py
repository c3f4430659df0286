"""What the processes of these tests do: small writes, and trainings of a few seconds."""

import errno
import itertools
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.store import RunFolder
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from tests.faults.injection import Injector

IDENTITY = Identity("tiny", "1", "tiny")
ITERATIONS = 30


def checkpoint(folder, value):
    tensors = {"net/kernel": np.full((3, 4), value, np.float32), "trace": np.full((5, 2), value, np.float32)}
    RunFolder(folder).save_checkpoint(value, tensors, {"iteration": value, "rows": [], "clock": {}})


def history(folder, value):
    RunFolder(folder).write_table("history", [{"iteration": 1, "train_error": float(value), "test_error": None}])


WRITERS = {writer.__name__: writer for writer in (checkpoint, history)}
LET_THROUGH, NOT_REACHED = 3, 5


def write(name, folder, value, at, error=None, lasting=False):
    """Call a writer under injection; returns what it came to: LET_THROUGH for an error that came out, as it should."""
    injector = Injector(at, error, lasting)
    with injector:
        try:
            WRITERS[name](folder, value)
        except OSError as failure:
            return LET_THROUGH if failure.errno == error else 4
    return NOT_REACHED if injector.count <= at else 0


def tiny():
    """64 noise pictures of 8x8 pixels."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 64).astype(np.int32)
    split = Split(draw.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8), labels)
    return Dataset(IDENTITY, ("a", "b", "c", "d"), split[:48], split[48:])


def train(root, before=None, *values):
    """Train the tiny run, as the command line does; `before` is a function below, of these values and the folder."""
    from resnet_keras.errors import Interrupted
    from resnet_keras.store import Store
    from resnet_keras.training import trainer

    if before:
        before(root, trainer.Trainer, *values)
    intervals = {"log_interval": 5, "test_interval": 15, "checkpoint_interval": 5, "steps_per_call": 5}
    run = Run("plain8", "tiny", Recipe(iterations=ITERATIONS, batch_size=8, drops=(12, 24), **intervals))
    try:
        trainer.train(run, store=Store(root), dataset=tiny())
    except Interrupted as stop:
        return 128 + stop.signal
    except OSError as error:
        print(error, file=sys.stderr)
        return LET_THROUGH if error.errno in (errno.ENOSPC, errno.EROFS, errno.ENOENT, errno.EFBIG, errno.EIO) else 4


def kill_at_call(root, trainer, number):
    """Kill at the n-th thing the process does to the file system, once the training is set up."""
    _wrap(trainer, "train", lambda: Injector(number).__enter__())


def kill_in_step(root, trainer, number, seconds):
    """Kill so long after the n-th compiled call has begun."""
    kill = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    _wrap(trainer, "_call", kill.start, number)


def counting(root, trainer):
    """Write how many things a whole training does to the file system."""
    injector, inner = Injector(), trainer.train

    def counted(self):
        with injector:
            inner(self)
        Path(root, "count").write_text(str(injector.count))

    trainer.train = counted


def signalled(root, trainer, call, number):
    """Send a signal in the middle of a compiled call."""
    _wrap(trainer, "_steps", lambda: os.kill(os.getpid(), number), call)


def without_room(root, trainer, largest):
    """No file can grow beyond so many bytes."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def on_a_disk_that_goes(root, trainer):
    """The results folder is moved away after the third compiled call."""
    _wrap(trainer, "_call", lambda: os.rename(root, root.with_name("gone")), 3)


def _wrap(owner, name, before, call=None):
    """Have `before` called first: before every call of a method, or before the n-th, from 0."""
    former, calls = getattr(owner, name), itertools.count()

    def wrapped(*arguments, **keywords):
        if next(calls) == call or call is None:
            before()
        return former(*arguments, **keywords)

    setattr(owner, name, wrapped)


def cache(folder):
    """Load the built-in data set, saying so when it is drawn."""
    from resnet_keras import data
    from resnet_keras.data import shapes16

    os.environ["RESNET_KERAS_DATA"] = str(folder)
    draw = shapes16.draw_images

    def drawn(split):
        print(f"drawn: {split}", flush=True)
        return draw(split)

    shapes16.draw_images = drawn
    data.load("shapes16")
