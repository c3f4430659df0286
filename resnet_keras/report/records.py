"""The finished runs of the store as checked records."""

from __future__ import annotations

import dataclasses
import functools
import json
import math

from resnet_keras.errors import UserError
from resnet_keras.report import measured, text
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.recipe import KINDS, OBSERVING, Recipe
from resnet_keras.training.run import FORMER

DEFAULTS = dataclasses.asdict(Recipe())
WHOLE = (int, lambda value: value >= 0, "a whole number")
WORDS = (str, lambda value: 0 < len(value) <= 200, "a name")
FIELDS = {
    "protocol": WHOLE,
    "network": WORDS,
    "shortcut": WORDS,
    "data": WORDS,
    "data_version": WORDS,
    "data_title": WORDS,
    "seed": WHOLE,
    "scale": WORDS,
    "recipe": (dict, lambda value: True, "an object"),
}


@dataclasses.dataclass(frozen=True)
class Record:
    """One run that is finished or diverged: its folder and the content of its small files."""

    folder: RunFolder
    config: dict
    summary: dict
    environment: dict

    @property
    def finished(self) -> bool:
        """Whether it has a last error; a diverged run has none."""
        return self.summary["status"] == "finished"

    @property
    def seed(self) -> int:
        """Seed."""
        return self.config["seed"]

    @functools.cached_property
    def recipe(self) -> dict:
        """What of the recipe decides the result. A field that came later had its default's effect."""
        recipe = {**DEFAULTS, **self.config["recipe"]}
        return {key: value for key, value in recipe.items() if key not in OBSERVING}

    @functools.cached_property
    def errors(self) -> dict:
        """Its curves: "train_error" and "test_error" -> float [points, 2], iteration and percent.

        The error on a validation set stands for the test error of a run that was watched on one.

        Raises:
            UserError: The history cannot be read.
        """
        held_out = "validation_error" if self.config["recipe"].get("validation") else "test_error"
        try:
            points = self.folder.history[["iteration", "train_error", held_out]].to_numpy(float)
        except (KeyError, ValueError) as error:
            raise UserError(f"{self.folder.name}/history.csv cannot be read: {error}") from None
        return {
            "train_error": points[:, :2][points[:, 1] == points[:, 1]],  # a blank is NaN, which equals nothing
            "test_error": points[:, ::2][points[:, 2] == points[:, 2]],
        }

    @functools.cached_property
    def key(self) -> tuple:
        """What it trained, but for data and seed."""
        return key(self.config["network"], self.config["shortcut"], self.recipe)

    def number(self, name: str) -> float | None:
        """A finite number of the summary or, as responses.std, of `measured.NUMBERS`; else None."""
        value = measured.number(self.folder, name) if "." in name else self.summary.get(name)
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if numeric and math.isfinite(value) else None


def key(network: str, shortcut: str, recipe: dict) -> tuple:
    """A hashable form of network and recipe, the same for a run of the catalogue and for one of the store."""
    return (network, shortcut, json.dumps(recipe, sort_keys=True))


def deciding(recipe: Recipe) -> dict:
    """What of a recipe decides the result, as `Record.recipe` has it."""
    return {name: listed(value) for name, value in dataclasses.asdict(recipe).items() if name not in OBSERVING}


def listed(value):
    """A tuple as the list that JSON makes of it."""
    return list(value) if isinstance(value, tuple) else value


def read(store: Store) -> tuple[list[Record], list[str]]:
    """Every finished or diverged run, and one line for every run that cannot be used."""
    records, problems = [], []
    for folder in store.runs():
        try:
            record = _record(folder)
        except UserError as error:
            problems.append(text.plain(error))
            continue
        if record:
            records.append(record)
    return records, problems


def _record(folder: RunFolder) -> Record | None:
    summary = folder.summary
    if not summary or summary.get("status") not in ("finished", "diverged"):
        return None
    config = folder.config
    for field, (kind, allowed, description) in FIELDS.items():
        value = config.get(field)
        if not isinstance(value, kind) or isinstance(value, bool) or not allowed(value):
            raise UserError(f"{folder.name}/config.json has no {field} that is {description}: the run is left out.")
    if unknown := sorted(config["recipe"].keys() - KINDS.keys() - FORMER.keys()):
        raise UserError(
            f"{folder.name}: config.json is of other code, with {', '.join(unknown)}: the run is left out; bring this "
            "project up to date."
        )
    return Record(folder, config, summary, folder.environment)
