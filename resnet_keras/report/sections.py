"""What the pages say, as plain text and numbers: worked out once, then written as HTML and as Markdown."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping

from resnet_keras.report import claims, figures, paper, profiles, records, tables, text
from resnet_keras.report.curves import Arrangement, curves
from resnet_keras.report.measured import NUMBERS
from resnet_keras.report.records import Record
from resnet_keras.report.selection import SCALES, Group, Row, Setting, planned_rows, select
from resnet_keras.report.statistics import ENOUGH, estimate
from resnet_keras.store import Store

HEADERS = (
    "Network",
    "Seeds",
    "Training error, %",
    "Test error, %",
    "Paper, test error, %",
    "Parameters",
    "Hours a run",
)
CLAIM_HEADERS = ("Claim", "Paper", "Ours", "Scale", "Data", "n", "Verdict")
OTHER_HEADERS = ("Run", "Iterations", "Training error, %", "Test error, %", "Precision", "Trained on", "Status")
OTHERS = 100  # runs outside the experiments that are listed
DEFAULT_SCALE = "short"


@dataclasses.dataclass(frozen=True)
class Part:
    """One experiment in one setting: a figure, a table and a sentence.

    Attributes:
        setting: What its runs share.
        groups: Its rows.
        arrangement: Their names, and the panels of the figure.
        stem: Name of its figure's files, without folder and ending.
        reading: One sentence made of the numbers.
        alt: The figure in words.
        headers: Those of the table.
        rows: Its cells.
        note: What holds for all rows.
        command: The command that makes the runs that are missing, or again those that are there.
        measurement: What the figure shows instead of learning curves; empty for these.
    """

    setting: Setting
    groups: list[Group]
    arrangement: Arrangement
    stem: str
    reading: str
    alt: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str
    command: str
    measurement: str = ""

    @property
    def title(self) -> str:
        """Heading."""
        return self.setting.title

    @property
    def runs(self) -> list[Record]:
        """Its runs, row by row."""
        return [record for group in self.groups for record in group.records]

    def figure(self, shape: str = "wide"):
        """Its figure, drawn anew; see `resnet_keras.report.figures`."""
        if self.measurement:
            panels = profiles.lines(self.groups, self.arrangement, self.measurement)
            return figures.profiles(panels, profiles.PROFILES[self.measurement], self.title, shape)
        lines = curves(self.groups, self.arrangement)
        return figures.learning_curves(lines, self.arrangement.panels, self.title, shape)


@dataclasses.dataclass(frozen=True)
class Section:
    """One experiment; `commands` are those that run it at each scale."""

    name: str
    title: str
    place: str
    claim: str
    parts: list[Part]
    commands: list[str]

    @property
    def groups(self) -> list[Group]:
        """The rows of its table: those of all its parts."""
        return [group for part in self.parts for group in part.groups]


@dataclasses.dataclass(frozen=True)
class ClaimRow:
    """A row of the summary, with the command that would make it where it has not been run."""

    cells: tuple[str, ...]
    verdict: str
    command: str


@dataclasses.dataclass(frozen=True)
class Report:
    """All that the pages show.

    Attributes:
        claims: The summary, under `CLAIM_HEADERS`: first what has been judged, then what has not been run.
        sections: An experiment each.
        others: Runs of no experiment, under `OTHER_HEADERS`.
        more: How many more of those there are.
        problems: One line for each run that could not be used.
    """

    claims: list[ClaimRow]
    sections: list[Section]
    others: list[tuple[str, ...]]
    more: int
    problems: list[str]


def prepare(store: Store, experiments: Mapping) -> Report:
    """Read the store and work out what to show.

    Args:
        store: Where the runs are.
        experiments: Name -> `resnet_keras.experiments.catalogue.Experiment`.
    """
    found, problems = records.read(store)
    selected, used = {}, set()
    for name, experiment in experiments.items():
        selected[name], misnamed = select(experiment, found)
        problems += misnamed
        used |= {run.folder.name for groups in selected[name].values() for group in groups for run in group.records}
    results = [f for c in claims.claims() for f in claims.findings(c, selected.get(c.experiment, {}))]
    sections = []
    for name, experiment in experiments.items():
        told = [finding for finding in results if finding.claim.experiment == name]
        sections.append(_section(experiment, selected[name], told))
    rows = [_claim_row(finding, experiments) for finding in results]
    rows.sort(key=lambda row: row.verdict == claims.NOT_RUN)
    others = [record for record in found if record.folder.name not in used]
    listed = [_other_row(record) for record in others[:OTHERS]]
    return Report(rows, sections, listed, len(others) - len(listed), sorted(set(problems)))


def command(experiment, scale: str, data: str | None = None, seeds: int = 1) -> str:
    """The command line that runs an experiment."""
    words = ["resnet-keras", "run", experiment.name, "--scale", scale]
    words += ["--data", data] if data else []
    words += ["--seeds", str(seeds)] if seeds > 1 else []
    return shlex.join(map(text.plain, words))


def _section(experiment, settings: dict[Setting, list[Group]], told) -> Section:
    parts = [
        _part(experiment, setting, groups, [finding for finding in told if finding.setting == setting])
        for setting, groups in settings.items()
    ]
    parts = [part for part in parts if not _shown_by_another(part, parts)]
    # Photographs before drawings, then what has all its networks; the first figure bears the experiment's name alone.
    parts.sort(key=lambda part: (part.setting.drawn, _gaps(part), part.setting.order))
    stems = _distinct([experiment.name, *(f"{experiment.name}-{part.setting.file_part}" for part in parts[1:])])
    parts = [dataclasses.replace(part, stem=stem) for part, stem in zip(parts, stems, strict=False)]
    commands = [command(experiment, scale) for scale in reversed(SCALES) if scale in experiment.networks]
    return Section(experiment.name, experiment.title, experiment.place, experiment.claim, parts, commands)


def _shown_by_another(part: Part, parts: list[Part]) -> bool:
    """Whether another precision has this part's networks and more: a few runs that belong to another experiment."""
    own = {group.row for group in part.groups}
    return any(
        other.setting._replace(precision=part.setting.precision) == part.setting
        and own < {group.row for group in other.groups}
        for other in parts
    )


def _gaps(part: Part) -> bool:
    """Whether networks of the experiment have not been run."""
    return any(row[1] == claims.NOT_RUN for row in part.rows)


def _distinct(names: list[str]) -> list[str]:
    """The names, with a number after those that an earlier one has taken."""
    found = []
    for name in names:
        candidates = (f"{name}-{number}" if number > 1 else name for number in range(1, len(names) + 2))
        found.append(next(candidate for candidate in candidates if candidate not in found))
    return found


def _part(experiment, setting: Setting, groups: list[Group], told) -> Part:
    rows = {row: None for row in planned_rows(experiment, setting)} | {group.row: group for group in groups}
    arrangement = Arrangement(tuple(sorted(rows, key=lambda row: row.order)))
    seeds = max(len(group.finished) for group in groups)
    measurement = next((name for name in experiment.measures if name in profiles.PROFILES), "")
    return Part(
        setting=setting,
        groups=groups,
        arrangement=arrangement,
        stem="",
        reading=claims.reading(told) or _finished_so_far(groups, arrangement),
        alt=_alt(groups, arrangement, measurement),
        headers=HEADERS if not measurement else (*HEADERS[:2], *(n.heading for n in NUMBERS[measurement].values())),
        rows=[_row(arrangement.title(row), row, rows[row], setting, measurement) for row in arrangement.rows],
        note=_note(groups, measurement),
        command=command(experiment, setting.scale, setting.data, max(seeds, 1)),
        measurement=measurement,
    )


def _row(title: str, row: Row, group: Group | None, setting: Setting, measurement: str) -> tuple[str, ...]:
    """A row of the table for people, of what has run and of what has not."""
    printed = "" if row.recipe else paper.shown(setting.data, row.network, row.shortcut)
    if group is None:
        blank = ("",) * len(NUMBERS[measurement]) if measurement else ("", "", printed, "", "")
        return (title, claims.NOT_RUN, *blank)
    numbers = tables.row(group)
    seeds = f"{numbers['seeds']}" + (f" (and {numbers['diverged']} diverged)" if numbers["diverged"] else "")
    if measurement:
        return (title, seeds, *(_measured(group, f"{measurement}.{name}") for name in NUMBERS[measurement]))
    return (
        title,
        seeds,
        _with_interval(numbers, "train_error"),
        _with_interval(numbers, "test_error"),
        printed,
        text.number(numbers["parameters"], 0),
        text.number(numbers["hours"], 2),
    )


def _measured(group: Group, name: str) -> str:
    """A measured number over the seeds, those that diverged too: they were measured before."""
    values = [record.number(name) for record in group.records]
    values = [value for value in values if value is not None]
    found = estimate(values) if values else None
    return text.spread(found.mean, found.std) if found else ""


def _with_interval(row: dict, metric: str) -> str:
    mean, std, low, high = (row[f"{metric}_{part}"] for part in ("mean", "std", "low", "high"))
    interval = "" if low is None else f" [{low:.2f}, {high:.2f}]"
    return "" if mean is None else text.spread(mean, std) + interval


def _note(groups: list[Group], measurement: str) -> str:
    rows = [row for row in tables.table(groups) if row["seeds"]]
    iterations = text.listing(sorted({f"{row['iterations']:,}" for row in rows if row["iterations"]}))
    words = ["Errors after the last iteration"]
    words[0] += f", {iterations}" if iterations else ""
    words = [*_how_measured(groups, measurement), *(() if measurement else words)]
    if any(row["seeds"] > 1 for row in rows):
        words.append("mean ± standard deviation over seeds")
        if any(row["seeds"] >= ENOUGH for row in rows) and not measurement:
            words[-1] += ", in brackets the 95 % interval of the mean (Student's t)"
    elif rows:
        words.append("a single seed, so that small differences may be chance")
    devices = tables.devices([record for group in groups for record in group.finished])
    words += [f"trained on {text.listing(devices)}"] if devices else []
    commits = sorted({commit for row in rows for commit in row["commit"].split()})
    words += [f"code at {text.listing(commits)}"] if commits else []
    return "; ".join(words) + "."


def _how_measured(groups: list[Group], measurement: str) -> list[str]:
    if not measurement:
        return []
    tables_of = [record.folder.measurement(measurement) for group in groups for record in group.records]
    images = sorted({int(count) for table in tables_of if "images" in table for count in table["images"]})
    return [f"Measured on {text.listing([f'{count:,}' for count in images])} images"] if images else ["Measured"]


def _finished_so_far(groups: list[Group], arrangement: Arrangement) -> str:
    done = _test_errors(groups, arrangement)
    return f"Test error so far, in percent: {text.listing(done)}." if done else "No run has a last error."


def _alt(groups: list[Group], arrangement: Arrangement, measurement: str) -> str:
    if measurement:
        profile = profiles.PROFILES[measurement]
        names = text.listing([arrangement.title(group.row) for group in groups])
        return text.capital(f"{profile.measured} over the {profile.along} for {names}.")
    done = text.listing(_test_errors(groups, arrangement)) or "none"
    return f"Training and test error in percent over iterations. Test errors after the last one: {done}."


def _test_errors(groups: list[Group], arrangement: Arrangement) -> list[str]:
    rows = [(arrangement.title(group.row), tables.row(group)) for group in groups]
    found = [(title, row["test_error_mean"], row["test_error_std"]) for title, row in rows]
    return [f"{title} {text.spread(mean, std, 1)}" for title, mean, std in found if mean is not None]


def _claim_row(finding: claims.Finding, experiments: Mapping) -> ClaimRow:
    claim, setting = finding.claim, finding.setting
    scale, data = (setting.scale, setting.data_title) if setting else ("", "")
    experiment = experiments.get(claim.experiment)
    wanted = setting.scale if setting else (claim.scales or (DEFAULT_SCALE,))[0]
    missing = finding.verdict == claims.NOT_RUN and experiment is not None
    return ClaimRow(
        cells=(
            claim.claim,
            f"{claim.paper} ({claim.place})",
            finding.ours,
            _scale_and_more(setting) if setting else scale,
            text.plain(data),
            str(finding.n) if finding.n else "",
            finding.verdict,
        ),
        verdict=finding.verdict,
        command=command(experiment, wanted, setting.data if setting else None, claim.needs) if missing else "",
    )


def _scale_and_more(setting: Setting) -> str:
    """The scale, with the precision and the code's version, which keep numbers apart too."""
    return setting.title.removeprefix(f"{text.plain(setting.data_title)}, ")


def _other_row(record: Record) -> tuple[str, ...]:
    summary = record.summary
    return (
        text.plain(record.folder.name),
        text.number(record.number("iterations"), 0),
        *(text.number(record.number(metric)) for metric in ("train_error", "test_error")),
        text.plain(record.recipe["precision"]),
        text.plain(summary.get("device") or "")[:100],
        summary["status"],
    )
