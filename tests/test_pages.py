"""What pages and notebooks print works for a reader: commands parse, links lead somewhere, named files exist."""

import re
import shlex
from pathlib import Path

import nbformat
import pytest

from resnet_keras import cli  # noqa: F401 (registers the commands)
from resnet_keras.options import app

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("results/models/*/*.md")]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
VERBS = "doctor|predict|summary|list|run|train|report|evaluate|export"
IDS = {"ids": lambda path: path.relative_to(ROOT).as_posix()}


def text(path: Path) -> str:
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], **IDS)
def test_commands_parse_and_links_lead_somewhere(path):
    page = text(path).replace("\\\n", " ")
    for command in re.findall(rf"resnet-keras ((?:{VERBS})\b[^`\n#]*)", page):
        assert len(command) < 80, command
        app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page):
        assert (path.parent / link).exists(), link


def test_the_tour_names_files_that_exist():
    page = text(ROOT / "CONTRIBUTING.md")
    files = set(re.findall(r"`(\w+/\w+\.(?:py|csv))`", page))
    assert len(re.findall(r"^\| \d+ \| `", page, re.MULTILINE)) == 12
    assert not [name for name in files if not any((ROOT / base / name).is_file() for base in ("", "resnet_keras"))]
