"""What pages and notebooks print works for a reader: commands parse, links lead somewhere, named files exist."""

import re
import shlex

import nbformat
import pytest

from resnet_keras import cli  # noqa: F401 (registers the commands)
from resnet_keras.options import app
from tests.conftest import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("results/models/*/*.md"), *ROOT.glob("notebooks/*.ipynb")]
VERBS = "doctor|predict|summary|list|run|train|report|evaluate|export"


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_parse_and_links_lead_somewhere(path):
    page = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(page, 4).cells
        page = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    page = page.replace("\\\n", " ")
    for command in re.findall(rf"resnet-keras ((?:{VERBS})\b[^`\n#]*)", page):
        assert len(command) < 80, command
        app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page):
        assert (path.parent / link).exists(), link


def test_the_tour_names_files_that_exist():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = set(re.findall(r"`(\w+/\w+\.(?:py|csv))`", page))
    assert len(re.findall(r"^\| \d+ \| `", page, re.MULTILINE)) == 12
    assert not [name for name in files if not any((ROOT / base / name).is_file() for base in ("", "resnet_keras"))]
