"""Imports run one way, and what should be light is light."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT, python

PACKAGE = ROOT / "resnet_keras"
BASE = {"errors", "files", "quiet"}
TRAINING = BASE | {"models", "data", "store", "training"}
# What each part may import of the others: the plan of the house, as a table. A part may always import itself.
ALLOWED = {
    **dict.fromkeys([*BASE, "models", "data"], BASE),
    "store": BASE | {"models"},  # which a trained network is made of
    "training": TRAINING,
    "evaluation": TRAINING | {"evaluation"},
    "experiments": TRAINING | {"evaluation", "experiments"},
    "report": BASE | {"store", "training.recipe", "training.run", "experiments.catalogue"},
}
ABOVE_ALL = {"__init__", "__main__", "cli", "lab", "options", "screens"}  # may import all, and none may import them
HEAVY = {"keras", "tensorflow", "tensorflow_datasets", "jax", "torch", "ray"}
PLOTTING = {"pandas", "matplotlib", "seaborn", "scipy"}
LIGHT = ["store", "data", "data.shapes16", "training.recipe", "experiments.catalogue", "experiments.cluster", "cli"]


def module_name(path: Path) -> str:
    """`resnet_keras/data/augment.py` -> `data.augment`; a package's `__init__.py` -> the package's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PARTS = [name for name in MODULES if name.partition(".")[0] not in ABOVE_ALL]


def imported(name: str) -> set[tuple[str, int]]:
    """The package's own modules that module `name` imports, at any depth of the code, each with its line."""
    targets = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            targets |= {(f"{start}{alias.name}", node.lineno) for alias in node.names}
    own = {(t.removeprefix("resnet_keras."), line) for t, line in targets if t.startswith("resnet_keras.")}
    # `from resnet_keras.data import load` names a function: the module is `data`.
    return {(target if target in MODULES else target.rpartition(".")[0] or target, line) for target, line in own}


def within(module: str, parts: set[str]) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in parts)


@pytest.mark.parametrize("name", PARTS)
def test_imports_run_one_way(name):
    part = name.partition(".")[0]
    assert part in ALLOWED, f"resnet_keras/{part} is new: say in ALLOWED what it may import"
    wrong = [(m, n) for m, n in sorted(imported(name)) if not within(m, ALLOWED[part] | {part})]
    assert not wrong, "; ".join(f"{MODULES[name]}:{line} imports {module}" for module, line in wrong)


@pytest.mark.parametrize("heavy", ["all", "backends"])
def test_importing_the_package_is_light_and_reading_and_reporting_load_no_backend(heavy):
    light = ["resnet_keras", *(f"resnet_keras.{m}" for m in (*LIGHT, *(m for m in MODULES if within(m, {"report"}))))]
    modules = ", ".join(light if heavy == "backends" else light[:1])
    ran = python("-c", f"import sys, {modules}; print(*{{name.partition('.')[0] for name in sys.modules}})")
    loaded = set(ran.stdout.split())
    assert "resnet_keras" in loaded, ran.stderr
    assert not loaded & (HEAVY if heavy == "backends" else HEAVY | PLOTTING)
