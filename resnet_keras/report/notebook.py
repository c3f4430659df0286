"""What the notebooks show of an experiment: its table beside the paper's numbers, its figure, a sentence."""

from __future__ import annotations

from resnet_keras import report
from resnet_keras.store import Store


def reproductions(*networks: str):
    """The paper's CIFAR-10 test errors of these networks, in percent, and those of others who repeated it."""
    import pandas

    from resnet_keras.report import paper, text

    frame = pandas.DataFrame(paper.reproductions(networks))
    return frame.rename(columns=text.network_title).style.hide(axis="index").set_uuid("reproductions")


def imagenet_table(place: str, store: Store | None = None):
    """One of the paper's Tables 2 to 4, such as "Table 2": its errors beside those of the store's runs, in percent."""
    import pandas

    from resnet_keras.report import claims, paper, records, text

    runs = [r for r in records.read(store or Store())[0] if r.finished and r.config["data"] == "imagenet2012"]
    rows = []
    for row in paper.imagenet(place):
        mine = [r for r in runs if (r.config["network"], r.config["shortcut"]) == (row["network"], row["shortcut"])]
        ours = [[r.number(f"views.top{k}_{row['views']}") for r in mine] for k in (1, 5)]
        shown = [
            text.number(sum(found) / len(found), 2) if found and None not in found else claims.NOT_RUN for found in ours
        ]
        option = f" {row['shortcut']}" if row["shortcut"] != "none" else ""
        rows.append(
            {
                "network": text.network_title(row["network"]) + option,
                "paper, top-1": row["top-1"],
                "ours, top-1": shown[0],
                "paper, top-5": row["top-5"],
                "ours, top-5": shown[1],
            }
        )
    return pandas.DataFrame(rows).style.hide(axis="index").set_uuid(place.replace(" ", "-").lower())


class Results:
    """An experiment at one scale on one data set, read from the store.

    Args:
        name: The experiment's.
        scale: "smoke", "short", "medium" or "paper".
        identity: The data set's, as `resnet_keras.experiments.runner.run` returns it.
        store: Default: the default results folder.
    """

    def __init__(self, name: str, scale: str, identity, store: Store | None = None):
        """Redraw the experiment and pick out its parts."""
        store = store or Store()
        report.build(store, [name])
        self.parts = report.parts(store, name, scale, identity.title)
        self.files = report.figure_files(store, name, scale, identity.title)

    def table(self):
        """The table, a row a network."""
        import pandas
        from IPython.display import Markdown, display

        for part in self.parts:
            frame = pandas.DataFrame(part.rows, columns=part.headers)
            display(frame.style.hide(axis="index").set_uuid(part.stem))
            display(Markdown(part.note))

    def warmups(self):
        """When the warm-up of each run was over (Sec. 4.2), in iterations; 0 for a run without one."""
        import pandas

        rows = [
            {"run": record.folder.name, "warm-up over at iteration": record.summary.get("warmup_end")}
            for part in self.parts
            for record in part.runs
        ]
        return pandas.DataFrame(rows).style.hide(axis="index").set_uuid("warmups")

    def figure(self):
        """The figure, as it lies in results/figures."""
        from IPython.display import Image, display

        for path, part in zip(self.files, self.parts, strict=True):
            display(Image(data=path.read_bytes(), alt=part.alt, width=900))

    def reading(self):
        """What the numbers say, in a sentence made of them."""
        from IPython.display import Markdown, display

        for part in self.parts:
            display(Markdown(part.reading))
