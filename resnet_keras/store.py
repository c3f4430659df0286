"""The results folder: the only code that knows the files of a run.

results/runs/<run>/
    config.json         everything that decides the result, and the names of the classes
    environment.json    versions, device, commit
    history.csv         a row per log interval
    summary.json        the last row, times, memory, status
    responses.csv, gradients.csv, lesion.csv, start.csv, surface.csv, views.csv
                        what was measured on the trained network, where that was asked for
    network.keras       the trained network (not in git)
    checkpoint-*        while the run is not finished (not in git)
results/runs/.<run>.lock
                        while a process is at work on the run: whose it is (not in git)

results/models/<name>/  a network that is given to others, with the files of its run that say what it is
    network.keras, config.json, summary.json, environment.json
    README.md           its model card
"""

from __future__ import annotations

import csv
import fnmatch
import functools
import hashlib
import io
import json
import os
from pathlib import Path

from resnet_keras.errors import UserError, first_line
from resnet_keras.files import flush, read_text, write_atomically, write_json
from resnet_keras.locks import Lock
from resnet_keras.paths import checkout, results_dir
from resnet_keras.untrusted import refuse_bombs

MEASUREMENTS = ("responses", "gradients", "lesion", "start", "surface", "views")
DONE = ("finished", "diverged")
LARGEST_JSON = 2**20  # bytes; ours have a thousand
LARGEST_HISTORY = 2**28  # bytes; one of 64,000 rows has five million
SMALL = ("config.json", "environment.json", "history.csv", "summary.json", *(f"{name}.csv" for name in MEASUREMENTS))
NETWORK = "network.keras"
CHECKPOINT = "checkpoint-*.safetensors"


def is_file_of_a_run(name: str) -> bool:
    """Whether a run's directory holds files of this name."""
    return name in (*SMALL, NETWORK) or fnmatch.fnmatchcase(name, CHECKPOINT)


class RunFolder:
    """One run's directory."""

    def __init__(self, path: Path):
        """`path` need not exist yet."""
        self.path = Path(path)

    @property
    def name(self) -> str:
        """The run's name, which is its directory's."""
        return self.path.name

    @functools.cached_property
    def config(self) -> dict:
        """What decides the result."""
        return self._read("config.json") or {}

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the logits; None where the run, an older one, has not kept them."""
        return tuple(self.config["classes"]) if "classes" in self.config else None

    @property
    def environment(self) -> dict:
        """Where the run was made."""
        return self._read("environment.json") or {}

    @property
    def summary(self) -> dict | None:
        """How the run ended; None before it has been trained at all."""
        return self._read("summary.json")

    @property
    def status(self) -> str:
        """One of "finished", "diverged", "interrupted" and "not run"."""
        return (self.summary or {}).get("status", "interrupted" if self.path.is_dir() else "not run")

    @property
    def done(self) -> bool:
        """Whether there is nothing left to train."""
        return self.status in DONE

    @property
    def history(self):
        """The history as a pandas DataFrame, one row per log interval."""
        import pandas

        try:
            return pandas.read_csv(io.StringIO(self._history_text()))
        except (OSError, ValueError) as error:
            raise self._unreadable("history.csv", error) from None

    def columns(self, *names: str) -> list[list[float]]:
        """Some columns of the history, row by row, NaN where blank: for thousands of runs much faster than `history`.

        Raises:
            UserError: The file cannot be read or lacks a column.
        """
        try:
            rows = csv.reader(io.StringIO(self._history_text()))
            header = next(rows, [])
            places = [header.index(name) for name in names]
            return [[float(row[place] or "nan") for place in places] for row in rows]
        except (OSError, ValueError, IndexError, csv.Error) as error:
            raise self._unreadable("history.csv", error) from None

    def _history_text(self) -> str:
        """The history as text, checked against what the summary of a finished run says of it."""
        text = read_text(self.path / "history.csv", LARGEST_HISTORY)
        summary = self.summary or {}
        if summary.get("status") in DONE and summary.get("history_sha256", _digest(text)) != _digest(text):
            raise ValueError("it is not what the training wrote")
        return text

    def has_measurement(self, name: str) -> bool:
        """Whether `write_measurement` has been here."""
        return self._measurement_file(name).is_file()

    def measurement(self, name: str):
        """A measurement as a pandas DataFrame; None where it has not been taken.

        Raises:
            UserError: The file cannot be read, or there is no measurement of this name.
        """
        import pandas

        path = self._measurement_file(name)
        if not path.is_file():
            return None
        try:
            return pandas.read_csv(io.StringIO(read_text(path, LARGEST_HISTORY)))
        except (OSError, ValueError) as error:
            why = first_line(error)
            raise UserError(f"{self.name}/{path.name} cannot be read ({why}): delete it and measure again.") from None

    def write_measurement(self, name: str, rows: list[dict]) -> None:
        """Replace a measurement by these rows, a dictionary each with the same keys."""
        write_atomically(self._measurement_file(name), _csv(rows))

    def _measurement_file(self, name: str) -> Path:
        if name not in MEASUREMENTS:
            raise UserError(f"unknown measurement {name!r}: use one of {', '.join(MEASUREMENTS)}.")
        return self.path / f"{name}.csv"

    @property
    def network_file(self) -> Path:
        """Where the trained network lies."""
        return self.path / NETWORK

    def files(self, *, weights: bool = False, checkpoints: bool = False) -> list[Path]:
        """The run's own files that are there: the small ones and, on demand, the network and the newest checkpoint."""
        found = [self.path / name for name in SMALL + ((NETWORK,) if weights else ())]
        found += sorted(self.path.glob(CHECKPOINT))[-1:] if checkpoints else []
        return [path for path in found if path.is_file()]

    def load_network(self):
        """The trained network.

        Raises:
            UserError: The run has left no network here, or the file cannot be read or would run code.
        """
        if not self.network_file.is_file():
            raise UserError(f"{self.name} has no network.keras here: train it again with --force, or copy the file in.")
        import keras

        try:
            refuse_bombs(self.network_file)
            return keras.saving.load_model(self.network_file, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many kinds for files that are damaged or not its own
            why = first_line(error)
            raise UserError(f"{self.name}/network.keras cannot be read ({why}): train it again with --force.") from None

    def lock(self, wait: bool = True) -> Lock:
        """What a process holds while it changes the run: ``with folder.lock(): ...``; see `resnet_keras.locks`."""
        return Lock(self.path.with_name(f".{self.name}.lock"), f"run {self.name}", wait=wait)

    def begin(self, config: dict) -> None:
        """Make the directory and write the configuration, unless they are there."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.json").exists():
            write_json(self.path / "config.json", config)

    def tidy(self) -> None:
        """Remove what a killed process left half written; for the holder of the lock alone."""
        for path in (*self.path.glob(".*.tmp"), *self.path.glob(".*.tmp.keras")):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what an earlier training left, for a repeat; other files stay."""
        own = ["config.json", "history.csv", "summary.json", "environment.json", "network.keras", "checkpoint-*"]
        for pattern in own + [f"{name}.csv" for name in MEASUREMENTS]:
            for path in self.path.glob(pattern):
                path.unlink()
        self.__dict__.pop("config", None)

    def write_environment(self, environment: dict) -> None:
        """Record where the run is made. A run resumed elsewhere keeps its first place and lists the others."""
        first = self.environment
        if first and {**first, "resumed_on": None} != {**environment, "resumed_on": None}:
            others = [other for other in first.get("resumed_on", []) if other != environment]
            environment = {**first, "resumed_on": [*others, environment]}
        write_json(self.path / "environment.json", environment)

    def write_history(self, rows: list[dict]) -> None:
        """Replace the history by these rows."""
        write_atomically(self.path / "history.csv", _csv(rows))

    def write_summary(self, summary: dict) -> None:
        """Replace the summary. That of an ended run vouches for the history as it is now."""
        if summary["status"] in DONE and (self.path / "history.csv").is_file():
            summary = {**summary, "history_sha256": _digest(read_text(self.path / "history.csv", LARGEST_HISTORY))}
        write_json(self.path / "summary.json", summary)

    def replace_config(self, config: dict) -> None:
        """Replace the configuration, of a published network; a run keeps the one it began with."""
        write_json(self.path / "config.json", config)
        self.__dict__.pop("config", None)

    def write_card(self, text: str) -> None:
        """Replace the model card of a published network."""
        write_atomically(self.path / "README.md", text)

    def save_network(self, network) -> None:
        """Write the trained network, atomically."""
        part = self.path / ".network.tmp.keras"
        try:
            network.save(part)
            flush(part)
            os.replace(part, self.network_file)
        finally:
            part.unlink(missing_ok=True)

    def _read(self, name: str) -> dict | None:
        try:
            content = json.loads(read_text(self.path / name, LARGEST_JSON))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise self._unreadable(name, error) from None
        if not isinstance(content, dict):
            raise UserError(f"{self.name}/{name} holds no JSON object: repeat the run with --force.")
        return content

    def _unreadable(self, name: str, error: Exception) -> UserError:
        return UserError(f"{self.name}/{name} cannot be read ({first_line(error)}): repeat the run with --force.")


def _digest(text: str) -> str:
    """SHA-256 of a text, whatever ends its lines: a checkout on Windows may have changed that."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def _csv(rows: list[dict]) -> str:
    import pandas

    text = io.StringIO()
    pandas.DataFrame(rows).to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


class Store:
    """All runs of a results folder."""

    def __init__(self, root=None):
        """`root`: the results folder; see `resnet_keras.paths.results_dir` for the default."""
        self.root = results_dir(root)

    def run(self, name: str) -> RunFolder:
        """The run of this name, there or not.

        Raises:
            UserError: The name is not a plain directory name.
        """
        return RunFolder(self.root / "runs" / _plain(name))

    def model(self, name: str) -> RunFolder:
        """The published network of this name, there or not.

        Raises:
            UserError: The name is not a plain directory name.
        """
        return RunFolder(self.root / "models" / _plain(name))

    def find(self, name: str) -> RunFolder:
        """The run or published network of this name, which is there; those of the checkout come last.

        Raises:
            UserError: There is none.
        """
        for folder in (
            self.run(name),
            self.model(name),
            *(store.model(name) for store in self._with_the_checkout()[1:]),
        ):
            if folder.config:
                return folder
        raise UserError(f"no run or published network {name!r}: `resnet-keras list` prints those there are.")

    def models(self) -> list[RunFolder]:
        """Every published network by name: of this results folder, then those that come with the checkout."""
        found = {}
        for store in self._with_the_checkout():
            for path in sorted(store.root.glob("models/*/config.json")):
                found.setdefault(path.parent.name, RunFolder(path.parent))
        return list(found.values())

    def _with_the_checkout(self) -> list[Store]:
        """This store and, where it is another, the checkout's: what is published there serves every results folder."""
        root = checkout()
        return [self, Store(root / "results")] if root and root / "results" != self.root else [self]

    def runs(self) -> list[RunFolder]:
        """Every run that has a configuration, by name."""
        return [RunFolder(path.parent) for path in sorted(self.root.glob("runs/*/config.json"))]


def _plain(name: str) -> str:
    if not name or name != Path(name).name or name.startswith("."):
        raise UserError(f"{name!r} is not a run's name: give one of those that `resnet-keras list` prints.")
    return name
