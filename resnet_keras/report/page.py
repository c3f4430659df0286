"""results/index.html: one self-contained page without scripts; the template escapes every text in it."""

from __future__ import annotations

import base64
import importlib.resources
import urllib.parse

from resnet_keras.report import sections, text
from resnet_keras.report.sections import Report

MARKS = {"reproduced": "✓", "not reproduced": "✗", "open": "?", "not run": "–"}


def html(report: Report, pictures: dict[str, tuple[bytes, bytes]]) -> str:
    """The page.

    Args:
        report: What it shows.
        pictures: A figure's stem -> its SVG for wide screens and paper, and its SVG for phones.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = importlib.resources.files("resnet_keras.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        report=report,
        tally=tally(report),
        claim_headers=sections.CLAIM_HEADERS,
        other_headers=sections.OTHER_HEADERS,
        marks=MARKS,
        pictures={stem: tuple(map(_data_uri, svgs)) for stem, svgs in pictures.items()},
        quote=urllib.parse.quote,
        file_part=text.file_part,
        plain=text.plain,
    )


def tally(report: Report) -> list[tuple[str, int]]:
    """How many rows of the summary have each verdict."""
    return [(verdict, sum(row.verdict == verdict for row in report.claims)) for verdict in MARKS]


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
