"""The figure of `train_step`, drawn from its CSV."""

from __future__ import annotations

from pathlib import Path

from benchmarks import records
from benchmarks.contenders import OURS

BAR, BETWEEN, PANEL = 0.26, 0.55, 0.75  # inches


def draw(path: Path) -> Path:
    """Draw images a second of every contender, a panel a network, as PNG beside the CSV; returns its path."""
    import matplotlib.style
    import seaborn
    from matplotlib.figure import Figure

    from resnet_keras.files import write_atomically
    from resnet_keras.report import figures

    rows = [row for row in records.read(path) if row.get("images_per_second")]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    panels = [[row for row in rows if row["network"] == network] for network in networks]
    heights = [BAR * len(panel) + 0.1 for panel in panels]
    height = PANEL + sum(heights) + BETWEEN * (len(panels) - 1) + 0.15
    with matplotlib.style.context(["default", seaborn.axes_style("ticks"), figures.STYLE, {"axes.grid": False}]):
        figure = Figure(figsize=(9.0, height))
        top = height - PANEL
        for network, panel, tall in zip(networks, panels, heights, strict=True):
            axis = figure.add_axes((0.235, (top - tall) / height, 0.70, tall / height))
            _panel(axis, network, panel)
            top -= tall + BETWEEN
        title = "Training speed, images a second (batch 128), data pipeline and metrics included"
        figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=11, fontweight="bold")
        where = f"{rows[0]['device']}, {rows[0]['measured'][:10]}; bars: medians, lines: quartiles of the rounds"
        figure.text(0.01, 1 - 0.30 / height, where, va="top", fontsize=9)
        target = path.with_suffix(".png")
        write_atomically(target, figures.png(figure))
    return target


def _panel(axis, network: str, rows: list[dict]) -> None:
    from resnet_keras.report import figures
    from resnet_keras.report.text import network_title

    rows = sorted(rows, key=lambda row: float(row["images_per_second"]))
    for place, row in enumerate(rows):
        speed, ours = float(row["images_per_second"]), row["contender"] == OURS
        ends = [[speed - float(row["lower_quartile"])], [float(row["upper_quartile"]) - speed]]
        axis.barh(place, speed, 0.72, color=figures.HUES[0] if ours else "#C4C4C4")
        axis.errorbar(speed, place, xerr=ends, color=figures.INK, linewidth=1.0, capsize=2)
        ratio = "" if ours else f"   ours {float(row['ours_faster']):.2f} x"
        bold = "bold" if ours else "normal"
        axis.annotate(f"{speed:,.0f}{ratio}", (max(speed, float(row["upper_quartile"])), place), (6, 0),
                      textcoords="offset points", va="center", fontsize=8.5, fontweight=bold)  # fmt: skip
    axis.set_yticks(range(len(rows)), [f"{row['contender']}, {row['precision']}" for row in rows], fontsize=9)
    axis.set_title(network_title(network), loc="left", fontsize=10.5)
    axis.set_xlim(0, 1.18 * max(float(row["upper_quartile"]) for row in rows))
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.tick_params(length=0)
    axis.set_xticks([])
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
