"""Tables, figures and pages from the results folder alone: nothing is trained, and no backend is loaded.

results/
    tables/runs.csv, results.csv, claims.csv   a row a run, a mean over seeds, a finding
    figures/<name>.png, <name>-tall.png        each figure for wide screens and for phones
    figures/race.gif                           plain-56 and ResNet-56 over their iterations
    README.md, index.html                      the page, for a code host and for a browser
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from resnet_keras.errors import UserError
from resnet_keras.files import write_atomically
from resnet_keras.store import Store

# Experiment -> the figure that answers its question.
FIGURES = {
    "degradation": "curves", "residual": "depth", "shortcuts": "shortcuts", "depth": "depth", "responses": "responses",
    "gradients": "gradients", "lesion": "lesion", "precision": "precision", "rate": "rate",
}  # fmt: skip


def draw(store: Store, runs, name: str, shape: str = "wide"):
    """A figure by its name as a matplotlib `Figure`; None where these runs cannot answer its question."""
    from resnet_keras.report import figures, profiles

    function = getattr(figures, "curves" if name == "smoke" else name, None) or getattr(profiles, name)
    return function(store, runs, shape)


def build(store: Store, experiments: Iterable[str] | None = None) -> list[Path]:
    """Redraw tables, pages and figures.

    Args:
        store: The results folder.
        experiments: Names of those whose figures are redrawn, beside figures that are missing; None for all.

    Returns:
        The files written.

    Raises:
        UserError: There is no such experiment, or nothing can be written there.
    """
    from resnet_keras.experiments.catalogue import experiment
    from resnet_keras.report import claims, figures, page, tables
    from resnet_keras.report.runs import frame

    chosen = None if experiments is None else {FIGURES.get(experiment(name).name) for name in experiments} | {"smoke"}
    runs = frame(store)
    shown, drawn = runs[runs["data"] != page.DRAWN], runs[runs["data"] == page.DRAWN]
    results = claims.all_findings(runs)
    files: dict[str, bytes | str] = {}
    titles = {}
    for name in ("crossing", "smoke", *dict.fromkeys(FIGURES.values())):
        wide = draw(store, drawn if name == "smoke" else shown, name)
        if wide is not None:
            titles[name] = wide.get_suptitle().replace("\n", " ")
            path = store.root / "figures" / f"{name}.png"
            if chosen is None or name in chosen or not path.is_file():
                files[f"figures/{name}.png"] = figures.png(wide)
                tall = draw(store, drawn if name == "smoke" else shown, name, "tall")
                files[f"figures/{name}-tall.png"] = figures.png(tall)
    race = figures.race(store, shown) if chosen is None else None
    files |= {"figures/race.gif": race} if race else {}
    files["tables/runs.csv"] = tables.csv_text(runs[tables.RUNS])
    files["tables/results.csv"] = tables.csv_text(tables.cells(runs))
    files["tables/claims.csv"] = tables.csv_text(claims.table(results))
    files["README.md"] = page.markdown(store, runs, results, titles, (store.root / "figures" / "race.gif").is_file() or bool(race))
    files["index.html"] = page.html(files["README.md"])
    return [_write(store.root / name, content) for name, content in files.items()]


def _write(path: Path, content: bytes | str) -> Path:
    from resnet_keras.report.text import plain

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        reason = f"{plain(path.name)} cannot be written ({error.strerror})"
        raise UserError(f"{reason}: make room or pass --results.") from None
    return path
