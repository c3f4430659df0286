"""results/README.md, what a reader sees on a code host, and the Markdown file of each table."""

from __future__ import annotations

import urllib.parse

from resnet_keras.report import sections, tables, text
from resnet_keras.report.sections import Part, Report, Section

RUNS_LISTED = 40  # a longer list of runs is left to the folder itself
MARKS = {"reproduced": "✓ reproduced", "not reproduced": "✗ not reproduced", "open": "? open", "not run": "– not run"}


def markdown(report: Report) -> str:
    """The whole page."""
    blocks = [
        "# Results",
        "Drawn by `resnet-keras report` from the runs in [runs](runs); nothing here is written by hand. "
        "[index.html](index.html) shows the same as one page to download.",
        "## Claims of the paper",
        _claims(report),
    ]
    for section in report.sections:
        blocks += _section(section)
    if report.others:
        more = f"\n\nAnd {report.more:,} more." if report.more else ""
        blocks += [
            "## Runs outside the experiments",
            _table(sections.OTHER_HEADERS, report.others).strip() + more,
        ]
    if report.problems:
        blocks += ["## Left out", "\n".join(f"- {text.markdown(problem)}" for problem in report.problems)]
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def table_page(section: Section, rows: list[dict]) -> str:
    """An experiment's table under its column names, or how to make it."""
    head = f"# {text.markdown(section.title)}\n\n"
    if not rows:
        return head + "Not run. To run it:\n\n" + _code(section.commands)
    return head + tables.markdown_text(rows)


def _claims(report: Report) -> str:
    rows = []
    for row in report.claims:
        cells = [text.markdown(cell) for cell in row.cells]
        cells[-1] = MARKS[row.verdict] + (f": {text.inline_code(row.command)}" if row.command else "")
        rows.append(cells)
    return tables.markdown_table(sections.CLAIM_HEADERS, rows)


def _section(section: Section) -> list[str]:
    blocks = [
        f"## {text.markdown(section.title)}",
        f"{text.markdown(section.place)}. {text.markdown(section.claim)}",
    ]
    if not section.parts:
        blocks += ["Not run. To run it:", _code(section.commands)]
    for part in section.parts:
        blocks += _part(part)
    if section.parts:
        name = text.file_part(section.name)
        blocks.append(f"All numbers: [{name}.csv](tables/{name}.csv), [{name}.md](tables/{name}.md).")
    return blocks


def _part(part: Part) -> list[str]:
    return [
        f"### {text.markdown(part.title)}",
        f"![{text.markdown(part.alt)}](figures/{part.stem}.png)",
        text.markdown(part.reading),
        _table(part.headers, part.rows),
        text.markdown(part.note),
        _code([part.command]),
        _runs(part),
    ]


def _runs(part: Part) -> str:
    if len(part.runs) > RUNS_LISTED:
        return f"{len(part.runs):,} runs, in [runs](runs)."
    names = [record.folder.name for record in part.runs]
    return "Runs: " + ", ".join(f"[{text.markdown(name)}](runs/{urllib.parse.quote(name)})" for name in names) + "."


def _table(headers, rows) -> str:
    return tables.markdown_table(headers, [[text.markdown(cell) for cell in row] for row in rows])


def _code(commands: list[str]) -> str:
    return "```sh\n" + "\n".join(commands) + "\n```"
