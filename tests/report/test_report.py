"""The whole report, from the store alone."""

import hashlib
import html
import os
import re
import subprocess
import sys
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pytest

from resnet_keras import report
from resnet_keras.errors import UserError
from resnet_keras.experiments.catalogue import EXPERIMENTS
from resnet_keras.report import page, records, sections
from resnet_keras.store import Store
from tests.report.synthetic import ENDS, write_json, write_run

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
TERMINAL = "\x1b]0;owned\x07\x1b[2J"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder with two scales of degradation, reported once."""
    root = tmp_path_factory.mktemp("results")
    for network, (train, test) in ENDS.items():
        for seed in range(3):
            write_run(root, network, scale="paper", seed=seed, end=(train + 0.1 * seed, test + 0.2 * seed))
    write_run(root, "plain20", data="cifar10_jpeg", end=(30, 33))
    write_run(root, "plain56", data="cifar10_jpeg", end=(60, 65))
    files = report.build(Store(root))
    return root, files


def digests(root: Path) -> dict:
    files = [path for path in root.rglob("*") if path.is_file() and "runs" not in path.relative_to(root).parts]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_is_written(full):
    root, files = full
    names = {str(path.relative_to(root)) for path in files}
    assert {"README.md", "index.html"} <= names
    assert {f"tables/degradation.{ending}" for ending in ("csv", "md")} <= names
    for stem in ("degradation", "degradation-short-cifar10_jpeg-float32"):
        assert {f"figures/{stem}.{ending}" for ending in ("png", "svg")} <= names
    assert set(digests(root)) == names, "a file was left over, or is not named among those written"


def test_the_same_store_makes_the_same_bytes_and_loads_no_backend(full):
    root, _ = full
    before = digests(root)
    # Another process, with another order of hashes and another place for its settings.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    assert in_another_process(root, environment) == ""
    assert digests(root) == before


def in_another_process(root, environment=None) -> str:
    """Report this folder; the names of the backends that were loaded for it."""
    code = (
        "import sys; from resnet_keras import report; from resnet_keras.store import Store\n"
        "report.build(Store(sys.argv[1]))\n"
        "print(*{'keras', 'tensorflow', 'jax', 'tensorflow_datasets', 'torch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(root)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    return ran.stdout.strip()


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    report.build(Store(tmp_path))
    assert "resnet-keras run degradation --scale smoke" in (tmp_path / "tables" / "degradation.md").read_text()
    assert (tmp_path / "tables" / "degradation.csv").read_text().startswith("network,shortcut,depth,")
    shown = (tmp_path / "README.md").read_text()
    assert "Not run. To run it" in shown and "✓" not in shown and "✗" not in shown
    assert not (tmp_path / "figures").exists()


def test_one_experiment_alone(tmp_path):
    write_run(tmp_path, "plain20")
    files = {path.name for path in report.build(Store(tmp_path), ["degradation"])}
    assert files == {
        "degradation.csv",
        "degradation.md",
        "degradation.png",
        "degradation.svg",
        "README.md",
        "index.html",
    }
    with pytest.raises(UserError, match="did you mean degradation"):
        report.build(Store(tmp_path), ["degradatoin"])


def test_what_has_not_run_is_named_with_its_command(tmp_path):
    write_run(tmp_path, "plain20", data="cifar10_jpeg")
    report.build(Store(tmp_path))
    shown = (tmp_path / "README.md").read_text()
    assert "| plain-56 | not run |" in shown
    assert "resnet-keras run degradation --scale short --data cifar10_jpeg" in shown


def test_the_terminal_gets_the_table_and_the_sentence(full):
    root, _ = full
    shown = report.text_table(Store(root), "degradation", "short", "CIFAR-10 (JPEG)")
    assert "plain-56         1              60.00          65.00" in shown
    assert shown.endswith("Plain-56 has a higher training error than plain-20 (60.0 against 30.0 %), as in the paper.")
    assert report.text_table(Store(root), "degradation", "smoke", "shapes32") == "No run has finished."
    (figure,) = report.figure_files(Store(root), "degradation", "short", "CIFAR-10 (JPEG)")
    assert figure.is_file() and figure.name == "degradation-short-cifar10_jpeg-float32.png"


def test_intervals_and_single_seeds_are_said(full):
    root, _ = full
    shown = (root / "README.md").read_text()
    assert "| plain-20 | 3 | 1.70 ± 0.10 \\[1.45, 1.95\\] |" in shown
    assert "a single seed, so that small differences may be chance" in shown


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src", "srcset")]


def test_every_link_leads_somewhere(full):
    root, _ = full
    in_page = [link for link in Links((root / "index.html").read_text()).links if not link.startswith("data:")]
    in_readme = re.findall(r"\]\(([^)]+)\)", (root / "README.md").read_text())
    assert len(in_page) > 20 and len(in_readme) > 20
    for link in in_page + in_readme:
        assert "://" not in link and (root / urllib.parse.unquote(link)).exists(), link


def test_the_page_needs_nothing_but_itself(full):
    root, _ = full
    text = (root / "index.html").read_text()
    tags = Links(text).tags
    assert not {"script", "iframe", "object", "embed", "form"} & set(tags)
    assert "http://" not in text and "https://" not in text
    assert len(re.findall(r'<img [^>]*alt="[^"]{40,}"', text)) == tags.count("img") >= 2


@pytest.fixture
def hostile(tmp_path):
    """A run whose every word is markup, and one whose folder's name is."""
    write_run(tmp_path, "plain20", title=EVIL + TERMINAL, summary={"device": EVIL + TERMINAL})
    name = write_run(tmp_path, "plain56")
    folder = tmp_path / "runs" / name
    folder.rename(tmp_path / "runs" / f"{TERMINAL}{EVIL.replace('/', '')} `|")
    other = write_run(tmp_path, "plain20", weight_decay=0.0, seed=1)
    (tmp_path / "runs" / other).rename(tmp_path / "runs" / "<b onclick=alert(3)>|`x")
    write_json(tmp_path / "runs" / "<b onclick=alert(3)>|`x" / "environment.json", {"commit": EVIL})
    return tmp_path


def test_names_cannot_inject_into_the_page(hostile):
    report.build(Store(hostile))
    text = (hostile / "index.html").read_text()
    parsed = Links(text)
    assert "script" not in parsed.tags and "b" not in parsed.tags
    assert not re.findall(r"<[^>]+\son\w+=", re.sub(r'"[^"]*"', '""', text))
    assert "alert(1)" in html.unescape(text), "the name is shown, as text"
    assert "\x1b" not in text and "\x07" not in text


def test_names_cannot_inject_into_markdown(hostile):
    report.build(Store(hostile))
    for path in (hostile / "README.md", hostile / "tables" / "degradation.md"):
        text = path.read_text()
        assert not re.search(r"(?<!\\)<(script|img|b)\b", text), path.name
        assert "\x1b" not in text
    rows = [line for line in (hostile / "README.md").read_text().splitlines() if line.startswith("| plain")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}


def test_names_cannot_steer_a_terminal(hostile):
    prepared = sections.prepare(Store(hostile), {})
    shown = [*prepared.problems, *(cell for row in prepared.others for cell in row)]
    shown.append(report.text_table(Store(hostile), "degradation", "short", EVIL + TERMINAL))
    assert any("alert" in line for line in shown)
    assert all(line.replace("\n", "").isprintable() for line in shown)


def test_a_run_of_no_experiment_is_listed_with_its_schedule_and_hardware(tmp_path):
    name = write_run(tmp_path, "resnet56", precision="bfloat16", iterations=4000, end=(21.5, 23.25))
    (row,) = sections.prepare(Store(tmp_path), EXPERIMENTS).others
    assert row == (name, "4,000", "21.50", "23.25", "bfloat16", "2 x test CPU", "finished")
    report.build(Store(tmp_path))
    for page_file in ("README.md", "index.html"):
        shown = (tmp_path / page_file).read_text()
        assert all(cell in shown for cell in ("Runs outside the experiments", *row[1:])), page_file


def test_a_precision_with_fewer_of_the_networks_is_left_to_the_one_that_has_them_all(tmp_path):
    for network in ("plain20", "plain56", "resnet20"):
        write_run(tmp_path, network, precision="bfloat16")
    write_run(tmp_path, "plain20", precision="float32")
    degradation = {"degradation": EXPERIMENTS["degradation"]}

    def shown():
        prepared = sections.prepare(Store(tmp_path), degradation)
        assert not prepared.others, "a run that is left out here is still one of the experiment's"
        return [part.setting.precision for part in prepared.sections[0].parts]

    assert shown() == ["bfloat16"]
    write_run(tmp_path, "resnet32", precision="float32")
    assert sorted(shown()) == ["bfloat16", "float32"]


@pytest.mark.faults
def test_a_failed_write_leaves_the_old_file_and_says_so(tmp_path, monkeypatch):
    write_run(tmp_path, "plain20")
    report.build(Store(tmp_path))
    before = digests(tmp_path)

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    write_run(tmp_path, "plain56")
    with pytest.raises(UserError, match="No space left") as refusal:
        report.build(Store(tmp_path))
    assert "\n" not in str(refusal.value)
    assert digests(tmp_path) == before


def test_the_tally_counts_the_rows(full):
    root, _ = full
    from resnet_keras.experiments.catalogue import EXPERIMENTS

    prepared = sections.prepare(Store(root), EXPERIMENTS)
    tally = dict(page.tally(prepared))
    assert sum(tally.values()) == len(prepared.claims)
    assert tally["reproduced"] >= 4 and tally["not run"] >= 4


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """10,000 runs: 625 seeds of eight networks on two data sets."""
    root = tmp_path_factory.mktemp("many")
    for network in ENDS:
        for seed in range(625):
            for data in ("cifar10", "cifar10_jpeg"):
                write_run(root, network, seed=seed, data=data)
    return root


@pytest.mark.slow
def test_ten_thousand_runs_are_read_and_reported(many):
    found, problems = records.read(Store(many))
    assert len(found) == 10_000 and not problems
    report.build(Store(many), ["degradation"])
    assert (many / "index.html").stat().st_size < 30_000_000


def test_a_long_history_is_read_whole(tmp_path):
    name = write_run(tmp_path, "plain20", scale="paper", log_interval=1, test_interval=1, checkpoint_interval=1)
    folder = Store(tmp_path).run(name)
    assert len(folder.history) == 64_000


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_interval_is_explained_where_one_is_given(tmp_path, seeds):
    for seed in range(seeds):
        write_run(tmp_path, "plain20", seed=seed, end=(30 + seed, 33 + seed))
    (part,) = report.parts(Store(tmp_path), "degradation", "short", "CIFAR-10")
    given = any("[" in cell for row in part.rows for cell in row)
    assert given == (seeds == 3) == ("95 % interval" in part.note)
    assert ("standard deviation" in part.note) == (seeds > 1)


def test_each_device_is_named_once_whatever_rows_share_it(tmp_path):
    for network, seed, device in (("plain20", 0, "A"), ("plain20", 1, "B"), ("plain56", 0, "B")):
        write_run(tmp_path, network, seed=seed, summary={"device": device})
    (part,) = report.parts(Store(tmp_path), "degradation", "short", "CIFAR-10")
    assert "; trained on A and B;" in part.note
