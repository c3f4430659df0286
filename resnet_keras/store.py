"""The results folder: the only code that knows the files of a run.

results/runs/<run>/     config.json: what decides the result, the names of the classes, where the data was
                        environment.json: versions, device, commit; summary.json: the last row, times, status
                        history.csv: a row per log interval; <measurement>.csv: of the trained network
                        network.keras, and checkpoint-* until the run is finished (not in git)
results/runs/.<run>.lock    while a process is at work on the run (not in git)
results/models/<name>/  a bundled network: its network.keras and the small files of the run that trained it
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from resnet_keras.errors import UserError, first_line
from resnet_keras.files import checkout, locked, replacing, results_dir, write_atomically, write_json

MEASUREMENTS = ("responses", "gradients", "lesion", "start", "surface", "views")
DONE = ("finished", "diverged")


class RunFolder:
    """One run's directory, which need not exist yet; its last part is the run's name."""

    def __init__(self, path: Path):
        self.path, self.name = Path(path), Path(path).name
        self.network_file = self.path / "network.keras"

    config = property(lambda self: self._read("config.json"), doc="What decides the result; empty before it begins.")
    environment = property(lambda self: self._read("environment.json"), doc="Where the run was made.")
    summary = property(lambda self: self._read("summary.json"), doc="How it ended; empty before it was trained at all.")
    done = property(lambda self: self.status in DONE, doc="Whether there is nothing left to train.")

    @property
    def status(self) -> str:
        """One of "finished", "diverged", "interrupted" and "not run"."""
        return self.summary.get("status", "interrupted" if self.path.is_dir() else "not run")

    @property
    def history(self):
        """A pandas DataFrame, a row per log interval; raises UserError if it is torn or not what a done run wrote."""
        return self._table("history.csv", self.summary.get("history_sha256") if self.done else None)

    def has_measurement(self, name: str) -> bool:
        """Whether this measurement has been taken."""
        return (self.path / f"{name}.csv").is_file()

    def measurement(self, name: str):
        """A measurement as a pandas DataFrame, None if it has not been taken; UserError if its file cannot be read."""
        return self._table(f"{name}.csv") if self.has_measurement(name) else None

    def write_table(self, name: str, rows: list[dict]) -> None:
        """Replace a measurement, or the "history", by these rows: dictionaries with the same keys."""
        import pandas

        write_atomically(self.path / f"{name}.csv", pandas.DataFrame(rows).to_csv(index=False, lineterminator="\n"))

    def load_network(self):
        """The trained network; raises UserError if there is none here, it cannot be read or would run code."""
        from resnet_keras.models.pretrained import load

        if not self.network_file.is_file():
            instead = "train it again with --force, copy the file in, or take a bundled network (resnet-keras list)"
            raise UserError(f"{self.name} has no network.keras here: {instead}.")
        try:
            return load(self.network_file)
        except UserError as error:
            raise UserError(f"{self.name}/{error}") from None

    def save_network(self, network) -> None:
        """Write the trained network, atomically."""
        with replacing(self.network_file) as part:
            network.save(part)

    def lock(self, wait: bool = True):
        """Context of a process that changes the run; see `resnet_keras.files.locked`."""
        return locked(self.path.with_name(f".{self.name}.lock"), f"run {self.name}", wait=wait)

    def begin(self, config: dict) -> None:
        """Make the directory and write the configuration, unless they are there."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.json").exists():
            write_json(self.path / "config.json", config)

    def tidy(self, *patterns: str) -> None:
        """Remove what a killed process left half written, and what fits a pattern; for the holder of the lock alone."""
        for pattern in (".*.tmp*", *patterns):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what an earlier training left, for a repeat; other files stay."""
        own = ("config.json", "environment.json", "summary.json", "network.keras", "checkpoint-*", "history.csv")
        self.tidy(*own, *(f"{name}.csv" for name in MEASUREMENTS))

    def write_environment(self, environment: dict, iteration: int = 0) -> None:
        """Record where the run is made; of one that goes on in other surroundings, those and from which iteration."""
        if first := self.environment:
            places = [first, *first.pop("resumed_on", [])]
            if environment != {key: value for key, value in places[-1].items() if key != "iteration"}:
                places.append({"iteration": iteration, **environment})
            environment = {**first, **({"resumed_on": places[1:]} if places[1:] else {})}
        write_json(self.path / "environment.json", environment)

    def write_summary(self, summary: dict) -> None:
        """Replace the summary. That of an ended run vouches for the history as it is now."""
        history = self.path / "history.csv"
        if summary["status"] in DONE and history.is_file():
            summary = {**summary, "history_sha256": _sha256(history.read_text(encoding="utf-8"))}
        write_json(self.path / "summary.json", summary)

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        return sorted(self.path.glob(f"checkpoint-{'[0-9]' * 8}.safetensors"))

    def save_checkpoint(self, iteration: int, tensors: dict[str, np.ndarray], state: dict) -> None:
        """Write a checkpoint of arrays and JSON's values, in a format without code; drop all but the newest two."""
        text = json.dumps(state)
        metadata = {"state": text, "sha256": _sha256(text, tensors)}
        write_atomically(self.path / f"checkpoint-{iteration:08d}.safetensors", save(tensors, metadata))
        for path in self.checkpoints[:-2]:  # one to fall back to where the newest is damaged
            path.unlink()

    def load_checkpoint(self, warn=print) -> tuple[dict[str, np.ndarray], dict] | None:
        """The newest intact checkpoint as (tensors, state), or None; `warn` gets a line for each that is damaged."""
        for path in reversed(self.checkpoints):
            try:
                with safe_open(path, "numpy") as file:
                    metadata = file.metadata() or {}
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dictionary)
                if metadata.get("sha256") != _sha256(metadata.get("state", ""), tensors):
                    raise ValueError("its checksum does not match")
                return tensors, json.loads(metadata["state"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
                warn(f"{path.name} is damaged ({first_line(error)}): going back to the checkpoint before it.")
        return None

    def _read(self, name: str) -> dict:
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError("it holds no JSON object")
            return content
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise self._unreadable(name, error) from None

    def _table(self, name: str, digest: str | None = None):
        """A CSV file as a DataFrame; `digest`: the SHA-256 that its text should have."""
        import pandas

        try:
            text = (self.path / name).read_text(encoding="utf-8")
            if digest not in (None, _sha256(text)):
                raise ValueError("it is not what the training wrote")
            return pandas.read_csv(io.StringIO(text))
        except (OSError, ValueError) as error:
            raise self._unreadable(name, error) from None

    def _unreadable(self, name: str, error: Exception) -> UserError:
        remedy = "delete it and measure again" if Path(name).stem in MEASUREMENTS else "repeat the run with --force"
        return UserError(f"{self.name}/{name} cannot be read ({first_line(error)}): {remedy}.")


def _sha256(text: str, tensors: dict[str, np.ndarray] | None = None) -> str:
    """SHA-256 of a text (read with universal newlines, which a checkout on Windows may have changed) and of arrays."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted((tensors or {}).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


class Store:
    """All runs of a results folder; see `resnet_keras.files.results_dir` for the default one."""

    def __init__(self, root=None):
        self.root = results_dir(root)

    def run(self, name: str) -> RunFolder:
        """The run of this name, which need not exist; raises UserError if it is not a plain directory name."""
        if not name or name != Path(name).name or name.startswith("."):
            raise UserError(f"{name!r} is not a run's name: give one of those that `resnet-keras list` prints.")
        return RunFolder(self.root / "runs" / name)

    def models(self) -> list[RunFolder]:
        """Every bundled network: those of the checkout, unless this results folder has one of the same name."""
        roots = [*([checkout() / "results"] if checkout() else []), self.root]
        paths = [path.parent for root in roots for path in sorted(root.glob("models/*/config.json"))]
        return list({path.name: RunFolder(path) for path in paths}.values())

    def runs(self) -> list[RunFolder]:
        """Every run that has a configuration, by name."""
        return [RunFolder(path.parent) for path in sorted(self.root.glob("runs/*/config.json"))]
