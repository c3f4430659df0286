"""Which runs belong to an experiment, and which of them may share a table and a row."""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import NamedTuple

from resnet_keras.errors import UserError
from resnet_keras.report import text
from resnet_keras.report.records import Record, deciding, key, listed
from resnet_keras.training.recipe import PRESETS
from resnet_keras.training.run import PROTOCOL

SCALES = tuple(reversed(PRESETS))  # the most telling first
DRAWN = ("shapes32",)  # data that are not of the paper's kind come after those that are


class Setting(NamedTuple):
    """What runs have to share before their numbers may stand in one table."""

    scale: str
    data: str
    data_version: str
    data_title: str
    precision: str
    protocol: int

    @property
    def drawn(self) -> bool:
        """Whether the data are the package's own drawings."""
        return self.data in DRAWN

    @property
    def order(self) -> tuple:
        """For sorting: the setting nearest to the paper first, and newer code before older."""
        rank = SCALES.index(self.scale) if self.scale in SCALES else len(SCALES)
        return (self.drawn, -self.protocol, rank, self.precision != "float32", *self)

    @property
    def title(self) -> str:
        """For people."""
        code = "" if self.protocol == PROTOCOL else f", other code (protocol {self.protocol})"
        return text.plain(f"{self.data_title}, {self.scale} scale, {self.precision}{code}")

    @property
    def file_part(self) -> str:
        """For file names; two settings may share it."""
        return "-".join(map(text.file_part, (self.scale, self.data, self.precision)))


class Row(NamedTuple):
    """What was trained, but for data, scale and seed: what a row of a table stands for.

    Attributes:
        network: Name of the catalogue.
        shortcut: Option.
        recipe: What of the recipe differs from its scale's, as text such as "batch_norm=False".
    """

    network: str
    shortcut: str
    recipe: str = ""

    @property
    def kind(self) -> str:
        """The network's name without its depth."""
        return self.network.rstrip("0123456789")

    @property
    def depth(self) -> int:
        """Its depth; 0 for a name that has none."""
        return text.depth(self.network) or 0

    @property
    def order(self) -> tuple:
        """For sorting: plain before residual, then by depth, option and recipe."""
        return (self.kind, self.depth, self.shortcut, self.recipe)

    @property
    def label(self) -> str:
        """What claims call it: plain56, resnet56-A, or plain56 batch_norm=False."""
        option = "" if self.shortcut == "none" and self.kind != "resnet" else f"-{self.shortcut}"
        return f"{self.network}{option}" + (f" {self.recipe}" if self.recipe else "")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone: a row of a table."""

    setting: Setting
    row: Row
    records: tuple[Record, ...]

    @functools.cached_property
    def finished(self) -> list[Record]:
        """Those with a last error, by seed."""
        return [record for record in self.records if record.finished]

    def by_seed(self, metric: str) -> dict[int, float]:
        """Seed -> a number of the summary, of the finished runs that have it."""
        found = {record.seed: record.number(metric) for record in self.finished}
        return {seed: value for seed, value in found.items() if value is not None}


def setting_of(record: Record, scale: str, precisions: tuple[str, ...] = ()) -> Setting:
    """A record's setting, as part of an experiment at this scale that compares these precisions, if any."""
    config = record.config
    names = (config["data"], config["data_version"], config["data_title"])
    precision = text.listing(list(precisions)) or str(record.recipe["precision"])
    return Setting(scale, *names, precision, config["protocol"])


def planned(experiment, scale: str, data: str | None = None, precision: str = "float32") -> list:
    """The catalogue's runs of one seed; none where the experiment does not know the scale."""
    return experiment.runs(scale, data, 1, precision) if scale in experiment.networks else []


def select(experiment, records: list[Record]) -> tuple[dict[Setting, list[Group]], list[str]]:
    """The runs of an experiment, by setting and row, and one line for each run of it that cannot be used.

    A run belongs to an experiment when the catalogue lists its network, shortcut and recipe, at any seed and on
    any data, and when what the experiment measures has been measured on it. It counts as the run its name says
    only while the hash in the name is that of its configuration.
    """
    lookups = {precision: _lookup(experiment, precision) for precision in ("float32", "bfloat16")}
    grouped: dict[tuple, dict[int, Record]] = {}
    problems = []
    for record in records:
        found = lookups.get(str(record.recipe["precision"]), {}).get(record.key)
        if found is None or not all(record.folder.has_measurement(name) for name in experiment.measures):
            continue
        scale, run = found
        if not _is_named_well(record, run):
            name = text.plain(record.folder.name)
            problems.append(f"{name}: its config.json makes another name, so it is left out; train it again.")
            continue
        try:
            _ = record.errors if record.finished else None  # read here once, for all figures
        except UserError as error:
            problems.append(text.plain(error))
            continue
        setting = setting_of(record, scale, experiment.precisions)
        grouped.setdefault((setting, record.key), {}).setdefault(record.seed, record)
    settings: dict[Setting, list[Group]] = {}
    for (setting, _), members in grouped.items():
        group = _group(setting, list(members.values()), bool(experiment.precisions))
        settings.setdefault(setting, []).append(group)
    for groups in settings.values():
        groups.sort(key=lambda group: group.row.order)
    return dict(sorted(settings.items(), key=lambda item: item[0].order)), problems


def _lookup(experiment, precision: str) -> dict:
    """Key of a record -> (scale, run of the catalogue)."""
    found = {}
    for scale in SCALES:
        for run in planned(experiment, scale, precision=precision):
            found.setdefault(key(run.network, run.shortcut, deciding(run.recipe)), (scale, run))
    return found


def _is_named_well(record: Record, run) -> bool:
    """Whether the folder has the name that its configuration makes; that of other code cannot be checked."""
    config = record.config
    if config["protocol"] != PROTOCOL:
        return True
    try:
        twin = dataclasses.replace(run, seed=record.seed, data=config["data"])
    except UserError:  # a seed that no run can have
        return False
    return _name(twin, config["data_version"], config["data_title"]) == record.folder.name


@functools.lru_cache(maxsize=2**16)
def _name(run, version: str, title: str) -> str:
    """The run's name; remembered, since a run may belong to several experiments."""
    return run.name(types.SimpleNamespace(name=run.data, version=version, title=title))


def row_of(network: str, shortcut: str, recipe: dict, scale: str, with_precision: bool = False) -> Row:
    """The row that a run of this scale belongs to; `recipe` is what of the recipe decides the result.

    The precision is part of a row only where an experiment compares precisions; elsewhere it is of the setting.
    """
    preset = {**dataclasses.asdict(PRESETS[scale]), "drops": list(PRESETS[scale].drops)}
    differs = {k: v for k, v in recipe.items() if k != "precision" and listed(v) != preset.get(k)}
    differs |= {"precision": recipe["precision"]} if with_precision else {}
    return Row(network, shortcut, ", ".join(f"{k}={v}" for k, v in differs.items()))


def planned_rows(experiment, setting: Setting) -> list[Row]:
    """The rows that an experiment has in a setting, run or not."""
    runs = planned(experiment, setting.scale, precision=setting.precision)
    with_precision = bool(experiment.precisions)
    return [row_of(run.network, run.shortcut, deciding(run.recipe), setting.scale, with_precision) for run in runs]


def _group(setting: Setting, members: list[Record], with_precision: bool) -> Group:
    first = members[0]
    row = row_of(first.config["network"], first.config["shortcut"], first.recipe, setting.scale, with_precision)
    return Group(setting, row, tuple(sorted(members, key=lambda record: record.seed)))
