"""The pages, results/README.md and results/index.html, from one template (`page.md.jinja`).

Every value that the template prints is escaped as Markdown unless it is `Safe`: names in run folders may be anybody's.
"""

from __future__ import annotations

import importlib.resources

from resnet_keras.report import claims, paper, tables, text
from resnet_keras.report.runs import finished, histories, measurements
from resnet_keras.report.statistics import ENOUGH, difference, estimate

DRAWN = "shapes32"  # the package's own drawings: runs on them have no verdicts
TITLE = "Deep Residual Learning in Keras: results"


class Safe(str):
    """Markdown that is printed as it is."""


def markdown(store, runs, results, figures: dict[str, str], race: bool) -> str:
    """results/README.md.

    Args:
        store: The results folder.
        runs: A frame of runs (`runs.frame`).
        results: Of `claims.all_findings`.
        figures: Name -> title of each figure that was drawn.
        race: Whether there is an animation.
    """
    import re

    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Safe) else text.markdown(value),
    )
    environment.filters |= {"number": text.number, "significant": text.significant}
    shown = runs[runs["data"] != DRAWN]
    by_name = {first.claim.name: first for first, *_ in results}
    rest = [finding for findings in results for finding in findings[1:]]
    page = environment.from_string(_resource("page.md.jinja")).render(
        results=results,
        by_name=by_name,
        lead=lead(by_name, shown),
        tally=claims.tally(results),
        decided=sum(finding.gap is not None and finding.gap.n >= ENOUGH for finding, *_ in results),
        others=verdicts(rest, more=True),
        figures=figures,
        figure=lambda name, words: _figure(name, f"{figures[name]}. {words}") if name in figures else Safe(""),
        say=lambda name: by_name[name].sentence if by_name[name].gap else "",
        race=race,
        masters=[(name, table(tables.networks_by_length(group))) for name, group in _by_data(shown)],
        machine=paper.idle_speeds()[0],
        one_core=int((shown["cores"] == 1).sum()),
        processors=sorted(set(shown["cpu"])),
        never_warm=[text.network_title(name) for name in never_warm(shown)],
        scar=scar(store, shown),
        independent=independent(store, shown),
        smoke=table(tables.of_experiment(runs[runs["data"] == DRAWN])),
        problems=runs.attrs["problems"],
        runs=runs,
        verdicts=verdicts,
        listing=text.listing,
    )
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def html(page: str) -> str:
    """results/index.html of results/README.md: no scripts, and narrow screens get the figures' tall form."""
    import markdown_it

    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    parser.add_render_rule("image", _picture)
    return _resource("page.html").replace("{title}", TITLE).replace("{body}", parser.render(page))


def _picture(self, tokens, index, options, environment) -> str:
    from html import escape

    source, words = tokens[index].attrs["src"], self.renderInlineAsText(tokens[index].children, options, environment)
    tall = f'<source media="(max-width: 640px)" srcset="{escape(source).replace(".png", "-tall.png")}">'
    return f'<picture>{tall}<img src="{escape(source)}" alt="{escape(words)}"></picture>'


def _figure(name: str, words: str) -> Safe:
    return Safe(f"![{text.markdown(words)}](figures/{name}.png)")


def _resource(name: str) -> str:
    return importlib.resources.files("resnet_keras.report").joinpath(name).read_text(encoding="utf-8")


def _by_data(runs):
    return tables.cells(runs).groupby("data_title") if len(runs) else []


def table(content) -> Safe:
    """A Markdown table of (headers, rows of plain text); empty where there are no rows."""
    headers, rows = content
    return Safe(tables.markdown_table(headers, [[text.markdown(cell) for cell in row] for row in rows]) if rows else "")


def verdicts(findings, more: bool = False) -> Safe:
    """A table of findings, a row each; with the length and precision of each for `more`."""
    rows = []
    for finding in findings:
        place = f" ({finding.claim.place})" if finding.claim.place and not more else ""
        setting = [f"{finding.iterations:,} {finding.precision}"] if more else []
        rows.append([finding.claim.claim + place, *setting, finding.effect, finding.seeds, finding.verdict_text])
    headers = ["Claim", *(["Iterations"] if more else []), "Here [95 % interval]", "Seeds", "Verdict"]
    return table((headers, rows))


def lead(by_name: dict, runs) -> list[str]:
    """What was found, in three sentences made of the findings; fewer where runs are missing."""
    plain, twins, deeper = (by_name[name] for name in ("degradation-training", "residual-plain-56", "residual-test"))
    sentences = []
    if plain.gap:
        harm = "harm" if plain.gap.mean > 0 else "do not harm"
        sentences.append(
            f"On {plain.data_title}, after {plain.iterations:,} of the paper's 64,000 iterations, more layers {harm} a "
            f"plain network: plain-56 ends at a training error of {text.number(plain.left.mean, 1)} %, plain-20 at "
            f"{text.number(plain.right.mean, 1)}."
        )
    if twins.gap:
        help_ = "take most of that away" if twins.gap.mean < 0 else "do not help yet"
        errors = text.number(twins.left.mean, 1), text.number(twins.right.mean, 1)
        sentences.append(f"Shortcuts {help_}: ResNet-56 tests at {errors[0]} %, plain-56 at {errors[1]}.")
    if deeper.gap:
        lengths = sorted(finished(runs)["iterations"].unique())
        gaps = {length: gap for length in lengths if (gap := residual_gap(runs, length)) is not None}
        steps = text.listing([f"{text.number(gap, 1, '+')} after {length:,}" for length, gap in gaps.items()])
        first, last = (f"{round(n, -2):,}" for n in paper.crossings())
        ahead = "holds" if deeper.verdict in (claims.SUPPORTED, claims.REPRODUCED) else "is not shown yet"
        sentences.append(
            f"That a deeper ResNet is better {ahead}: the test error of ResNet-56 less that of ResNet-20 is {steps} "
            f"iterations, in points; in public logs ResNet-56 passes after {first} to {last} iterations at rate 0.1, that "
            "is in schedules of about twice that length."
        )
    return sentences


def residual_gap(runs, length: int) -> float | None:
    """Test error of ResNet-56 less that of ResNet-20 at a length, of the paper's recipe; None where one is missing."""
    own = finished(runs)
    own = own[(own["iterations"] == length) & (own["recipe"] == "") & (own["shortcut"] == "A")]
    own = own[own["precision"] == own["precision"].mode().squeeze()] if len(own) else own
    sides = [list(own[own["network"] == name]["test_error"]) for name in ("resnet56", "resnet20")]
    return difference(*sides).mean if all(sides) else None


def never_warm(runs) -> list[str]:
    """Networks of 110 layers or more whose warm-up never ended: they spent the schedule at its smaller rate."""
    own = finished(runs)
    return sorted(set(own[(own["depth"] >= 110) & own["warmup_end"].isna()]["network"]))


def scar(store, runs) -> tuple[float, float] | None:
    """Norm of the first kernel of plain-56 before training and after 16 iterations; None where it was not measured."""
    own = measurements(store, runs[(runs["network"] == "plain56") & runs["batch_norm"]], "gradients")
    norms = [own[(own["iteration"] == at) & (own["layer"] == 1)]["weight_norm"] for at in (0, 16)] if len(own) else []
    return tuple(norm.mean() for norm in norms) if norms and all(map(len, norms)) else None


def independent(store, runs) -> Safe:
    """An independent implementation on the same images, and ours after as many iterations; empty without its CSV."""
    theirs = paper.benchmark("independent")
    if theirs is None:
        return Safe("")
    own, rows = finished(runs), []
    own = own[(own["recipe"] == "") & own["shortcut"].isin(["A", "none"]) & (own["data"] == "cifar10_jpeg")]
    for network, group in theirs.groupby("network"):
        last = group["iteration"].max()
        ours = histories(store, own[(own["network"] == network) & (own["iterations"] > last)])
        ours = ours[(ours["iteration"] == last) & (ours["learning_rate"] == 0.1)].drop_duplicates("seed")
        cells = [text.network_title(network), f"{last:,}"]
        for metric in ("train_error", "test_error"):
            for side in (group[group["iteration"] == last], ours):
                values = side[metric].dropna()
                mean = estimate(values) if len(values) else None
                cells.append(f"{text.spread(mean.mean, mean.std, 1)} ({mean.n})" if mean else "")
        rows.append(cells)
    errors = [f"{metric} error, {whose}, %" for metric in ("Training", "Test") for whose in ("independent", "ours")]
    return table((["Network", "Iterations", *errors], rows))
