"""What the notebooks show of an experiment: its table beside the paper's numbers, its figure, a sentence."""

from __future__ import annotations

from resnet_keras import report
from resnet_keras.store import Store


class Results:
    """An experiment at one scale on one data set, read from the store.

    Args:
        name: The experiment's.
        scale: "smoke", "short" or "paper".
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

        from resnet_keras.report.sections import HEADERS

        for part in self.parts:
            frame = pandas.DataFrame(part.rows, columns=HEADERS)
            display(frame.style.hide(axis="index").set_uuid(part.stem))
            display(Markdown(part.note))

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
