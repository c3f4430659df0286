"""The whole report, from the store alone."""

import csv
import hashlib
import html
import os
import re
import urllib.parse

import pandas
import pytest

from resnet_keras import report, screens
from resnet_keras.errors import UserError
from resnet_keras.report import page, paper, runs
from resnet_keras.store import Store
from tests.conftest import ROOT, python
from tests.report.synthetic import PAIRS, write_json, write_run

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
TERMINAL = "\x1b]0;owned\x07\x1b[2J"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder with the pairs of degradation at two lengths, and smoke runs, reported once."""
    root = tmp_path_factory.mktemp("results")
    for network, end in PAIRS.items():
        for seed in range(3):
            write_run(root, network, data="cifar10_jpeg", seed=seed, end=(end + 0.1 * seed, end + 1 + 0.2 * seed))
        write_run(root, network, data="cifar10_jpeg", scale="medium", end=(end / 2, end / 2 + 1))
        shallow = network.replace("56", "32")
        write_run(root, shallow, data="shapes16", scale="smoke", end=(80.0 - end / 8, 80.0 - end / 8))
    return root, report.build(Store(root))


def digests(root):
    files = [path for path in root.rglob("*") if path.is_file() and "runs" not in path.relative_to(root).parts]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_is_written(full):
    root, files = full
    names = {str(path.relative_to(root)) for path in files}
    figures = {f"figures/{name}{end}.png" for name in ("crossing", "curves", "depth", "smoke") for end in ("", "-tall")}
    tables = {f"tables/{name}.csv" for name in ("runs", "results", "claims")}
    assert names == {"README.md", "index.html", "figures/race.gif"} | figures | tables
    assert set(digests(root)) == names, "a file was left over, or is not named among those written"
    assert len((root / "README.md").read_bytes()) < 15_000 and len((root / "index.html").read_bytes()) < 500_000


def test_the_same_store_makes_the_same_bytes_and_loads_no_backend(full):
    """In another process, with another order of hashes and other settings."""
    root, _ = full
    before = digests(root)
    code = "import sys; from resnet_keras import report, store; report.build(store.Store(sys.argv[1]))\n"
    code += "print(*{'keras', 'tensorflow', 'jax', 'tensorflow_datasets', 'torch'} & set(sys.modules))"
    ran = python("-c", code, root, PYTHONHASHSEED="7", LC_ALL="C", TZ="Asia/Tokyo")
    assert (ran.returncode, ran.stdout.strip()) == (0, "") and digests(root) == before


def test_the_page_says_what_was_found(full):
    shown = ((root := full[0]) / "README.md").read_text()
    for sentence in (
        "On CIFAR-10 (JPEG), after 2,000 of the paper's 64,000 iterations, more layers harm a plain network: plain-56 "
        "ends at a training error of 70.1 %, plain-20 at 30.1 %.",
        "Shortcuts take most of that away: ResNet-56 tests at 36.2 %, plain-56 at 71.2 %.",
        "the test error of ResNet-56 less that of ResNet-20, in points (float32), is +9.0 after 2,000, "
        "+4.5 after 6,400 iter",
        "**The paper, on CIFAR-10**, 20 claims: ",
        " supported; 2 behind so far, as expected;",
        "| plain-56 | 70.1 ± 0.1 / 71.2 ± 0.2 (3) | 35.0 / 36.0 (1) | ≈ 13.5 |",
        "- 8 claims of Table 2 and Table 3: cannot be run here (needs ImageNet)",
    ):
        assert sentence in shown, sentence
    names = [row["run"] for row in csv.DictReader((root / "tables" / "runs.csv").open())]
    assert len(names) == 20 and not any(name in shown for name in names), "runs are named in runs.csv alone"
    assert "76.25" in (parts := shown.partition("## Does it run here?"))[2] and "shapes16" not in parts[0]
    images = re.findall(r"\]\(figures/(\w+)\.png\)", shown)
    assert images[0] == "crossing" and len(images) == len(set(images)) == 4, "no figure stands there twice"


def test_every_link_leads_somewhere_and_the_page_needs_nothing_but_its_folder(full):
    root, _ = full
    text = (root / "index.html").read_text()
    tags, alts = re.findall(r"<(\w+)", text), re.findall(r'alt="([^"]*)"', text)
    links = re.findall(r'(?:href|src|srcset)="(?!data:)([^"]*)"', text)
    in_readme = re.findall(r"\]\(([^)]+)\)", (root / "README.md").read_text())
    assert len(links) > 12 and len(in_readme) > 8
    for link in links + in_readme:
        if link.startswith("../"):  # notebooks and benchmarks lie beside the results in a checkout
            assert (ROOT / link[3:]).exists(), link
        else:
            assert "://" not in link and (root / urllib.parse.unquote(link)).exists(), link
    assert not {"script", "iframe", "object", "embed", "form"} & set(tags)
    assert "http://" not in text and "https://" not in text and "default-src 'none'" in text
    assert tags.count("img") == tags.count("picture") == len(alts) == 4 and min(map(len, alts)) > 40


def test_names_inject_nothing_into_the_pages_and_steer_no_terminal(tmp_path, capsys):
    """Of runs whose every word is markup, or whose folder's name is."""
    for network in ("plain20", "plain56"):
        write_run(tmp_path, network, title=EVIL + TERMINAL, summary={"device": EVIL + TERMINAL})
    name = write_run(tmp_path, "plain56", seed=1)
    (tmp_path / "runs" / name).rename(tmp_path / "runs" / f"{TERMINAL}{EVIL.replace('/', '')} `|")
    other = write_run(tmp_path, "plain20", weight_decay=0.0, seed=1)
    write_json(tmp_path / "runs" / other / "environment.json", {"commit": EVIL})
    report.build(Store(tmp_path))
    text, source = ((tmp_path / name).read_text() for name in ("index.html", "README.md"))
    assert not re.search(r"<(script|img)", text)
    assert not re.search(r"<[^>]+\son\w+=", re.sub(r'"[^"]*"', '""', text))
    assert "alert(1)" in html.unescape(text), "the name is shown, as text"
    assert not re.search(r"(?<!\\)<(script|img|b)\b", source)
    assert not set("\x1b\x07") & set(text + source)
    screens.show_results(Store(tmp_path), "degradation", "short", EVIL + TERMINAL)
    shown = capsys.readouterr().out
    assert "alert" in shown and shown.replace("\n", "").isprintable()


def test_the_terminal_gets_table_finding_and_paths(full, capsys):
    screens.show_results(Store(full[0]), "degradation", "short", "CIFAR-10 (JPEG)")
    shown = capsys.readouterr().out
    assert re.search(r"plain-56 +3 +70\.10 ± 0\.10", shown) and "curves.png" in shown
    assert "Plain-56 has a higher training error than plain-20 (70.1 against 30.1 %" in " ".join(shown.split())
    screens.show_results(Store(full[0]), "degradation", "smoke", "shapes16")
    shown = " ".join(capsys.readouterr().out.split())
    assert "12 more layers help a plain network" in shown and "smoke.png" in shown


def test_an_empty_store_says_how_to_fill_it_and_a_warm_up_that_never_ended_is_said(tmp_path):
    report.build(Store(tmp_path))
    shown = (tmp_path / "README.md").read_text()
    assert "resnet-keras run degradation --scale short" in shown and "supported at" not in shown
    assert not (tmp_path / "figures").exists()
    write_run(tmp_path, "plain110", summary={"warmup_end": None})
    write_run(tmp_path, "resnet110", summary={"warmup_end": 400})
    assert page.never_warm(runs.frame(Store(tmp_path))) == ["plain-110"]
    with pytest.raises(UserError, match="did you mean degradation"):
        report.build(Store(tmp_path), ["degradatoin"])


def test_a_claim_decided_in_another_precision_than_most_runs_says_so(tmp_path):
    for number, network in enumerate(["plain20", "plain56", "plain110"]):
        write_run(tmp_path, network, end=(30 + 20 * number, 30 + 20 * number))
    for network in ("resnet56", "resnet110"):
        write_run(tmp_path, network, precision="bfloat16")
    report.build(Store(tmp_path))
    shown = (tmp_path / "README.md").read_text()
    assert "Runs are in float32 unless named otherwise." in shown
    assert "| 50.0 against 30.0: +20.0 | 1 and 1 | too few seeds |" in shown
    assert "(Table 6) | 9.5 against 9.5: +0.0 | 1 and 1, bfloat16 | too short to tell" in shown


def test_an_independent_implementation_stands_beside_ours_at_the_same_iteration(full, monkeypatch):
    root, _ = full
    rows = [("resnet20", seed, at, 60 - at / 50 + seed) for seed in range(3) for at in (500, 1000)]
    rows += [("resnet56", 0, 500, 70)]  # not so far yet: no row
    table = pandas.DataFrame(rows, columns=["network", "seed", "iteration", "train_error"])
    monkeypatch.setattr(paper, "benchmark", lambda name: table)
    store, frame = Store(root), runs.frame(Store(root))
    _, ((network, iterations, theirs, ours, gap),) = page.independent(store, frame)
    own = frame[(frame["network"] == "resnet20") & (frame["scale"] == "short")]
    at_1000 = runs.histories(store, own).query("iteration == 1000")["train_error"]
    assert (network, iterations, theirs) == ("ResNet-20", "1,000", "41.0 ± 1.0 (3)")
    assert float(ours.split()[0]) == pytest.approx(at_1000.mean(), abs=0.06) and ours.endswith("(3)")
    assert float(gap.split()[0]) == pytest.approx(41 - at_1000.mean(), abs=0.06)


def test_only_the_figures_that_are_asked_for_are_redrawn_and_a_full_disk_leaves_the_old_ones(full, monkeypatch):
    root, _ = full
    before = digests(root)
    drawn = {path.name for path in report.build(Store(root), ["residual"]) if path.suffix in (".png", ".gif")}
    assert drawn == {"depth.png", "depth-tall.png", "smoke.png", "smoke-tall.png"}

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        report.build(Store(root), ["residual"])
    assert digests(root) == before
