"""Runs made elsewhere come in whole, checked, and never over another finished one."""

import io
import json
import shutil
import subprocess
import tarfile

import numpy as np
import pytest

from resnet_keras.errors import UserError
from resnet_keras.experiments.inspection import inspect
from resnet_keras.experiments.transfer import export, import_runs
from resnet_keras.locks import Held
from resnet_keras.store import RunFolder, Store
from tests.report.synthetic import write_run


@pytest.fixture
def away(tmp_path):
    """A results folder elsewhere: two finished runs, one with its network, and an interrupted one."""
    root = tmp_path / "away"
    names = [write_run(root, network, data="cifar10_jpeg", version="1.0.0") for network in ("plain20", "resnet20")]
    with_network = root / "runs" / names[1]
    with_network.joinpath("lesion.csv").write_text("lesion,error\nnone,8.5\n")
    keras_file(with_network / "network.keras")
    unfinished = root / "runs" / write_run(root, "plain56", status="running")
    checkpoint(unfinished, 300)
    return Store(root)


def keras_file(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as file:
        for name in ("config.json", "model.weights.h5"):
            file.writestr(name, name * 100)


def checkpoint(folder, iteration):
    pytest.importorskip("safetensors")
    from resnet_keras.training.checkpoint import save_checkpoint

    save_checkpoint(folder, iteration, {"w": np.full(3, iteration, np.float32)}, {"iteration": iteration})


def content(store):
    """Every file of every run: run/file -> bytes."""
    paths = [path for path in (store.root / "runs").rglob("*") if path.is_file() and path.parent.name[0] != "."]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths if path.name[0] != "."}


def without(files, *endings):
    return {name: data for name, data in files.items() if not name.endswith(endings)}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz"])
def test_there_and_back_gives_the_same_files(away, tmp_path, ending):
    packed = export(away, [], tmp_path / f"runs{ending}", weights=True, with_checkpoints=True)
    home = Store(tmp_path / "home")
    said = dict((folder.name, what) for folder, what in import_runs(home, tmp_path / f"runs{ending}"))
    assert content(home) == content(away) and set(said) == {folder.name for folder in packed}
    assert sorted(said.values()) == ["added, finished", "added, finished, with its network", "added, interrupted"]
    assert sorted(path.name for path in home.root.iterdir()) == ["runs"]


def test_weights_and_checkpoints_come_when_asked_for(away, tmp_path):
    export(away, [], tmp_path / "runs.tar")
    import_runs(Store(tmp_path / "home"), tmp_path / "runs.tar")
    finished = {name: data for name, data in content(away).items() if "plain56" not in name}
    assert content(Store(tmp_path / "home")) == without(finished, "network.keras")


def test_the_checksums_are_those_of_the_systems_own_program(away, tmp_path):
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum on the path")
    export(away, [], tmp_path / "runs.tar", weights=True)
    with tarfile.open(tmp_path / "runs.tar") as tar:
        tar.extractall(tmp_path / "out", filter="data")
        assert not any(member.uname or member.uid or member.mtime for member in tar)
    ran = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.count(": OK") == 10


def test_a_folder_of_one_run_and_a_results_folder_do_as_well(away, tmp_path):
    one = next(folder for folder in away.runs() if folder.network_file.is_file())
    home = Store(tmp_path / "home")
    ((folder, _),) = import_runs(home, one.path)
    assert folder.name == one.name and folder.done
    said = [what for _, what in import_runs(home, away.root)]
    assert sorted(said) == ["added, finished", "added, interrupted", "is here already"]
    assert content(home) == content(away)


def test_a_tar_made_by_hand_of_a_folder_higher_up_does_too(away, tmp_path):
    with tarfile.open(tmp_path / "by_hand.tar", "w") as tar:
        tar.add(away.root, "some/where/results")
    (away.root / "index.html").write_text("not of a run")
    import_runs(Store(tmp_path / "home"), tmp_path / "by_hand.tar")
    assert content(Store(tmp_path / "home")) == content(away)


def test_the_same_run_again_adds_what_is_lacking(away, tmp_path):
    export(away, [], tmp_path / "small.tar")
    export(away, [], tmp_path / "large.tar", weights=True)
    home = Store(tmp_path / "home")
    import_runs(home, tmp_path / "small.tar")
    said = [what for _, what in import_runs(home, tmp_path / "large.tar")]
    assert sorted(said) == ["is here already", "is here already; added network.keras"]


def test_another_finished_run_of_the_name_stays_and_nothing_is_added(away, tmp_path):
    export(away, [], tmp_path / "runs.tar")
    home = Store(tmp_path / "home")
    write_run(home.root, "resnet20", data="cifar10_jpeg", version="1.0.0", end=(1.5, 9.5))
    before = content(home)
    with pytest.raises(UserError, match="another finished run of this name is here already"):
        import_runs(home, tmp_path / "runs.tar")
    assert content(home) == before


@pytest.mark.parametrize(("here", "taken"), [(100, True), (300, False), (500, False)])
def test_of_an_interrupted_run_the_one_further_on_stays(away, tmp_path, here, taken):
    export(away, [], tmp_path / "runs.tar", with_checkpoints=True)
    home = Store(tmp_path / "home")
    ours = home.root / "runs" / write_run(home.root, "plain56", status="running")
    checkpoint(ours, here)
    (ours / "left").touch()
    import_runs(home, tmp_path / "runs.tar")
    newest = max(path.name for path in ours.glob("checkpoint-*"))
    assert newest == f"checkpoint-{300 if taken else here:08d}.safetensors" and (ours / "left").exists() != taken


def test_a_finished_run_takes_the_place_of_an_interrupted_one(away, tmp_path):
    home = Store(tmp_path / "home")
    ours = home.root / "runs" / write_run(home.root, "plain20", data="cifar10_jpeg", version="1.0.0", status="running")
    checkpoint(ours, 1900)
    import_runs(home, away.root)
    assert RunFolder(ours).done and not list(ours.glob("checkpoint-*"))


def test_what_a_process_is_at_work_on_is_not_touched(away, tmp_path):
    home = Store(tmp_path / "home")
    with home.run(away.runs()[0].name).lock(), pytest.raises(Held):
        import_runs(home, away.root)
    assert content(home) == {}


def edit_json(name, **changes):
    def edit(folder):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def edit_text(name, change):
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


BREAKS = {
    "another configuration": (edit_json("config.json", seed=1), "config.json is that of"),
    "another recipe": (lambda f: edit_json("config.json", recipe={"iterations": 10})(f), "config.json is that of"),
    "no network": (edit_json("config.json", network="resnet21"), "describes no run"),
    "a number for a name": (edit_json("config.json", data=5), "no usable data"),
    "newer code": (edit_json("config.json", protocol=99), "other code"),
    "a field of later code": (edit_json("config.json", recipe={"later": 1}), "of other code, with later"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "no summary": (lambda f: (f / "summary.json").unlink(), "interrupted and has no whole checkpoint"),
    "half a summary": (edit_text("summary.json", lambda text: text[:20]), "cannot be read"),
    "an unknown state": (edit_json("summary.json", status="won"), "no whole checkpoint|status 'won'"),
    "another error": (edit_json("summary.json", test_error=1.0), "test_error is .* in history.csv and 1 in"),
    "too few iterations": (edit_json("summary.json", iterations=10), "10 iterations of 2000"),
    "no environment": (lambda f: (f / "environment.json").unlink(), "environment.json is missing"),
    "no history": (lambda f: (f / "history.csv").unlink(), "history.csv cannot be read"),
    "a row less": (edit_text("history.csv", lambda t: "".join(t.splitlines(True)[:-1])), "has 39 rows"),
    "a row cut off": (edit_text("history.csv", lambda text: text[:-9]), "cut off|in history.csv and"),
    "a gap": (edit_text("history.csv", lambda t: "".join(t.splitlines(True)[:5] + t.splitlines(True)[6:])), "39 rows"),
    "no percentage": (edit_text("history.csv", lambda t: t.replace(",9.50,", ",950,")), "in history.csv and"),
    "an empty measurement": (lambda f: (f / "lesion.csv").touch(), "lesion.csv is cut off or empty"),
    "a torn network": (lambda f: (f / "network.keras").write_bytes(b"PK\x03\x04torn"), "network.keras is damaged"),
}


@pytest.mark.parametrize("break_it, problem", BREAKS.values(), ids=BREAKS)
def test_a_run_that_is_not_whole_is_refused_and_nothing_is_added(tmp_path, break_it, problem):
    away, home = tmp_path / "away", Store(tmp_path / "home")
    whole = RunFolder(away / "runs" / write_run(away, "plain20", end=(1.6, 9.5)))
    assert inspect(whole) == "finished"
    break_it(whole.path)
    with pytest.raises(UserError, match=problem) as caught:
        import_runs(home, away)
    assert "\n" not in str(caught.value) and not (home.root / "runs" / whole.name).exists()


def test_one_that_is_not_whole_keeps_the_others_out(away, tmp_path):
    broken = away.runs()[-1].path / "history.csv"
    broken.write_text(broken.read_text()[:500])
    with pytest.raises(UserError, match=r"history\.csv"):
        import_runs(Store(tmp_path / "home"), away.root)
    assert content(Store(tmp_path / "home")) == {}


def test_a_diverged_run_ends_early(tmp_path):
    root = tmp_path / "away"
    name = write_run(root, "plain56", status="diverged", summary={"iterations": 120})
    history = root / "runs" / name / "history.csv"
    history.write_text("".join(history.read_text().splitlines(True)[:3]))
    assert inspect(RunFolder(history.parent)) == "diverged"
    history.unlink()
    assert inspect(RunFolder(history.parent)) == "diverged"


def test_one_that_diverged_before_its_first_row_comes_in_and_is_known_again(tmp_path):
    name = write_run(tmp_path / "away", status="diverged", summary={"iterations": 2})
    (tmp_path / "away" / "runs" / name / "history.csv").unlink()
    here = Store(tmp_path / "here")
    for said in ("added, diverged", "is here already"):
        assert [done for _, done in import_runs(here, tmp_path / "away")] == [said]


def evil(name, kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


RUN = "cifar10-plain20-s0-12345678"
EVIL = {
    "climbing": (evil("runs/../../out/config.json"), "leads out of it"),
    "absolute": (evil("/tmp/out/config.json"), "leads out of it"),
    "of another system": (evil("runs\\x\\config.json"), "leads out of it"),
    "a link": (evil(f"runs/{RUN}/config.json", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
    "a hard link": (evil(f"runs/{RUN}/config.json", tarfile.LNKTYPE, "/etc/passwd"), "a link or a device"),
    "a device": (evil(f"runs/{RUN}/config.json", tarfile.CHRTYPE), "a link or a device"),
    "a hidden name": (evil("runs/.git/config.json"), "not a run's name"),
}


@pytest.mark.parametrize(("member", "problem"), EVIL.values(), ids=EVIL)
def test_an_archive_that_leads_elsewhere_is_refused(tmp_path, member, problem):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(member, io.BytesIO())
    with pytest.raises(UserError, match=problem):
        import_runs(Store(tmp_path / "home"), tmp_path / "evil.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar"]


@pytest.mark.parametrize("damage", ["flip", "cut", "less"])
def test_damage_on_the_way_is_found(away, tmp_path, damage):
    path = tmp_path / "runs.tar"
    export(away, [], path)
    packed = bytearray(path.read_bytes())
    if damage == "flip":
        place = packed.index(b'"hours": 0.25')
        packed[place + 9 : place + 13] = b"0.20"  # a summary that is as consistent as before
    elif damage == "cut":
        packed = packed[: len(packed) // 2]
    else:
        with tarfile.open(path) as tar, tarfile.open(tmp_path / "less.tar", "w") as smaller:
            for member in tar.getmembers()[:-1]:
                smaller.addfile(member, tar.extractfile(member))
        packed = (tmp_path / "less.tar").read_bytes()
    path.write_bytes(packed)
    with pytest.raises(UserError, match=r"checksums|no readable tar"):
        import_runs(Store(tmp_path / "home"), path)
    assert content(Store(tmp_path / "home")) == {}


@pytest.mark.parametrize("kind", ["nothing", "text", "empty"])
def test_what_is_no_source_is_named(tmp_path, kind):
    source = tmp_path / "source"
    if kind == "text":
        source.write_text("hello")
    elif kind == "empty":
        source.mkdir()
    with pytest.raises(UserError, match="source"):
        import_runs(Store(tmp_path / "home"), source)


def test_what_cannot_be_exported_is_named_and_no_file_is_left(away, tmp_path):
    interrupted = next(folder.name for folder in away.runs() if not folder.done)
    for names, file, problem in (
        ([], "runs.zip", "ends in .tar"),
        ([], "nowhere/runs.tar", "no folder"),
        (["plain20"], "runs.tar", "no run 'plain20'"),
        ([interrupted], "runs.tar", "--checkpoints packs it"),
    ):
        with pytest.raises(UserError, match=problem):
            export(away, names, tmp_path / file)
    with pytest.raises(UserError, match="no run to export"):
        export(Store(tmp_path / "empty"), [], tmp_path / "runs.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away"]


def test_every_run_of_the_repository_passes():
    from tests.conftest import ROOT

    runs = [run for run in Store(ROOT / "results").runs() if run.done]
    assert {inspect(run) for run in runs} <= {"finished", "diverged"}
