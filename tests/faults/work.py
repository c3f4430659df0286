"""What the processes of these tests do: small writes, and trainings of a few seconds."""

import errno
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from resnet_keras.data import Dataset, Identity, Split
from resnet_keras.store import RunFolder
from resnet_keras.training.checkpoint import save_checkpoint
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from tests.faults.injection import Injector

IDENTITY = Identity("tiny", "1", "tiny")
ITERATIONS = 30


def tensors(value):
    return {"net/kernel": np.full((3, 4), value, np.float32), "trace": np.full((5, 2), value, np.float32)}


def rows(value):
    return [{"iteration": 1, "train_error": float(value), "test_error": None}]


def checkpoint(folder, value):
    save_checkpoint(folder, value, tensors(value), {"iteration": value, "rows": rows(value), "clock": {}})


def history(folder, value):
    RunFolder(folder).write_history(rows(value))


def summary(folder, value):
    RunFolder(folder).write_summary({"status": "finished", "iterations": value})


def environment(folder, value):
    RunFolder(folder).write_environment({"device": str(value)})


class Network:
    """What `save_network` takes for a network."""

    def __init__(self, value):
        self.value = value

    def save(self, path):
        with open(path, "wb") as file:
            file.write(b"network " + bytes([self.value]) * 100)


def network(folder, value):
    RunFolder(folder).save_network(Network(value))


WRITERS = {writer.__name__: writer for writer in (checkpoint, history, summary, environment, network)}


def write(name, folder, value, at=None, error=None, lasting=False):
    """Call a writer under injection; exits with 3 after an OSError that was let through, as it should be."""
    injector = Injector(at, error, lasting)
    with injector:
        try:
            WRITERS[name](folder, value)
        except OSError as failure:
            return 3 if failure.errno == error else 4
        finally:
            print(injector.count, flush=True)


def tiny():
    """48 noise pictures of 8x8 pixels whose mean colour tells the class."""

    def split(count, seed):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 4, count).astype(np.int32)
        images = draw.integers(0, 160, (count, 8, 8, 3)) + 30 * labels[:, None, None, None]
        return Split(images.clip(0, 255).astype(np.uint8), labels)

    return Dataset(IDENTITY, ("a", "b", "c", "d"), split(48, 0), split(16, 1))


def run_of(network="plain8", seed=0, **changes):
    settings = {
        "iterations": ITERATIONS, "batch_size": 8, "drops": (12, 24), "log_interval": 5, "test_interval": 15,
        "checkpoint_interval": 5, "steps_per_call": 5,
    }  # fmt: skip
    return Run(network, "tiny", Recipe(**{**settings, **changes}), seed)


def train(root, kill=(), run=None):
    """Train the tiny run, as the command line does; `kill` is what kills it, if anything.

    ("call", n): at the n-th thing it does to the file system, once the training is set up.
    ("step", n, seconds): so long after the n-th compiled call has begun.
    """
    from resnet_keras.training.trainer import Trainer

    kind, *values = kill or ("",)
    if kind == "call":
        _wrap(Trainer, "train", lambda: Injector(values[0]).__enter__())
    if kind == "step":
        calls = iter(range(10**9))
        _wrap(Trainer, "_call", lambda: next(calls) == values[0] and _kill_after(values[1]))
    return _train(root, run or run_of())


def counted(root):
    """How many things a whole training does to the file system."""
    from resnet_keras.training.trainer import Trainer

    injector = Injector()
    _wrap(Trainer, "train", injector.__enter__)
    code = _train(root, run_of())
    Path(root, "count").write_text(str(injector.count))
    return code


def _train(root, run):
    from resnet_keras.errors import Interrupted
    from resnet_keras.store import Store
    from resnet_keras.training.trainer import train

    try:
        train(run, store=Store(root), dataset=tiny())
    except Interrupted as stop:
        return 128 + stop.signal
    except OSError as error:
        print(error, file=sys.stderr)
        return 3 if error.errno in (errno.ENOSPC, errno.EROFS, errno.ENOENT, errno.EFBIG, errno.EIO) else 4


def _wrap(owner, name, before):
    former = getattr(owner, name)

    def wrapped(*arguments, **keywords):
        before()
        return former(*arguments, **keywords)

    setattr(owner, name, wrapped)


def _kill_after(seconds):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()


def stopped_at(root, call, number):
    """The same, sent a signal in the middle of a compiled call."""
    from resnet_keras.training.trainer import Trainer

    calls = iter(range(10**9))
    _wrap(Trainer, "_steps", lambda: next(calls) == call and os.kill(os.getpid(), number))
    return _train(root, run_of())


def train_without_room(root, largest):
    """The same, where no file can grow beyond so many bytes."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    return _train(root, run_of())


def train_on_a_disk_that_goes(root):
    """The same, with the results folder moved away after the third compiled call."""
    from resnet_keras.training.trainer import Trainer

    calls = iter(range(10**9))
    _wrap(Trainer, "_call", lambda: next(calls) == 3 and os.rename(root, root.with_name("gone")))
    return _train(root, run_of())


def experiment(root):
    """Train two runs as the runner does for an experiment."""
    from resnet_keras import data
    from resnet_keras.experiments import runner
    from resnet_keras.store import Store

    data.load = lambda *_, **__: tiny()
    runner.execute([run_of(), run_of(seed=1)], IDENTITY, store=Store(root))


def cache(folder):
    """Load the built-in data set, saying so when it is drawn."""
    from resnet_keras import data
    from resnet_keras.data import shapes16

    os.environ["RESNET_KERAS_DATA"] = str(folder)
    draw = shapes16.draw_images

    def drawn(split):
        if split == "train":
            print("drawn", flush=True)
        return draw(split)

    shapes16.draw_images = drawn
    data.load("shapes16")
