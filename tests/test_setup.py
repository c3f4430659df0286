"""The set-up files agree with one another, and the Makefile does what it says when things go wrong."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA_TEXT = (ROOT / "environment.yml").read_text(encoding="utf-8")
CONDA = yaml.safe_load(CONDA_TEXT)["dependencies"]
LOCK_TEXT = (ROOT / "requirements.txt").read_text(encoding="utf-8")

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
PLATFORMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"},
    "macos": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin"},
    "windows": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"},
}
MACHINES = {"linux": "x86_64", "macos": "arm64", "windows": "AMD64"}


def needs(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for: the package's own dependencies and those of `extras`."""
    lines = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        lines += PROJECT["project"]["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def pins() -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in LOCK_TEXT.splitlines())
    return [Requirement(line) for line in lines if line]


def holds(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


# ------------------------------------------------------------------------------- pyproject, conda and lock


def test_conda_installs_what_pyproject_names():
    (by_pip,) = (entry["pip"] for entry in CONDA if isinstance(entry, dict))
    assert by_pip[0] == "-e ."
    listed = [Requirement(line) for line in by_pip[1:]]
    assert set(listed) == set(needs("gpu", "dev"))
    assert len(listed) == len(set(listed)), "a dependency is listed twice"


def test_conda_takes_the_same_pythons():
    (python,) = (Requirement(e) for e in CONDA if isinstance(e, str) and e.startswith("python"))
    assert python.specifier == SpecifierSet(PROJECT["project"]["requires-python"])
    assert "graphviz" in CONDA
    assert [v for v in ("3.9", *PYTHONS, "3.14") if v in python.specifier] == PYTHONS


def comments() -> dict[str, str]:
    """Each entry of environment.yml, and what is said beside it."""
    lines = CONDA_TEXT.split("\ndependencies:")[1].splitlines()
    entries = (line.strip().partition("  # ") for line in lines if re.match(r"\s+- (?!pip:)", line))
    return {entry: comment for entry, _, comment in entries}


def test_each_conda_dependency_says_where_it_is_used():
    assert len(comments()) > 20
    assert [entry for entry, comment in comments().items() if not comment] == []


def test_where_a_conda_dependency_is_used_exists():
    named = re.findall(r"[\w./]+\.py\b|\b\w+/", " ".join(comments().values()))
    gone = {name for name in named if not any((top / name).exists() for top in (ROOT, ROOT / "resnet_keras"))}
    assert not gone, f"environment.yml names {sorted(gone)}, which is not there: say where it is used now"


def test_lock_names_no_address():
    assert "://" not in LOCK_TEXT
    options = [line for line in LOCK_TEXT.splitlines() if line.lstrip().startswith("-")]
    assert not options, f"an index or another option of pip in the lock: {options}"
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) and not pin.url for pin in pins())


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_lock_serves_each_python_and_platform(python, platform):
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.6",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": MACHINES[platform],
        "extra": "",
        **PLATFORMS[platform],
    }
    active = [pin for pin in pins() if holds(pin, environment)]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in active}
    assert len(active) == len(versions), "a package is pinned twice"
    for need in needs("dev"):
        if holds(need, environment):
            version = versions.get(canonicalize_name(need.name), "0")
            assert version in need.specifier, f"the lock has {version} (0: none) for {need}: run `make lock`"


def test_lock_pins_what_builds_the_package():
    """`make` installs the package without build isolation: what builds it has to be in .venv already."""
    for need in map(Requirement, PROJECT["build-system"]["requires"]):
        versions = [str(pin.specifier).removeprefix("==") for pin in pins() if pin.name == need.name]
        assert versions and all(version in need.specifier for version in versions)


def test_files_beside_the_code_are_packaged():
    """What package-data forgets is there in a checkout and missing in an installed package."""
    package = ROOT / "resnet_keras"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["resnet_keras"]
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*.*") if path.is_file() and path.suffix not in (".py", ".pyc", ".tmp")}
    assert files and files <= packaged, f"not in package-data: {sorted(map(str, files - packaged))}"


def test_imported_packages_are_declared():
    """What the package imports is a declared dependency, and not one that another happens to bring along."""
    distribution = {"PIL": "pillow", "yaml": "pyyaml"}
    extras = PROJECT["project"]["optional-dependencies"]
    declared = {canonicalize_name(need.name) for need in needs(*extras)}
    known = {*sys.stdlib_module_names, "resnet_keras"}
    missing = {}
    for path in sorted((ROOT / "resnet_keras").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - known:
                if canonicalize_name(distribution.get(top, top)) not in declared:
                    missing[f"{path.relative_to(ROOT)}:{node.lineno}"] = top
    assert not missing


# ------------------------------------------------------------------------------------ citation and licence


def test_citation_names_the_project_and_the_paper():
    import resnet_keras

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == resnet_keras.__version__
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["He", "Zhang", "Ren", "Sun"]
    assert paper["title"] == "Deep Residual Learning for Image Recognition"
    assert paper["identifiers"][0]["value"] == "arXiv:1512.03385"


# ---------------------------------------------------------------------------------------------- the Makefile

# Stands for python3 and for .venv/bin/python: is of any version, makes a .venv of itself, and writes down
# what else it is asked, so that what the Makefile does can be tested without installing anything.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  -V) echo "Python $VERSION" ;;
  "-c import sys"*) "$REAL_PYTHON" -c "import sys; sys.version_info = (${VERSION//./, }); $2" ;;
  "-c import venv"*) [ -z "${NO_VENV:-}" ] ;;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && touch .venv/bin/pip ;;
  *--requirement*) echo Collecting keras==3; echo install >>log; exit ${FAIL:-0} ;;
  *--editable*) exit ${FAIL_EDITABLE:-0} ;;
  *) echo "$*" >>log ;;
esac
"""

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def checkout(tmp_path):
    """A folder with the real Makefile and a python3 that installs nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def make(folder, *arguments, **variables):
    outer = ("MAKE", "MFLAGS", "ARGS")  # what a `make test` around this test hands down
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
    environment |= {"REAL_PYTHON": sys.executable, "VERSION": "3.12.1"} | variables
    command = ["make", "PYTHON=./python", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def log(folder) -> list[str]:
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


@needs_make
def test_make_lists_its_targets(checkout):
    listed = re.findall(r"make ([\w-]+)", make(checkout).stdout)
    assert listed == ["help", "reproduce", "test", "torture", "test-browser", "lab", "bench", "lint", "lock", "clean"]
    assert not (checkout / ".venv").exists()


@needs_make
def test_make_installs_once_and_again_when_the_lock_changes(checkout):
    assert make(checkout, "test").returncode == 0
    assert make(checkout, "test").returncode == 0
    assert log(checkout) == ["install", "-m pytest -q -n 2 --dist loadfile", "-m pytest -q -n 2 --dist loadfile"]
    for name in ("requirements.txt", "pyproject.toml"):
        ready = (checkout / ".venv/.ready").stat().st_mtime
        os.utime(checkout / name, (ready + 2, ready + 2))
        installs = log(checkout).count("install")
        make(checkout, "test")
        assert log(checkout).count("install") == installs + 1
        os.utime(checkout / name, (ready - 2, ready - 2))


@needs_make
@pytest.mark.faults
@pytest.mark.parametrize("failure", ["FAIL", "FAIL_EDITABLE"])
def test_failed_install_is_taken_up_again(checkout, failure):
    failed = make(checkout, "test", **{failure: "1"})
    assert failed.returncode != 0
    assert not (checkout / ".venv/.ready").exists()
    assert log(checkout) == ["install"], "the tests ran in a half-made .venv"
    assert make(checkout, "test").returncode == 0
    assert log(checkout)[1:] == ["install", "-m pytest -q -n 2 --dist loadfile"]


@needs_make
@pytest.mark.faults
def test_failed_update_leaves_no_stamp_of_the_last_one(checkout):
    make(checkout, "test")
    ready = (checkout / ".venv/.ready").stat().st_mtime
    os.utime(checkout / "requirements.txt", (ready + 2, ready + 2))
    assert make(checkout, "test", FAIL="1").returncode != 0
    assert not (checkout / ".venv/.ready").exists()


@needs_make
@pytest.mark.parametrize("version", ["3.10.0", "3.13.12"])
def test_make_takes_the_pythons_of_pyproject(checkout, version):
    assert make(checkout, "test", VERSION=version).returncode == 0


@needs_make
@pytest.mark.faults
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"VERSION": "3.9.18"}, "./python is Python 3.9.18; Python 3.10 to 3.13 is needed"),
        ({"VERSION": "3.14.0"}, "./python is Python 3.14.0; Python 3.10 to 3.13 is needed"),
        ({"NO_VENV": "1"}, "./python has no venv module"),
    ],
)
def test_unfit_python_ends_in_one_clear_line(checkout, variables, message):
    refused = make(checkout, "test", **variables)
    assert refused.returncode != 0
    said = [line for line in refused.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1 and said[0].startswith(message)
    assert not (checkout / ".venv").exists()


@needs_make
def test_missing_python_ends_in_one_clear_line(checkout):
    (checkout / "python").unlink()
    refused = make(checkout, "test")
    assert refused.returncode != 0
    assert [line for line in refused.stderr.splitlines() if not line.startswith("make: ***")] == [
        "./python is not a Python that runs; Python 3.10 to 3.13 is needed: install one and name it, "
        "as in: make PYTHON=python3.12 test"
    ]


@needs_make
def test_clean_keeps_data_and_results(checkout):
    kept = ["data/pictures/a.png", "results/runs/a/config.json", "resnet_keras/cli.py", "data/__pycache__/x"]
    removed = [
        ".venv/bin/python",
        "build/a",
        "resnet_keras/__pycache__/a.pyc",
        "notebooks/.ipynb_checkpoints/a",
    ]
    for name in kept + removed:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    assert make(checkout, "clean").returncode == 0
    assert [name for name in kept if not (checkout / name).exists()] == []
    assert [name for name in removed if (checkout / name).exists()] == []


def test_ci_runs_make_test_at_the_root(tmp_path):
    (tmp_path / "make").write_text('#!/usr/bin/env bash\necho "$PWD: $*"\nexit 7\n')
    (tmp_path / "make").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run([ROOT / ".ci/run"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.stdout.strip() == f"{ROOT.resolve()}: test"
    assert ran.returncode == 7


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_ignores_downloads_and_networks_and_nothing_else():
    ignored = ["data/cifar10/a", "results/runs/a/network.keras", "results/runs/a/checkpoint-8.safetensors"]
    kept = ["data/README.md", "resnet_keras/data/sources.py", "tests/data/test_shapes32.py"]
    kept += [
        "results/models/a/network.keras",
        "results/runs/a/config.json",
        "results/runs/a/history.csv",
        "results/tables/degradation.csv",
    ]
    command = ["git", "check-ignore", "--no-index", *ignored, *kept]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split() == ignored
