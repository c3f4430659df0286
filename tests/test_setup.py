"""The set-up files agree with one another, and the Makefile does what it says when things go wrong."""

import ast
import itertools
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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
PLATFORMS = {
    "x86_64": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"},
    "arm64": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin"},
    "AMD64": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"},
}
LOCKS = {"requirements.txt": ["notebooks"], "requirements-test.txt": ["test"]}


def needs(*extras: str) -> list[Requirement]:
    """What the package needs, with these extras and those that they name."""
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    listed = [Requirement(line) for line in lines]
    inner = [extra for need in listed if need.name == "resnet-keras" for extra in need.extras]
    return [need for need in listed if need.name != "resnet-keras"] + (needs(*inner) if inner else [])


def pins(lock: str, environment: dict | None = None) -> dict[str, str]:
    """Package -> version that a lock pins, in one environment or (the last of several) in any."""
    lines = (line.split("#")[0].strip() for line in (ROOT / lock).read_text(encoding="utf-8").splitlines())
    listed = [Requirement(line) for line in lines if line]
    active = [pin for pin in listed if not (environment and pin.marker) or pin.marker.evaluate(environment)]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in active}


# ------------------------------------------------------------------------------- pyproject, conda and locks


@pytest.mark.parametrize("name", ["environment.yml", "environment-dev.yml"])
def test_conda_installs_the_package_with_extras_that_exist(name):
    python, _, by_pip = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["dependencies"]
    assert Requirement(python).specifier == SpecifierSet(PROJECT["project"]["requires-python"])
    assert [v for v in ("3.9", *PYTHONS, "3.14") if v in Requirement(python).specifier] == PYTHONS
    (package,) = by_pip["pip"]
    assert set(re.fullmatch(r"-e \.\[(.*)\]", package)[1].split(",")) <= set(EXTRAS)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_serves_each_python_and_platform(lock):
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[\w.]+( ; .*)?", line) and "://" not in line
    for python, (machine, platform) in itertools.product(PYTHONS, PLATFORMS.items()):
        environment = {"python_version": python, "python_full_version": f"{python}.6", "extra": ""}
        environment |= {"platform_machine": machine, "platform_python_implementation": "CPython", **platform}
        versions = pins(lock, environment)
        for need in needs(*LOCKS[lock]):
            if not need.marker or need.marker.evaluate(environment):
                version = versions.get(need.name, "0")
                assert version in need.specifier, f"{lock} has {version} (0: none) for {need}: run `make lock`"


def test_users_get_the_same_versions_as_the_tests_and_nothing_that_only_tests_need():
    ours, all_of_them = pins("requirements.txt"), pins("requirements-test.txt")
    assert ours.items() <= all_of_them.items()
    for need in map(Requirement, PROJECT["build-system"]["requires"]):  # `make` builds the package with the lock's own
        assert ours[need.name] in need.specifier
    assert not {"ray", "jax", "jaxlib", "onnx", "onnxruntime", "tf2onnx", "pytest", "papermill", "ruff"} & set(ours)


def test_files_beside_the_code_are_packaged():
    """What package-data forgets is there in a checkout and missing in an installed package."""
    package = ROOT / "resnet_keras"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["resnet_keras"]
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*.*") if path.is_file() and path.suffix not in (".py", ".pyc", ".tmp")}
    assert files and files <= packaged, f"not in package-data: {sorted(map(str, files - packaged))}"


def test_imported_packages_are_declared():
    """What the package imports is a declared dependency, and not one that another happens to bring along."""
    distribution = {"PIL": "pillow", "markdown_it": "markdown-it-py", "tensorflow_datasets": "tensorflow-datasets"}
    declared = {need.name for need in needs(*EXTRAS)} | {*sys.stdlib_module_names, "resnet_keras"}
    imported = set()
    for path in (ROOT / "resnet_keras").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    assert {name for name in imported if distribution.get(name, name).lower() not in declared} == set()


def test_the_citation_names_this_version_and_the_paper():
    import resnet_keras

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == resnet_keras.__version__
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:1512.03385"


# ---------------------------------------------------------------------------------------------- the Makefile

# Stands for python3 and for .venv/bin/python: is of any version, makes a .venv of itself, and writes down
# what else it is asked, so that what the Makefile does can be tested without installing anything.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  -V) echo "Python $VERSION" ;;
  "-c import sys"*) "$REAL_PYTHON" -c "import sys; sys.version_info = (${VERSION//./, }); $2" ;;
  "-c import venv"*) [ -z "${NO_VENV:-}" ] ;;
  "-c import"*) exit ${FAIL_IMPORT:-0} ;;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && touch .venv/bin/pip ;;
  *--requirement*) echo "WARNING: Location x" >&2; echo "${@: -1}" >>log; exit ${FAIL:-0} ;;
  *--editable*) exit ${FAIL_EDITABLE:-0} ;;
  *) echo "$*" >>log ;;
esac
"""
PYTEST = "-m pytest -q -n 2 --dist loadfile"
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def checkout(tmp_path):
    """A folder with the real Makefile and a python3 that installs nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (*LOCKS, "pyproject.toml"):
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
def test_make_installs_once_and_again_when_the_lock_changes(checkout):
    first = make(checkout, "test")
    assert first.returncode == 0 and first.stderr == "" and "Installing" in first.stdout
    assert make(checkout, "test").returncode == 0
    assert log(checkout) == ["requirements-test.txt", PYTEST, PYTEST]
    ready = (checkout / ".venv/.requirements-test").stat().st_mtime
    os.utime(checkout / "requirements-test.txt", (ready + 2, ready + 2))
    make(checkout, "test")
    assert log(checkout).count("requirements-test.txt") == 2
    make(checkout, "install", FAIL_IMPORT="1")
    assert log(checkout)[-1] == "requirements.txt" and (checkout / ".venv/.requirements").exists()


@needs_make
@pytest.mark.faults
@pytest.mark.parametrize("failure", ["FAIL", "FAIL_EDITABLE"])
def test_a_failed_install_is_taken_up_again_and_leaves_no_stamp(checkout, failure):
    assert make(checkout, "test", **{failure: "1"}).returncode != 0
    assert log(checkout) == ["requirements-test.txt"], "the tests ran in a half-made .venv"
    assert not (checkout / ".venv/.requirements-test").exists()
    assert make(checkout, "test").returncode == 0
    assert log(checkout)[1:] == ["requirements-test.txt", PYTEST]


@needs_make
@pytest.mark.faults
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"VERSION": "3.13.12"}, ""),
        ({"VERSION": "3.9.18"}, "./python is Python 3.9.18; Python 3.10 to 3.13 is needed"),
        ({"VERSION": "3.14.0"}, "./python is Python 3.14.0; Python 3.10 to 3.13 is needed"),
        ({"NO_VENV": "1"}, "./python has no venv module"),
        ({"PYTHON": "none"}, "none is not a Python that runs; Python 3.10 to 3.13 is needed: install one and name it"),
    ],
)
def test_an_unfit_python_ends_in_one_clear_line(checkout, variables, message):
    ended = make(checkout, "test", *(f"{k}={v}" for k, v in variables.items() if k == "PYTHON"), **variables)
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("make: ***")]
    assert (ended.returncode == 0) == (not message) == (checkout / ".venv").exists()
    assert len(lines) == bool(message) and all(line.startswith(message) for line in lines)


@needs_make
def test_clean_keeps_data_and_results(checkout):
    kept = ["data/images/a.png", "results/runs/a/config.json", "resnet_keras/cli.py", "data/__pycache__/x"]
    removed = [".venv/bin/python", "build/a", "resnet_keras/__pycache__/a.pyc", "notebooks/.ipynb_checkpoints/a"]
    for name in kept + removed:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    assert make(checkout, "clean").returncode == 0
    assert [name for name in kept + removed if (checkout / name).exists()] == kept


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_ignores_downloads_and_networks_and_nothing_else():
    ignored = ["data/cifar10/a", "results/runs/a/network.keras", "results/runs/a/checkpoint-8.safetensors"]
    kept = ["data/README.md", "resnet_keras/data/photos.py", "results/models/a/network.keras"]
    kept += ["results/runs/a/config.json", "results/runs/a/history.csv", "results/tables/degradation.csv"]
    command = ["git", "check-ignore", "--no-index", *ignored, *kept]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split() == ignored
