"""The pages, results/README.md and results/index.html, from one template (`page.md.jinja`).

Every value that the template prints is escaped as Markdown unless it is `Safe`: names in run folders may be anybody's.
"""

from __future__ import annotations

import html
import importlib.resources
import re

from resnet_keras.report import DRAWN, figures, paper, tables, text
from resnet_keras.report.runs import finished, histories, measurements
from resnet_keras.report.statistics import ENOUGH, estimate


class Safe(str):
    """Markdown that is printed as it is."""


def resource(name: str) -> str:
    """The text of a file of this package."""
    return importlib.resources.files("resnet_keras.report").joinpath(name).read_text(encoding="utf-8")


def as_markdown(store, runs, results, titles: dict[str, str]) -> str:
    """results/README.md.

    Args:
        store: The results folder.
        runs: A frame of runs (`runs.frame`).
        results: Of `claims.all_findings`.
        titles: Name -> title of each figure.
    """
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Safe) else text.markdown(value),
    )
    environment.filters |= {"number": text.number, "significant": text.significant, "listing": text.listing}
    on_drawings = runs["data"].str.startswith(DRAWN)
    shown, drawn = runs[~on_drawings], runs[on_drawings & (runs["scale"] == "smoke")]
    firsts, cells = [first for first, *_ in results], tables.cells(shown)
    page = environment.from_string(resource("page.md.jinja")).render(
        runs=runs,
        groups=grouped(firsts),
        found={first.claim.name: first for first in firsts},
        verdicts=verdicts,
        others=verdicts([finding for findings in results for finding in findings[1:]], settings=True),
        decided=sum(finding.gap is not None and finding.gap.n >= ENOUGH for finding in firsts),
        figures=titles,
        figure=lambda name, words: picture(name, titles[name], words) if name in titles else Safe(""),
        masters={name: table(tables.networks_by_length(g)) for name, g in cells.groupby("data_title")}
        if len(cells)
        else {},
        machine=paper.idle_speeds()[0],
        one_core=int((shown["cores"] == 1).sum()),
        processors=sorted(set(shown["cpu"])),
        gaps=residual_gaps(shown),
        crossings=[f"{round(n, -2):,}" for n in paper.crossings()],
        never_warm=never_warm(shown),
        scar=scar(store, shown),
        independent=table(independent(store, shown)),
        smoke=table(tables.of_experiment(drawn[drawn["data"] == drawn["data"].min()])),
        problems=runs.attrs["problems"],
    )
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def as_html(page: str) -> str:
    """results/index.html of results/README.md: no scripts, and narrow screens get the figures' tall form."""
    import markdown_it

    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    parser.add_render_rule("image", _image)
    return resource("page.html").replace("{body}", parser.render(page))


def _image(self, tokens, index, options, environment) -> str:
    words = html.escape(self.renderInlineAsText(tokens[index].children, options, environment))
    source = html.escape(tokens[index].attrs["src"])
    tall = f'<source media="(max-width: 640px)" srcset="{source.replace(".png", "-tall.png")}">'
    return f'<picture>{tall}<img src="{source}" alt="{words}"></picture>'


def picture(name: str, title: str, words: str) -> Safe:
    """A figure with its title and more words for those who do not see it."""
    shown = text.markdown(f"{title.rstrip('.')}. {words}")
    return Safe(f"![{shown}](figures/{name}.png)")


def table(content) -> Safe:
    """A Markdown table of (headers, rows of plain text); empty where there are no rows."""
    return Safe(tables.escaped_table(*content) if content[1] else "")


def verdicts(findings, settings: bool = False) -> Safe:
    """A table of findings, a row each; with the length and precision of each on demand."""
    rows = []
    for finding in findings:
        place = f" ({finding.claim.place})" if finding.claim.place and not settings else ""
        setting = [f"{finding.iterations:,} {finding.precision}"] * settings
        rows.append([finding.claim.claim + place, *setting, finding.effect, finding.seeds, finding.verdict_text])
    return table((["Claim", *["Iterations"] * settings, "Here [95 % interval]", "Seeds", "Verdict"], rows))


def grouped(firsts) -> dict[str, dict]:
    """Group -> its claims' first findings, and how many have each verdict, in words; each claim counts once."""
    groups: dict[str, dict] = {}
    for first in firsts:
        groups.setdefault(first.claim.group, {"findings": []})["findings"].append(first)
    for group in groups.values():
        words = [first.verdict for first in group["findings"]]
        group["tally"] = "; ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    return groups


def residual_gaps(runs) -> dict[int, float]:
    """Length -> test error of ResNet-56 less that of ResNet-20, points, where both have run the paper's recipe."""
    own = figures.usual(runs)
    own = own[own["network"].isin(["resnet20", "resnet56"]) & own["data"].str.startswith("cifar10")]
    own = own[own["precision"].isin(own["precision"].mode())]
    pairs = {length: figures.gap_at_the_end(group) for length, group in own.groupby("iterations")}
    return {length: pair[0].mean for length, pair in pairs.items() if pair}


def never_warm(runs) -> list[str]:
    """Networks of 110 layers or more whose warm-up never ended: they spent the schedule at its smaller rate."""
    own = finished(runs)
    own = own[(own["depth"] >= 110) & own["warmup_end"].isna()]
    return [text.network_title(name) for name in sorted(set(own["network"]))]


def scar(store, runs) -> list[float]:
    """Norm of the first kernel of plain-56 before training and after 16 iterations; empty where it was not measured."""
    table = measurements(store, runs[(runs["network"] == "plain56") & runs["batch_norm"]], "gradients")
    if not len(table):
        return []
    norms = table[table["layer"] == 1].groupby("iteration")["weight_norm"].mean()
    return [norms[0], norms[16]] if {0, 16} <= set(norms.index) else []


def independent(store, runs) -> tuple[list, list]:
    """An independent implementation on the same images, and ours after as many iterations, as (headers, rows)."""
    theirs, own, rows = paper.benchmark("independent"), figures.usual(runs), []
    for network, group in theirs.groupby("network") if theirs is not None else ():
        last = group["iteration"].max()
        pool = own[(own["network"] == network) & (own["iterations"] > last) & (own["data"] == "cifar10_jpeg")]
        ours = histories(store, pool)
        ours = ours[(ours["iteration"] == last) & (ours["learning_rate"] == 0.1)].drop_duplicates("seed")
        cells = [text.network_title(network), f"{last:,}"]
        for metric in ("train_error", "test_error"):
            sides = [side[metric].dropna() for side in (group[group["iteration"] == last], ours)]
            means = [estimate(values) if len(values) else None for values in sides]
            cells += [f"{text.spread(mean.mean, mean.std, 1)} ({mean.n})" if mean else "" for mean in means]
        rows.append(cells)
    errors = [f"{metric} error, {whose}, %" for metric in ("Training", "Test") for whose in ("independent", "ours")]
    return ["Network", "Iterations", *errors], rows
