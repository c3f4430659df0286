"""Tables, figures and pages from the results folder alone: nothing is trained, and no backend is loaded.

results/
    tables/<experiment>.csv, .md      every row that has run, at every scale
    figures/<experiment>.png, .svg    learning curves; other settings beside it under longer names
    README.md                         what a reader sees on a code host
    index.html                        the same as one page that needs neither network nor script
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from resnet_keras.store import Store


def build(store: Store, experiments: Iterable[str] | None = None) -> list[Path]:
    """Redraw tables, figures and pages.

    Args:
        store: The results folder.
        experiments: Names of those whose tables and figures are redrawn; None for all. The pages always show all.

    Returns:
        The files written.

    Raises:
        UserError: There is no such experiment, or nothing can be written there.
    """
    from resnet_keras.experiments.catalogue import EXPERIMENTS, experiment
    from resnet_keras.report import writing

    names = [experiment(name).name for name in experiments] if experiments is not None else list(EXPERIMENTS)
    return writing.write(store, EXPERIMENTS, names)


def text_table(store: Store, name: str, scale: str, data_title: str) -> str:
    """An experiment's results at one scale on one data set, for a terminal."""
    from resnet_keras.report import writing

    return writing.text_table(parts(store, name, scale, data_title))


def figure_files(store: Store, name: str, scale: str, data_title: str) -> list[Path]:
    """The PNG of each of an experiment's figures at one scale on one data set (one for each precision)."""
    return [store.root / "figures" / f"{part.stem}.png" for part in parts(store, name, scale, data_title)]


def parts(store: Store, name: str, scale: str, data_title: str) -> list:
    """The parts of an experiment (`sections.Part`) at one scale on one data set, one for each precision."""
    from resnet_keras.experiments.catalogue import experiment
    from resnet_keras.report import sections

    chosen = experiment(name)
    (section,) = sections.prepare(store, {chosen.name: chosen}).sections
    return [p for p in section.parts if (p.setting.scale, p.setting.data_title) == (scale, data_title)]
