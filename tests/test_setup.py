"""The set-up files agree with one another, and the Makefile does what it says when things go wrong."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import resnet_keras
from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
PLATFORMS = [w.split() for w in ("linux posix Linux x86_64", "darwin posix Darwin arm64", "win32 nt Windows AMD64")]
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


def test_conda_and_the_citation_agree_with_pyproject():
    for name in ("environment.yml", "environment-dev.yml"):
        python, _, by_pip = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["dependencies"]
        assert Requirement(python).specifier == SpecifierSet(PROJECT["project"]["requires-python"])
        assert [v for v in ("3.9", *PYTHONS, "3.14") if v in Requirement(python).specifier] == PYTHONS
        assert set(re.fullmatch(r"-e \.\[(.*)\]", *by_pip["pip"])[1].split(",")) <= set(EXTRAS)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == resnet_keras.__version__
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:1512.03385"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_serves_each_python_and_platform(lock):
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[\w.]+( ; .*)?", line) and "://" not in line
    for python, platform in itertools.product(PYTHONS, PLATFORMS):
        environment = {"python_version": python, "python_full_version": f"{python}.6", "extra": ""}
        names = ("sys_platform", "os_name", "platform_system", "platform_machine", "platform_python_implementation")
        environment |= dict(zip(names, (*platform, "CPython"), strict=True))
        versions = pins(lock, environment)
        for need in needs(*LOCKS[lock]):
            if not need.marker or need.marker.evaluate(environment):
                version = versions.get(need.name, "0")
                assert version in need.specifier, f"{lock} has {version} (0: none) for {need}: run `make lock`"


def test_users_get_the_same_versions_as_the_tests_and_nothing_that_only_tests_need():
    ours = pins("requirements.txt")
    assert ours.items() <= pins("requirements-test.txt").items()
    for need in map(Requirement, PROJECT["build-system"]["requires"]):  # `make` builds the package with the lock's own
        assert ours[need.name] in need.specifier
    assert not {"ray", "jax", "jaxlib", "onnx", "onnxruntime", "tf2onnx", "pytest", "papermill", "ruff"} & set(ours)


def test_files_beside_the_code_are_packaged_and_imports_declared():
    """What package-data forgets is missing in an installed package alone; another package may bring a dependency."""
    package, imported = ROOT / "resnet_keras", set()
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["resnet_keras"]
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*.*") if path.is_file() and path.suffix not in (".py", ".pyc", ".tmp")}
    assert files and files <= packaged, f"not in package-data: {sorted(map(str, files - packaged))}"
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    distribution = {"PIL": "pillow", "markdown_it": "markdown-it-py", "tensorflow_datasets": "tensorflow-datasets"}
    declared = {need.name for need in needs(*EXTRAS)} | {*sys.stdlib_module_names, "resnet_keras"}
    assert {name for name in imported if distribution.get(name, name).lower() not in declared} == set()


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
PYTEST = "-m pytest -q -n 2 --dist loadfile --no-loadscope-reorder"


@pytest.fixture
def make(tmp_path):
    """`make` in a folder with the real Makefile and a python3 that installs nothing; and what that was asked."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (*LOCKS, "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    outer = ("MAKE", "MFLAGS", "ARGS")  # what a `make test` around this test hands down
    outer = {name: value for name, value in os.environ.items() if not name.startswith(outer)}

    def call(*arguments, **variables):
        environment = {**outer, "REAL_PYTHON": sys.executable, "VERSION": "3.12.1"} | variables
        command = ["make", f"PYTHON={variables.get('PYTHON', './python')}", *arguments]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        log = tmp_path / "log"
        return ended, log.read_text().splitlines() if log.exists() else []

    return call


def test_make_installs_once_and_again_when_the_lock_changes(make, tmp_path):
    first, _ = make("test")
    assert first.returncode == 0 and first.stderr == "" and "Installing" in first.stdout
    assert make("test")[1] == ["requirements-test.txt", PYTEST, PYTEST]
    ready = (tmp_path / ".venv/.requirements-test").stat().st_mtime
    os.utime(tmp_path / "requirements-test.txt", (ready + 2, ready + 2))
    assert make("test")[1].count("requirements-test.txt") == 2
    assert make("install", FAIL_IMPORT="1")[1][-1] == "requirements.txt" and (tmp_path / ".venv/.requirements").exists()


@pytest.mark.faults
@pytest.mark.parametrize("failure", ["FAIL", "FAIL_EDITABLE"])
def test_a_failed_install_is_taken_up_again_and_leaves_no_stamp(make, tmp_path, failure):
    ended, log = make("test", **{failure: "1"})
    assert ended.returncode != 0 and log == ["requirements-test.txt"], "the tests ran in a half-made .venv"
    assert not (tmp_path / ".venv/.requirements-test").exists()
    assert make("test")[1][1:] == ["requirements-test.txt", PYTEST]


@pytest.mark.faults
@pytest.mark.parametrize(("variables", "message"), [
    ({"VERSION": "3.13.12"}, ""),
    ({"VERSION": "3.14.0"}, "./python is Python 3.14.0; Python 3.10 to 3.13 is needed"),
    ({"NO_VENV": "1"}, "./python has no venv module"),
    ({"PYTHON": "none"}, "none is not a Python that runs; Python 3.10 to 3.13 is needed: install one and name it"),
])  # fmt: skip
def test_an_unfit_python_ends_in_one_clear_line(make, tmp_path, variables, message):
    ended, _ = make("test", **variables)
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("make: ***")]
    assert (ended.returncode == 0) == (not message) == (tmp_path / ".venv").exists()
    assert len(lines) == bool(message) and all(line.startswith(message) for line in lines)


def test_clean_keeps_data_and_results(make, tmp_path):
    kept = ["data/images/a.png", "results/runs/a/config.json", "resnet_keras/cli.py", "data/__pycache__/x"]
    removed = [".venv/bin/python", "build/a", "resnet_keras/__pycache__/a.pyc", "notebooks/.ipynb_checkpoints/a"]
    for name in kept + removed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert make("clean")[0].returncode == 0
    assert [name for name in kept + removed if (tmp_path / name).exists()] == kept
