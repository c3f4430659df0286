"""`train`: one run, from its directory to its summary, resumed exactly where it was."""

from __future__ import annotations

import contextlib
import io
import signal
import threading
import time

import numpy as np

from resnet_keras.data import Split
from resnet_keras.errors import Interrupted, UserError
from resnet_keras.quiet import load_keras
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.checkpoint import clear_checkpoints, load_checkpoint, save_checkpoint
from resnet_keras.training.devices import (
    check_devices,
    data_parallel,
    from_first,
    is_first,
    kept_of_first,
    largest,
    processes,
    together,
)  # fmt: skip
from resnet_keras.training.progress import Progress, duration
from resnet_keras.training.run import Run, is_done
from resnet_keras.training.schedule import learning_rate, warmup_end

EXPLODED = 100.0  # times the cross-entropy of guessing: beyond that, a loss has exploded
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@together()
def train(
    run: Run,
    *,
    store: Store | None = None,
    data_dir=None,
    force=False,
    label=None,
    later=0.0,
    dataset=None,
    wait=True,
    devices: int | str = 1,
    progress=Progress,
):
    """Train one run, go on with it, or leave it as it is where it is done; one process at a time.

    Args:
        run: What to train.
        store: Where its directory lies; default: the default results folder.
        data_dir: Where data sets lie; see `resnet_keras.data.load`.
        force: Repeat a run that is done.
        label: What its progress lines begin with; default: the network's name.
        later: Work of other runs after this one, as a multiple of its own, for the time left.
        dataset: The data, when the caller has loaded it already.
        wait: Wait for another process that is at work on this run, here or elsewhere, and then see what is left.
        devices: How many devices share each batch, or "all"; more than one on JAX only. See `check_devices`.
        progress: What reports the run: a class as `Progress`.

    Returns:
        The run's `RunFolder`.

    Raises:
        UserError: The data, the backend, the devices or a file of the run cannot be used.
        Held: Another process is at work on the run, and `wait` is False.
        ProcessLost: Another process of this training is gone.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP came; the run has been saved and goes on when trained again.
    """
    from resnet_keras import data

    load_keras()
    count = check_devices(devices, run.recipe.batch_size)
    identity = dataset.identity if dataset else data.identify(run.data, data_dir)
    folder = (store or Store()).run(run.name(identity))
    label = label or run.network
    if not force and _is_done(folder, label):
        return folder
    dataset = dataset or data.load(run.data, data_dir, validation=run.recipe.validation, crop=run.recipe.crop)
    with kept_of_first(folder) as kept, kept.lock(wait):
        if not force and _is_done(kept, label):  # by the process that had it before
            return folder
        kept.tidy()
        if force:
            kept.clear()
        Trainer(run, kept, dataset, label, later, devices=count, progress=progress).train()
    return folder


def _is_done(folder, label: str) -> bool:
    """Whether there is nothing left to train; says so."""
    done = bool(from_first(is_done(folder) if is_first() else False))
    if done and is_first():
        commit = str(folder.environment.get("commit") or "unknown")[:8]
        print(f"{label}: {folder.name} is {folder.status} already (commit {commit}); --force repeats it.", flush=True)
    return done


class Trainer:
    """The loop over iterations of one run, and what it keeps: the trace of every iteration and the history rows."""

    def __init__(self, run: Run, folder, dataset, label: str, later=0.0, devices=1, progress=Progress):
        """Build the network and its engine, and pick up the newest checkpoint."""
        self.run, self.recipe, self.folder, self.dataset = run, run.recipe, folder, dataset
        self.watched = "validation" if dataset.validation else "test"
        self.devices, self.iteration, self.calls = devices, 0, 0
        # float32 [iterations, 2]: training error (percent) and cross-entropy of every batch.
        self.trace = np.zeros((self.recipe.iterations, 2), np.float32)
        self.rows: list[dict] = []
        self.began = time.perf_counter()
        self.clock = {"elapsed": 0.0, "compile": 0.0, "interval_images": 0, "interval_seconds": 0.0}
        device.reset_peak_memory()
        self._build()
        self._resume()
        stream = None if is_first() else io.StringIO()
        self.progress = progress(label, self.recipe.iterations, self.iteration, later, stream)

    def _build(self):
        import keras

        from resnet_keras.models import build
        from resnet_keras.models.layers import normalize_in_groups
        from resnet_keras.training.optimizer import SGD
        from resnet_keras.training.steps import engine

        recipe, settings = self.recipe, device.settings()
        keras.backend.clear_session()
        self.feed = self.dataset.feed(self.run.seed, recipe.batch_size, recipe.augment)
        steps = recipe.steps_per_call or settings.steps_per_call
        self.steps_per_call = min(steps, self.feed.most_steps or steps)
        layout = data_parallel(self.devices)
        with layout.scope() if layout else contextlib.nullcontext():
            self.network = build(
                self.run.network,
                shortcut=self.run.shortcut,
                classes=len(self.dataset.classes),
                input_shape=self.dataset.shape,
                seed=self.run.seed,
                dtype=POLICIES[recipe.precision],
                **({} if recipe.batch_norm else {"batch_norm": False}),
            )
            normalize_in_groups(self.network, recipe.bn_batch)
            self.network.set_mean(self.dataset.mean())
            optimizer = SGD(recipe.learning_rate, recipe.momentum, recipe.weight_decay, recipe.decay_on)
            options = {"apply": self.feed.apply, "xla": settings.xla, "most": self.steps_per_call, "layout": layout}
            self.engine = engine(self.network, optimizer, *self.feed.arrays, **options)

    def _resume(self):
        checkpoint = load_checkpoint(self.folder.path)
        if checkpoint:
            tensors, state = checkpoint
            iteration, trace = state.get("iteration"), tensors.pop("trace", None)
            if trace is None or not isinstance(iteration, int) or trace.shape != self.trace[:iteration].shape:
                raise UserError(f"the checkpoint of {self.folder.name} is of other code: repeat the run with --force.")
            self.engine.restore(tensors)
            self.iteration, self.trace[:iteration] = iteration, trace
            # An older version of the project may have kept less: the history then begins here.
            self.rows, self.clock = list(state.get("rows", [])), {**self.clock, **state.get("clock", {})}
        if processes() > 1:
            iteration, self.trace[:], state = from_first((self.iteration, self.trace, self.engine.state()))
            self.iteration = int(iteration)
            self.engine.restore({name: np.array(value) for name, value in state.items()})

    def train(self) -> None:
        """Train to the end.

        Raises:
            Interrupted: A signal asked to stop; the run has been saved.
        """
        self.announce()
        self._test()  # what an image that could not be read has left undone
        with Interruption() as interruption, contextlib.closing(self.feed), contextlib.closing(self.progress):
            while self.iteration < self.recipe.iterations:
                self._call(self.recipe.iterations)
                if not np.isfinite(self.trace[: self.iteration, 1]).all():
                    self._finish("diverged")
                    return
                number = largest(interruption.number or 0)
                if number:
                    self._pause()
                    raise Interrupted(number)
            self._finish("finished")

    def advance(self, iteration: int) -> None:
        """Train on to this iteration and no further, writing history and checkpoints as they fall due."""
        while self.iteration < iteration:
            self._call(iteration)

    def announce(self) -> None:
        """Begin the run's directory, record the surroundings, and say what is unusual about them."""
        # The names of the classes decide nothing, and so are no part of the run's name, but its users want them.
        self.folder.begin({**self.run.config(self.dataset.identity), "classes": list(self.dataset.classes)})
        several = {"devices": self.devices} if self.devices > 1 else {}
        several |= {"processes": processes()} if processes() > 1 else {}
        self.folder.write_environment({**device.environment(), **several}, self.iteration)
        names = device.all_names()
        if self.devices < len(names) and device.accelerator():
            self.progress.note(
                f"Training uses {self.devices} of {len(names)} devices ({names[0]}). All for one network: "
                "KERAS_BACKEND=jax and --devices all. One run for each: CUDA_VISIBLE_DEVICES=0, 1, ..."
            )
        if slow := device.slow_precision(self.recipe.precision):
            self.progress.note(slow)
        if self.iteration:
            self.progress.note(f"{self.run.network}: going on at iteration {self.iteration} of {self.folder.name}")

    def _call(self, until: int):
        """One compiled call of some iterations, and whatever falls due after it."""
        recipe, warming_up = self.recipe, self._warmup_end() is None
        steps = self._steps(until, warming_up)
        iterations = range(self.iteration, self.iteration + steps)
        rates = np.array([learning_rate(recipe, i, warming_up) for i in iterations], np.float32)
        start = time.perf_counter()
        with self._saved_on_error():
            plan = self.feed.take(self.iteration, steps)
        result = self.engine.train(plan, rates)
        self._count(steps, time.perf_counter() - start)
        self.trace[iterations.start : iterations.stop] = result
        self.iteration += steps

        ends = self.iteration == recipe.iterations
        self.progress.update(self.iteration, float(result[:, 0].mean()))
        if self._warmup_end() == self.iteration:
            self.progress.note(f"{self.run.network}: warm-up over at iteration {self.iteration}")
        if ends or self.iteration % recipe.log_interval == 0:
            self._log(float(rates[-1]))
        if not ends and self.iteration % recipe.checkpoint_interval == 0:
            self._save()

    def _steps(self, until: int, warming_up: bool) -> int:
        """How many iterations to take in the next call: up to the next moment at which something falls due."""
        if self.calls == 0:
            return 1  # the call that compiles is timed on its own
        intervals = [self.recipe.log_interval, self.recipe.checkpoint_interval]
        intervals += [self.recipe.warmup_window] if warming_up else []
        return min(self.steps_per_call, until - self.iteration, *(i - self.iteration % i for i in intervals))

    @contextlib.contextmanager
    def _saved_on_error(self):
        """Save what has been trained where an image cannot be read."""
        try:
            yield
        except UserError:
            if self.iteration:
                self._save()
            raise

    def _warmup_end(self) -> int | None:
        return warmup_end(self.recipe, self.run.depth, self.trace[: self.iteration, 0])

    def _count(self, steps: int, seconds: float):
        self.calls += 1
        if self.calls == 1:
            self.clock["compile"] += seconds
        else:
            self.clock["interval_images"] += steps * self.recipe.batch_size
            self.clock["interval_seconds"] += seconds

    def _log(self, rate: float):
        """Add a row to the history: means since the last one, and the test error where it falls due."""
        first = self.rows[-1]["iteration"] if self.rows else 0
        error, entropy = self.trace[first : self.iteration].astype(np.float64).mean(axis=0)
        images, seconds = self.clock["interval_images"], self.clock["interval_seconds"]
        self.clock["interval_images"], self.clock["interval_seconds"] = 0, 0.0
        row = {
            "iteration": self.iteration,
            "learning_rate": float(f"{rate:.6g}"),
            "train_error": round(float(error), 4),
            "train_cross_entropy": round(float(entropy), 6),
            f"{self.watched}_error": None,
            f"{self.watched}_cross_entropy": None,
            "images_per_second": round(images / seconds, 1) if seconds else None,
            "elapsed_seconds": round(self._elapsed(), 1),
        }
        self.rows.append(row)
        self._test()
        self.progress.row(row)

    def _test(self):
        """Write the history, with the test error in its last row where that is of this iteration and lacks it."""
        if not self.rows or self.rows[-1]["iteration"] != self.iteration:
            return
        row, columns = self.rows[-1], (f"{self.watched}_error", f"{self.watched}_cross_entropy")
        due = self.iteration % self.recipe.test_interval == 0 or self.iteration == self.recipe.iterations
        if due and row[columns[0]] is None:
            row.update(zip(columns, self._evaluate(self.watched), strict=True))
        self.folder.write_history(self.rows)

    def _evaluate(self, name: str) -> tuple[float, float]:
        with self._saved_on_error():
            error, entropy = self.engine.evaluate(getattr(self.dataset, name))
        return round(float(error), 4), round(float(entropy), 6)

    def _elapsed(self) -> float:
        return self.clock["elapsed"] + time.perf_counter() - self.began

    def _save(self):
        tensors = {**self.engine.state(), "trace": self.trace[: self.iteration]}
        clock = {**self.clock, "elapsed": self._elapsed()}
        state = {"iteration": self.iteration, "rows": self.rows, "clock": clock}
        save_checkpoint(self.folder.path, self.iteration, tensors, state)

    def _pause(self):
        self._save()
        self._summarize("interrupted")
        self.progress.note(
            f"{self.run.network}: saved at iteration {self.iteration}; the same command goes on from there"
        )

    def _finish(self, status: str):
        if status == "diverged":
            first = int(np.flatnonzero(~np.isfinite(self.trace[: self.iteration, 1]))[0]) + 1
            self.progress.note(f"{self.run.network}: diverged, the loss is not a number at iteration {first}")
        else:
            self.folder.save_network(self.network)
        self._summarize(status)
        clear_checkpoints(self.folder.path)
        last = self.rows[-1] if self.rows else {}
        errors = {"training": last.get("train_error"), self.watched: last.get(f"{self.watched}_error")}
        shown = ", ".join(f"{name} error {error:.1f} %" for name, error in errors.items() if error is not None)
        self.progress.note(
            f"{self.progress.label}  {status}: {shown} after {self.iteration} iterations, {duration(self._elapsed())}"
        )

    def _problem(self) -> str | None:
        """What went wrong in the numbers, in words: the run may have ended all the same."""
        entropy = self.trace[: self.iteration, 1]
        wild = np.flatnonzero(~(entropy <= EXPLODED * np.log(len(self.dataset.classes))))  # NaN is above nothing
        if not len(wild):
            return None
        kind = "exploding loss" if np.isfinite(entropy[wild[0]]) else "the loss is not a number"
        return f"{kind} at iteration {wild[0] + 1}"

    def _summarize(self, status: str):
        of_interval = ("iteration", "images_per_second", "elapsed_seconds")
        last = {key: value for key, value in (self.rows[-1] if self.rows else {}).items() if key not in of_interval}
        if status == "finished" and self.watched != "test":
            last["test_error"], last["test_cross_entropy"] = self._evaluate("test")
        if status == "finished" and isinstance(self.dataset.train, Split):  # of photographs, a pass takes too long
            last["train_error_inference"], _ = self._evaluate("train")
        speeds = [row["images_per_second"] for row in self.rows if row["images_per_second"]]
        seconds = self._elapsed()
        summary = {
            "status": status,
            "iterations": self.iteration,
            **last,
            "problem": self._problem(),
            "warmup_end": self._warmup_end(),
            "parameters": sum(int(np.prod(v.shape)) for v in self.network.trainable_variables),
            "images_per_second": float(np.median(speeds)) if speeds else None,
            "compile_seconds": round(self.clock["compile"], 1),
            "wall_seconds": round(seconds, 1),
            "hours": round(seconds / 3600, 3),
            "peak_memory_mb": device.peak_memory_mb(),
            "device": device.name(self.devices),
        }
        self.folder.write_summary(summary)


class Interruption:
    """While it is entered, remembers signals that ask to stop instead of acting on them; a second one acts at once.

    Attributes:
        number: The signal that has come, or None.
    """

    def __enter__(self):
        """Take over Ctrl-C, SIGTERM and SIGHUP (of a closed terminal), unless they are ignored, as under nohup."""
        self.number: int | None = None
        self.former = {}
        if threading.current_thread() is threading.main_thread():  # others may not
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self.former[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_):
        """Give the signals back."""
        for number, handler in self.former.items():
            signal.signal(number, handler)

    def _remember(self, number, _frame):
        self.number = number
        signal.signal(number, self.former[number])
