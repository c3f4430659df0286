"""The pages, results/README.md and results/index.html, from one template (`page.md.jinja`).

Every value that the template prints is escaped as Markdown unless it is `Safe`: names in run folders may be anybody's.
"""

import collections
import html
import itertools
import re

import jinja2
import markdown_it

from resnet_keras.report import DRAWN, crossing, figures, paper, style, tables
from resnet_keras.report.runs import commonest, finished, histories, measurements
from resnet_keras.report.statistics import ENOUGH, difference, estimate


class Safe(str):
    """Markdown that is printed as it is."""


def as_markdown(store, runs, results, titles: dict[str, str]) -> str:
    """results/README.md, of the findings of each claim (`claims.findings`) and the title of each figure."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.finalize = lambda value: value if isinstance(value, Safe) else style.markdown(value)
    environment.filters |= {"number": style.number, "listing": style.listing, "counts": collections.Counter}
    environment.filters["table"] = lambda content: Safe(tables.markdown_table(*content))
    on_drawings = runs["data"].str.startswith(DRAWN)
    shown, drawn = runs[~on_drawings], runs[on_drawings & (runs["scale"] == "smoke")]
    firsts, cells = [first for first, *_ in results], tables.cells(shown)
    page = environment.from_string(paper.resource("page.md.jinja")).render(
        runs=runs, shown=shown, pairs=crossing.pairs(shown), claim={first.claim.name: first for first in firsts},
        groups={name: list(group) for name, group in itertools.groupby(firsts, lambda first: first.claim.group)},
        others=[finding for _, *others in results for finding in others if finding.gap.n >= ENOUGH],
        decided=sum(finding.gap is not None and finding.gap.n >= ENOUGH for finding in firsts),
        figures=titles, lower=(shown["train_error"] - shown["train_error_inference"]).dropna(),
        figure=lambda name, words: Safe(f"![{style.markdown(f'{titles[name]}. {words}')}](figures/{name}.png)"),
        masters={name: tables.networks_by_length(each) for name, each in cells.groupby("data_title")},
        hours=[f"{style.number(time)} at {depth}" for depth, time in paper.idle_hours()[1].items()],
        usual=next(iter(shown["precision"].mode()), ""), one_core=int((shown["cores"] == 1).sum()),
        on={p: rows.mode()[0] for p, rows in shown.groupby("precision")["device_class"]}, machine=paper.idle_hours()[0],
        processors=sorted(set(shown["cpu"])), crossings=[f"{round(n, -2):,}" for n in paper.crossings()],
        gaps={length: gap.mean for (kind, length), (gap, _) in crossing.gaps(shown).items() if kind == "residual"},
        scar=scar(store, shown), independent=independent(store, shown), problems=runs.attrs["problems"],
        smoke=tables.experiment_table(drawn[drawn["data"] == drawn["data"].min()]), never_warm=never_warm(shown),
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def as_html(page: str) -> str:
    """results/index.html of results/README.md: no scripts, and narrow screens get the figures' tall form."""
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    parser.add_render_rule("image", _image)
    return paper.resource("page.html").replace("{body}", parser.render(page))


def _image(self, tokens, index, options, environment) -> str:
    words = html.escape(self.renderInlineAsText(tokens[index].children, options, environment))
    source = html.escape(tokens[index].attrs["src"])
    tall = f'<source media="(max-width: 640px)" srcset="{source.replace(".png", "-tall.png")}">'
    return f'<picture>{tall}<img src="{source}" alt="{words}"></picture>'


def never_warm(runs) -> list[str]:
    """Networks of 110 layers or more whose warm-up never ended: they spent the schedule at its smaller rate."""
    own = finished(runs)
    return [style.network_title(n) for n in own[(own["depth"] >= 110) & own["warmup_end"].isna()]["network"].unique()]


def scar(store, runs) -> list:
    """Norm of plain-56's first kernel before training, after 16 iterations, at the end; runs, precision. Or empty."""
    own = commonest(measurements(store, runs.query("network == 'plain56' and batch_norm"), "gradients"), "precision")
    norms = own[own["layer"] == 1].groupby("iteration")["weight_norm"].mean() if len(own) else {}
    return [norms[0], norms[16], norms.iloc[-1], own["run"].nunique(), own["precision"].iloc[0]] if 16 in norms else []


def independent(store, runs) -> tuple[list, list]:
    """An independent implementation on the same images, and ours after as many iterations, as (headers, rows)."""
    theirs, own, rows = paper.benchmark("independent"), figures.usual(runs), []
    last = theirs["iteration"].max() if len(theirs) else 0
    for network, group in theirs.groupby("network") if len(theirs) else ():
        ours = own[(own["network"] == network) & (own["data"] == "cifar10_jpeg") & (own["iterations"] > last)]
        ours = histories(store, commonest(ours, "iterations", "precision")).query("learning_rate == 0.1")
        sides = [table[table["iteration"] == last]["train_error"] for table in (group, ours)]
        if all(map(len, sides)):
            means, gap = [estimate(side) for side in sides], difference(*sides)
            errors = [f"{style.spread(mean.mean, mean.std, 1)} ({mean.n})" for mean in means]
            low, high = (style.number(end, 1, "+") for end in gap.interval())
            interval = f" [{low}, {high}]" if low else ""
            rows.append([style.network_title(network), f"{last:,}", *errors, style.number(gap.mean, 1, "+") + interval])
    return ["Network", "Iterations", "Independent, %", "Ours, %", "Difference [95 % interval]"], rows
