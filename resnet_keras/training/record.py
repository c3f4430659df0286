"""What a run records as it trains: the error of every iteration, the rows of its history, its times, its summary."""

import time

import numpy as np

from resnet_keras.training.schedule import warmup_end

EXPLODED = 100.0  # times the cross-entropy of guessing: beyond that, a loss has exploded


class Record:
    """What is known of one run so far.

    `watched` is the split tested on the way, "validation" or "test"; `calls` are this process's compiled calls; `rows`
    are the history's; `trace`, float32 [iterations, 2], is each batch's training error (percent) and cross-entropy.
    """

    def __init__(self, run, dataset):
        self.run, self.classes = run, len(dataset.classes)
        self.watched = "validation" if dataset.validation else "test"
        self.trace, self.rows = np.zeros((run.recipe.iterations, 2), np.float32), []
        self.iteration = self.calls = self.timed_images = 0
        self.timed_seconds = self.former_seconds = 0.0
        self.began = time.perf_counter()

    def state(self) -> dict:
        """All but the trace, as JSON can hold it, for a checkpoint."""
        return {"iteration": self.iteration, "rows": self.rows, "clock": {"elapsed": self.elapsed()}}

    def restore(self, trace: np.ndarray, state: dict) -> None:
        """Go on from a checkpoint; KeyError, TypeError or ValueError where it holds something else."""
        self.iteration, self.rows, self.former_seconds = state["iteration"], state["rows"], state["clock"]["elapsed"]
        self.trace[: self.iteration] = trace

    def elapsed(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self.former_seconds + time.perf_counter() - self.began

    def add(self, results: np.ndarray, seconds: float) -> None:
        """Record a compiled call: what `Engine.train` returned, and the seconds that it took."""
        self.trace[self.iteration : self.iteration + len(results)] = results
        if self.calls:  # the first one compiled
            self.timed_images += len(results) * self.run.recipe.batch_size
            self.timed_seconds += seconds
        self.iteration, self.calls = self.iteration + len(results), self.calls + 1

    def add_row(self, rate: float) -> dict:
        """Add a row to the history, and return it: means since the last one, and room for a test."""
        first = self.rows[-1]["iteration"] if self.rows else 0
        error, entropy = self.trace[first : self.iteration].astype(np.float64).mean(axis=0)
        row = {
            "iteration": self.iteration, "learning_rate": float(f"{rate:.6g}"),
            "train_error": round(float(error), 4), "train_cross_entropy": round(float(entropy), 6),
            f"{self.watched}_error": None, f"{self.watched}_cross_entropy": None,
            "images_per_second": round(self.timed_images / self.timed_seconds, 1) if self.timed_images else None,
            "elapsed_seconds": round(self.elapsed(), 1),
        }  # fmt: skip
        self.timed_images, self.timed_seconds = 0, 0.0
        self.rows.append(row)
        return row

    def warmup_end(self) -> int | None:
        """Iteration at which the warm-up ended: 0 without one, None while it lasts."""
        return warmup_end(self.run.recipe, self.run.depth, self.trace[: self.iteration, 0])

    def diverged(self) -> bool:
        """Whether a loss was not a number."""
        return not np.isfinite(self.trace[: self.iteration, 1]).all()

    def summary(self) -> dict:
        """The last row, what went wrong in the numbers, speed and times."""
        entropy, problem = self.trace[: self.iteration, 1], None
        wild = np.flatnonzero(~(entropy <= EXPLODED * np.log(self.classes)))  # NaN is above nothing
        if len(wild):
            kind = "exploding loss" if np.isfinite(entropy[wild[0]]) else "the loss is not a number"
            problem = f"{kind} at iteration {wild[0] + 1}"
        of_interval, last = ("images_per_second", "elapsed_seconds"), self.rows[-1] if self.rows else {}
        speeds = [row["images_per_second"] for row in self.rows if row["images_per_second"]]
        return {
            **{key: value for key, value in last.items() if key not in of_interval},
            "iterations": self.iteration, "problem": problem, "warmup_end": self.warmup_end(),
            "images_per_second": float(np.median(speeds)) if speeds else None,
            "wall_seconds": round(self.elapsed(), 1), "hours": round(self.elapsed() / 3600, 3),
        }  # fmt: skip
