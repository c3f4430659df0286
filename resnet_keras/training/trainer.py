"""`train`: one run, from its directory to its summary, resumed exactly where it was."""

import contextlib
import signal
import threading
import time
import types

import numpy as np

from resnet_keras import data
from resnet_keras.errors import Interrupted, UserError
from resnet_keras.quiet import NO_BFLOAT16, backend, load_keras
from resnet_keras.store import Store
from resnet_keras.training import device
from resnet_keras.training.progress import Progress, duration
from resnet_keras.training.record import Record
from resnet_keras.training.run import Run, is_done
from resnet_keras.training.schedule import learning_rate

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, kill, a closed terminal


@device.together()
def train(
    run: Run, *, store=None, data_dir=None, dataset=None, force=False, wait=True, devices=1, label=None, later=0.0,
    progress=Progress,
):  # fmt: skip
    """Train one run, go on with it, or leave it where it is done; one process at a time. Returns its `RunFolder`.

    Its directory is in `store`, a `Store`, by default that of the default results folder. Its data are `dataset`, where
    the caller has loaded it, else from `data_dir` (see `resnet_keras.data.load`). `force` repeats a run that is done,
    `wait` waits for another process that is at work on it. So many `devices`, or "all", share each batch, several of
    them on JAX only. `progress`, a class as `Progress`, reports the run by its `label`, by default the network's name;
    `later` is the work of other runs after it, as a multiple of its own.

    Raises:
        UserError: The data, the backend, the devices or a file of the run cannot be used.
        Held: Another process is at work on the run, and `wait` is False.
        ProcessLost: Another process of this training is gone.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP came; the run has been saved and goes on when trained again.
    """
    load_keras()
    count = device.check_devices(devices, run.recipe.batch_size)
    identity = dataset.identity if dataset else data.identify(run.data, data_dir)
    folder, label = (store or Store()).run(run.name(identity)), label or run.network
    with device.kept_of_first(folder) as kept, contextlib.ExitStack() as stack:
        if force or not is_done(folder):  # one that is done may lie where nothing can be written
            stack.enter_context(kept.lock(wait))
        if device.from_first(not force and is_done(kept)):
            print(f"{label}: {folder.name} is {folder.status} already; --force repeats it.", flush=True)
            return folder
        kept.tidy()
        if force:
            kept.clear()
        dataset = dataset or data.load(run.data, data_dir, run.recipe.validation, run.recipe.crop)
        Trainer(run, kept, dataset, label, count, later, progress).train()
    return folder


class Trainer:
    """The loop over the iterations of one run."""

    def __init__(self, run: Run, folder, dataset, label: str, devices=1, later=0.0, progress=Progress):
        """Build the network and its engine, and pick up the newest checkpoint."""
        self.run, self.recipe, self.folder, self.dataset, self.devices = run, run.recipe, folder, dataset, devices
        self.record = Record(run, dataset)
        self._build()
        self._resume()
        self.progress = progress(label, self.recipe.iterations, later)

    def _build(self):
        import keras

        from resnet_keras.models import build, layers
        from resnet_keras.training import optimizer, steps

        recipe = self.recipe
        keras.backend.clear_session()
        self.feed = self.dataset.feed(self.run.seed, recipe.batch_size, recipe.augment)
        fastest = recipe.steps_per_call or device.settings().steps_per_call
        self.steps_per_call = min(fastest, self.feed.most_steps or fastest)
        layout = None
        if self.devices > 1:  # each of them holds every variable
            names = keras.distribution.list_devices()[: self.devices]
            layout = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
        options = {"classes": len(self.dataset.classes), "input_shape": self.dataset.shape}
        options |= {} if recipe.batch_norm else {"batch_norm": False}  # VGG has none by default
        options |= {"shortcut": self.run.shortcut, "seed": self.run.seed, "dtype": POLICIES[recipe.precision]}
        with layout.scope() if layout else contextlib.nullcontext():
            self.network = build(self.run.network, **options)
            layers.normalize_in_groups(self.network, recipe.bn_batch)
            self.network.set_mean(self.dataset.mean())
            sgd = optimizer.SGD(recipe.learning_rate, recipe.momentum, recipe.weight_decay, recipe.decay_on)
            options = {"apply": self.feed.apply, "most": self.steps_per_call, "layout": layout}
            self.engine = steps.engine(self.network, sgd, *self.feed.arrays, **options)

    def _resume(self):
        record, tensors = self.record, self.engine.state()
        try:
            if checkpoint := self.folder.load_checkpoint():
                tensors, state = checkpoint
                record.restore(tensors.pop("trace"), state)
            iteration, record.trace[:], tensors = device.from_first((record.iteration, record.trace, tensors))
            record.iteration = int(iteration)
            self.engine.restore(tensors)  # in all processes at once: each waits for the others
        except (KeyError, TypeError, ValueError):
            raise UserError(f"the checkpoint of {self.folder.name} is of other code: use --force.") from None

    def train(self) -> None:
        """Train to the end; saves before it raises Interrupted (a signal) or UserError (an unreadable image)."""
        self.announce()
        with interruption() as stop, contextlib.closing(self.feed), contextlib.closing(self.progress):
            try:
                if device.processes() == 1:  # of several, the others know no rows of before
                    self._test()  # what an image that could not be read has left undone
                while self.record.iteration < self.recipe.iterations:
                    self._call(self.recipe.iterations)
                    if self.record.diverged():
                        return self._end("diverged")
                    if number := int(device.from_first(stop.number or 0)):
                        self._save()
                        self._end("interrupted")
                        raise Interrupted(number)
                self._end("finished")
            except UserError as error:
                if not self.record.iteration:
                    raise
                self._save()
                where = f"saved at iteration {self.record.iteration:,}"
                raise UserError(f"{error} ({where}: with the file as it was, the same command goes on)") from None

    def advance(self, iteration: int) -> None:
        """Train on to this iteration and no further, writing history and checkpoints as they fall due."""
        while self.record.iteration < iteration:
            self._call(iteration)

    def announce(self) -> None:
        """Begin the run's directory, record the surroundings, and say what is unusual about them."""
        # The names of the classes decide nothing, and so are no part of the run's name, but its users want them.
        self.folder.begin({**self.run.config(self.dataset.identity), "classes": list(self.dataset.classes)})
        counts = {"devices": self.devices, "processes": device.processes()}
        several = {name: count for name, count in counts.items() if count > 1}
        self.folder.write_environment(device.environment() | several, self.record.iteration)
        names = device.all_names()
        if self.devices < len(names) and device.accelerator():
            how = "All for one network: KERAS_BACKEND=jax, --devices all. One run each: CUDA_VISIBLE_DEVICES=0, 1, ..."
            self.progress.note(f"Training uses {self.devices} of {len(names)} devices ({names[0]}). {how}")
        if self.recipe.precision == "bfloat16" and backend() == "tensorflow" and device.kind() in NO_BFLOAT16:
            self.progress.note("This CPU has no bfloat16 arithmetic: --precision float32 is many times as fast.")
        if done := self.record.iteration:
            self.progress.note(f"{self.run.network}: going on at iteration {done} of {self.folder.name}")

    def _call(self, until: int):
        """One compiled call of some iterations, and whatever falls due after it."""
        recipe, record = self.recipe, self.record
        warming_up = record.warmup_end() is None
        iterations = range(record.iteration, record.iteration + self._steps(until, warming_up))
        rates = np.array([learning_rate(recipe, i, warming_up) for i in iterations], np.float32)
        start = time.perf_counter()
        plan = self.feed.take(record.iteration, len(iterations))
        record.add(self.engine.train(plan, rates), time.perf_counter() - start)

        ends = record.iteration == recipe.iterations
        self.progress.update(record.iteration, float(record.trace[iterations, 0].mean()))
        if record.warmup_end() == record.iteration:
            self.progress.note(f"{self.run.network}: warm-up over at iteration {record.iteration}")
        if ends or record.iteration % recipe.log_interval == 0:
            row = record.add_row(rates[-1])
            self._test()
            self.progress.row(row)
        if not ends and record.iteration % recipe.checkpoint_interval == 0:
            self._save()

    def _steps(self, until: int, warming_up: bool) -> int:
        """How many iterations to take in the next call: up to the next moment at which something falls due."""
        if not self.record.calls:
            return 1  # the call that compiles is timed on its own
        recipe, done = self.recipe, self.record.iteration
        intervals = [recipe.log_interval, recipe.checkpoint_interval, *[recipe.warmup_window] * warming_up]
        return min(self.steps_per_call, until - done, *(interval - done % interval for interval in intervals))

    def _test(self):
        """Write the history, with the test error in its last row where that is due at this iteration and missing."""
        rows, iteration, watched = self.record.rows, self.record.iteration, self.record.watched
        due = iteration % self.recipe.test_interval == 0 or iteration == self.recipe.iterations
        if rows and rows[-1]["iteration"] == iteration:
            if due and rows[-1][f"{watched}_error"] is None:
                rows[-1] |= self._tested(watched)
            self.folder.write_table("history", rows)

    def _tested(self, split: str) -> dict[str, float]:
        error, entropy = self.engine.evaluate(getattr(self.dataset, split))
        return {f"{split}_error": round(float(error), 4), f"{split}_cross_entropy": round(float(entropy), 6)}

    def _save(self):
        record, tensors = self.record, {**self.engine.state(), "trace": self.record.trace[: self.record.iteration]}
        self.folder.save_checkpoint(record.iteration, tensors, record.state())

    def _end(self, status: str):
        """Keep what is worth it, write the summary, and say how the run ended."""
        record, watched = self.record, self.record.watched
        summary = {"status": status, **record.summary()}
        if status == "finished":
            self.folder.save_network(self.network)
            summary |= self._tested("test") if watched != "test" else {}
            if isinstance(self.dataset.train, data.Split):  # of photographs, a pass takes too long
                summary["train_error_inference"] = self._tested("train")["train_error"]
        summary["parameters"] = sum(int(np.prod(v.shape)) for v in self.network.trainable_variables)
        self.folder.write_summary(summary | {"device": device.name(self.devices)})
        if status != "interrupted":
            self.folder.tidy("checkpoint-*")
        errors = {"training": summary.get("train_error"), watched: summary.get(f"{watched}_error")}
        shown = [f"{name} error {error:.1f} %" for name, error in errors.items() if error is not None]
        shown = ", ".join(filter(None, [*shown, summary["problem"]])) or "nothing to show"
        goes_on = "; the same command goes on from there" if status == "interrupted" else ""
        length = f"{record.iteration} iterations, {duration(record.elapsed())}{goes_on}"
        self.progress.note(f"{self.progress.label}  {status}: {shown} after {length}")


@contextlib.contextmanager
def interruption():
    """Yield what gets the `number` of a signal that asks to stop, None before it; a second signal acts at once."""
    stop, former = types.SimpleNamespace(number=None), {}

    def remember(number, _frame):
        stop.number = number
        signal.signal(number, former[number])

    if threading.current_thread() is threading.main_thread():  # others may not
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as it is under nohup
                former[number] = signal.signal(number, remember)
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
