"""What the figures draw: the errors of runs over iterations, in panels, with a name and a hue for each row."""

from __future__ import annotations

import dataclasses

from resnet_keras.report import text
from resnet_keras.report.selection import Group, Row

KINDS = {"plain": "Plain networks", "resnet": "Residual networks", "vgg": "VGG networks"}
# Each depth keeps its hue in every figure; another one takes what its place in the panel gives.
DEPTH_HUES = {20: 0, 56: 1, 44: 2, 110: 3, 32: 4, 1202: 6, 18: 0, 34: 1, 50: 2, 101: 3, 152: 4}
# In words, where the field's name would not be read with ease.
RECIPES = {"batch_norm=False": "without BN", "precision=bfloat16": "bfloat16", "precision=float32": "float32"}


@dataclasses.dataclass(frozen=True)
class Curve:
    """The curves of one row of a table, over all its seeds.

    Attributes:
        label: What stands at the line's end.
        panel: Heading of the panel it belongs to.
        hue: Index of its hue.
        seeds: For each seed, "train_error" and "test_error" -> float [points, 2], iteration and percent.
        drops: Iterations at which the learning rate drops.
    """

    label: str
    panel: str
    hue: int
    seeds: tuple[dict, ...]
    drops: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """How the rows of an experiment are named and laid out, those that have not run included.

    A panel holds a kind of network, with a hue for each depth, as in the paper's Fig. 6; where a depth comes in
    several variants (shortcut options, with and without BN) it holds a depth, with a hue for each variant.
    Where the rows of a network differ in their recipes alone (bfloat16, float32) it holds a network.
    """

    rows: tuple[Row, ...]

    @property
    def varied(self) -> bool:
        """Whether a network comes in several variants."""
        return len({row.network for row in self.rows}) < len(self.rows)

    @property
    def by_recipe(self) -> bool:
        """Whether every row is named by its recipe, and the rows of a network differ in nothing else."""
        networks = {(row.network, row.shortcut) for row in self.rows}
        return all(row.recipe for row in self.rows) and len(networks) == len({row.network for row in self.rows})

    @property
    def panels(self) -> tuple[str, ...]:
        """Headings, in order."""
        return tuple(dict.fromkeys(self.panel(row) for row in sorted(self.rows, key=self._panel_order)))

    def panel(self, row: Row) -> str:
        """Heading of the row's panel."""
        if self.varied and self.by_recipe:
            return text.capital(text.network_title(row.network))
        return f"{row.depth:,} layers" if self.varied else KINDS.get(row.kind, text.plain(row.kind))

    def title(self, row: Row) -> str:
        """The row's name in full: option and recipe are named only where they tell rows apart."""
        same = [other for other in self.rows if other.network == row.network]
        words = [text.network_title(row.network)]
        words += [row.shortcut] if len({other.shortcut for other in same}) > 1 else []
        words += [recipe_words(row.recipe)] if row.recipe else []
        return text.plain(" ".join(words))

    def label(self, row: Row) -> str:
        """The row's name within its panel."""
        return text.plain(self._variant(row)) if self.varied else self.title(row)

    def hue(self, row: Row) -> int:
        """Index of the row's hue."""
        if not self.varied:
            return DEPTH_HUES.get(row.depth, row.depth)
        variants = [self._variant(other) for other in self.rows]
        return list(dict.fromkeys(variants)).index(self._variant(row))

    def _panel_order(self, row: Row):
        return row.depth if self.varied else list(KINDS).index(row.kind) if row.kind in KINDS else len(KINDS)

    def _variant(self, row: Row) -> str:
        if self.by_recipe:
            return recipe_words(row.recipe)
        option = [row.shortcut] if row.shortcut != "none" else []
        recipe = [recipe_words(row.recipe)] if row.recipe else []
        return " ".join([text.KINDS.get(row.kind, row.kind), *option, *recipe])


def recipe_words(recipe: str) -> str:
    """What of a recipe differs from its scale's, for people."""
    return RECIPES.get(recipe, f"({recipe})")


def curves(groups: list[Group], arrangement: Arrangement) -> list[Curve]:
    """The errors of the finished runs, row by row.

    Raises:
        UserError: A history cannot be read.
    """
    return [
        Curve(
            label=arrangement.label(group.row),
            panel=arrangement.panel(group.row),
            hue=arrangement.hue(group.row),
            seeds=tuple(record.errors for record in group.finished),
            drops=tuple(group.finished[0].recipe["drops"]),
        )
        for group in groups
        if group.finished
    ]


def mean_over_seeds(seeds: list):
    """The mean at the iterations that every seed has; the last one is among them, since all end there.

    Args:
        seeds: Arrays [points, 2] of iteration and value.

    Returns:
        Such an array.
    """
    import numpy as np

    points = np.concatenate(seeds)
    iterations, place, count = np.unique(points[:, 0], return_inverse=True, return_counts=True)
    sums = np.bincount(place, points[:, 1])
    shared = count == len(seeds)
    return np.column_stack([iterations[shared], sums[shared] / count[shared]])
