"""Writes what the report is made of, each file whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from resnet_keras.errors import UserError
from resnet_keras.files import write_atomically
from resnet_keras.report import figures, page, readme, sections, tables, text
from resnet_keras.report.sections import Part, Section
from resnet_keras.store import Store


def write(store: Store, experiments: Mapping, names: list[str]) -> list[Path]:
    """Write tables and figures of the experiments of these names, and the pages of all; see `build`."""
    report = sections.prepare(store, experiments)
    drawn = {part.stem: _draw(part) for section in report.sections for part in section.parts}
    files: dict[str, bytes | str] = {}
    for section in report.sections:
        if section.name in names:
            files |= _tables(section) | _figures(section, drawn)
    pictures = {stem: (wide, tall) for stem, (_, _, wide, tall) in drawn.items()}
    files |= {"README.md": readme.markdown(report), "index.html": page.html(report, pictures)}
    return [_write(store.root / name, content) for name, content in files.items()]


def text_table(parts: list[Part]) -> str:
    """Parts of one experiment as aligned columns, each with its reading."""
    blocks = []
    for part in parts:
        rows = [part.headers, *part.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_aligned, cells, widths, range(len(cells)))).rstrip() for cells in rows]
        blocks.append("\n".join([part.title, *lines, part.reading]))
    return "\n\n".join(blocks) or "No run has finished."


def _aligned(cell: str, width: int, place: int) -> str:
    return cell.rjust(width) if place else cell.ljust(width)


def _draw(part: Part) -> tuple[bytes, bytes, bytes, bytes]:
    """PNG and SVG of a part's figure, and the two forms of it that the page embeds: for wide screens and phones."""
    wide = part.figure()
    return figures.png(wide), figures.svg(wide), figures.embedded(wide), figures.embedded(part.figure("tall"))


def _tables(section: Section) -> dict[str, str]:
    rows = tables.table(section.groups)
    stem = f"tables/{text.file_part(section.name)}"
    return {f"{stem}.csv": tables.csv_text(rows), f"{stem}.md": readme.table_page(section, rows)}


def _figures(section: Section, drawn: dict) -> dict[str, bytes]:
    files = {}
    for part in section.parts:
        png, svg, *_ = drawn[part.stem]
        files |= {f"figures/{part.stem}.png": png, f"figures/{part.stem}.svg": svg}
    return files


def _write(path: Path, content: bytes | str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise UserError(
            f"{text.plain(path.name)} cannot be written ({error.strerror}): make room or pass --results."
        ) from None
    return path
