"""Tables, figures and pages from the results folder alone: nothing is trained, and no backend is loaded.

results/
    tables/runs.csv, results.csv, claims.csv   a row a run, a mean over seeds, a finding
    figures/<name>.png, <name>-tall.png        each figure for wide screens and for phones
    figures/race.gif                           plain-56 and ResNet-56 over their iterations
    README.md, index.html                      the page, for a code host and for a browser
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from resnet_keras.files import write_atomically
from resnet_keras.store import Store

# Experiment -> the figure that answers its question, a function of `figures`, `profiles` or `crossing`.
FIGURES = {
    "degradation": "curves", "residual": "depth", "shortcuts": "shortcuts", "depth": "depth", "responses": "responses",
    "gradients": "gradients", "lesion": "lesion", "surface": "surface", "precision": "precision", "rate": "rate",
}  # fmt: skip
DRAWN = "shapes"  # how the names of the package's own drawings begin: they share a figure, and have no verdicts


def build(store: Store, experiments: Iterable[str] | None = None) -> list[Path]:
    """Redraw tables, pages and the figures of these experiments (default: all) or missing; returns the files."""
    from resnet_keras.experiments.catalogue import experiment
    from resnet_keras.report import claims, page, style, tables
    from resnet_keras.report.runs import frame

    names = ["crossing", *dict.fromkeys(FIGURES.values()), "smoke"]
    asked = names if experiments is None else [FIGURES.get(experiment(name).name) for name in experiments] + ["smoke"]
    runs, folder, files, titles = frame(store), store.root / "figures", {}, {}
    for name in names:
        own = runs[runs["data"].str.startswith(DRAWN) == (name == "smoke")]
        figure = draw_figure(store, own, name)
        titles |= {name: figure.get_suptitle().replace("\n", " ").rstrip(".")} if figure else {}
        if figure and (name in asked or not (folder / f"{name}.png").is_file()):
            files[f"figures/{name}.png"] = style.png(figure)
            files[f"figures/{name}-tall.png"] = style.png(draw_figure(store, own, name, shape="tall"))
    if experiments is None or not (folder / "race.gif").is_file():
        race = draw_figure(store, runs, "race")
        files |= {"figures/race.gif": race} if race else {}
    results = [claims.findings(claim, runs) for claim in claims.CLAIMS]
    contents = {"runs": runs[tables.RUNS], "results": tables.cells(runs), "claims": claims.findings_table(results)}
    csv = {"index": False, "float_format": "%.4f", "lineterminator": "\n"}
    files |= {f"tables/{name}.csv": table.to_csv(**csv) for name, table in contents.items()}
    files["README.md"] = page.as_markdown(store, runs, results, titles)
    files["index.html"] = page.as_html(files["README.md"])
    for name, content in files.items():
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(store.root / name, content)
    return [store.root / name for name in files]


def draw_figure(store: Store, runs, name: str | None, **options):
    """A figure by its name as a matplotlib `Figure`; None where these runs cannot answer its question."""
    from resnet_keras.report import crossing, figures, profiles, style

    functions = {**vars(profiles), **vars(figures), **vars(crossing), "smoke": figures.curves}
    with style.styled(), contextlib.suppress(figures.Unanswered):
        return functions[name](store, runs, **options) if name in functions else None
