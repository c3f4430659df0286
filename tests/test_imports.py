"""Imports run one way, and what should be light is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "resnet_keras"

BASE = {"errors", "paths", "files", "quiet"}
TRAINING = BASE | {"models", "data", "store", "training"}
# What each part may import of the others: the plan of the house, as a table. A part may always import itself.
ALLOWED = {
    "errors": BASE,
    "paths": BASE,
    "files": BASE,
    "quiet": BASE,
    "models": BASE,
    "data": BASE,
    "store": BASE | {"models"},  # which a trained network is made of
    "training": TRAINING,
    "evaluation": TRAINING | {"evaluation"},
    "experiments": TRAINING | {"evaluation", "experiments"},
    "report": BASE | {"store", "training.recipe", "training.run", "experiments.catalogue"},
}
ABOVE_ALL = {
    "__init__",
    "__main__",
    "cli",
    "lab",
    "options",
    "screens",
}  # these may import every part, and no part may import them

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
    package = ("resnet_keras", *name.split("."))
    if MODULES[name].name != "__init__.py":
        package = package[:-1]
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            start = ".".join(filter(None, [above, node.module]))
            targets = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        own = (t.removeprefix("resnet_keras.") for t in targets if t.startswith("resnet_keras."))
        # `from resnet_keras.data import load` names a function: the module is `data`.
        found |= {(t if t in MODULES else t.rpartition(".")[0] or t, node.lineno) for t in own}
    return found


def within(module: str, parts: set[str]) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in parts)


@pytest.mark.parametrize("name", PARTS)
def test_imports_run_one_way(name):
    part = name.partition(".")[0]
    assert part in ALLOWED, f"resnet_keras/{part} is new: say in ALLOWED what it may import"
    wrong = [(m, n) for m, n in sorted(imported(name)) if not within(m, ALLOWED[part] | {part})]
    path = MODULES[name].relative_to(ROOT)
    assert not wrong, "; ".join(f"{path}:{line} imports {module}" for module, line in wrong)


def loaded_by(module: str) -> set[str]:
    """The top-level packages that a fresh Python has in memory after importing `module`."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_importing_the_package_is_light():
    loaded = loaded_by("resnet_keras")
    assert "resnet_keras" in loaded
    assert not loaded & (HEAVY | PLOTTING)


@pytest.mark.parametrize("module", [*LIGHT, *(m for m in MODULES if within(m, {"report"}))])
def test_importing_what_reads_and_reports_loads_no_backend(module):
    assert not loaded_by(f"resnet_keras.{module}") & HEAVY
