"""The application of the command line, the kinds of options that its commands share, and how its help looks."""

import dataclasses
import re
import typing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter
from cyclopts.help import DefaultFormatter
from rich.table import Table
from rich.text import Text

import resnet_keras
from resnet_keras.experiments import catalogue
from resnet_keras.training.recipe import Recipe, preset

_sections = enumerate(("Try", "Experiment", "Use", "Data", "Recipe", "Run", "Output"))
TRY, EXPERIMENT, USE, DATA, RECIPE, RUN, OUTPUT = (Group(name, sort_key=place) for place, name in _sections)
EXAMPLES = """\
Examples
  resnet-keras predict resnet20-cifar10_jpeg photo.jpg    a bundled network
  resnet-keras run degradation                            minutes on a CPU
  resnet-keras train resnet56 --data cifar10              hours on a GPU"""


class Sections(DefaultFormatter):
    """Help as titled sections without frames, so that it fits 24 lines of 80 columns."""

    def __call__(self, console, options, panel):
        """Print one section: a line or more for each command or option."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="cyan", no_wrap=True, min_width=9 if panel.format == "command" else 23)
        for entry in panel.entries:
            default = "" if entry.default in (None, "False") else f"default: {entry.default}"
            notes = "; ".join(filter(None, [", ".join(entry.choices or ()), default]))
            if notes and entry.description:
                entry.description.append(Text(f"[{notes}]", "dim"))
            names = " ".join([*entry.positive_names, *entry.positive_shorts])
            grid.add_row(f"  {getattr(entry, 'positional_label', None) or names}", entry.description)
        if panel.entries:
            console.print(Text(panel.title, "bold"), grid, sep="\n")


app = App(
    name="resnet-keras",
    version=resnet_keras.__version__,
    usage="resnet-keras COMMAND ...; resnet-keras COMMAND --help says more of one",
    help="Deep Residual Learning for Image Recognition, reproduced in Keras.",
    help_formatter=Sections(),
    help_epilogue=EXAMPLES,
    help_format="plaintext",
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
)
for flag in ("--help", "--version"):
    app[flag].show = False


def verb(group: Group, **settings):
    """Add a command to the application, in a section of its help."""
    return app.command(group=group, help_epilogue="", **settings)


def option(help: str, group: Group | None = None, **settings) -> Parameter:
    """An option with its help, in a section of the help of its command."""
    return Parameter(help=help, **({"group": group} if group else {}), **settings)


def whole_numbers(kind, tokens):
    """Whole numbers as they are written; the library would round 1.5 without a word."""
    for token in tokens:
        if not re.fullmatch(r"[+-]?\d{1,18}", token.value, re.ASCII):
            raise ValueError(f"{token.value!r} is no whole number; give one, such as 3")
    numbers = [int(token.value) for token in tokens]
    return numbers[0] if kind is int else tuple(numbers)


def count(kind, tokens):
    """A whole number, 1 or more, or the word "all"."""
    number = tokens[0].value if tokens[0].value == "all" else whole_numbers(int, tokens)
    if number != "all" and number < 1:
        raise ValueError("give a whole number, 1 or more, or all")
    return number


Whole = Annotated[int, Parameter(converter=whole_numbers)]
Wholes = Annotated[tuple[int, ...], Parameter(converter=whole_numbers)]
Amount = Annotated[float | None, Parameter(allow_leading_hyphen=True)]
Scale = Literal[catalogue.SCALES]
Precision = Literal["auto", "float32", "bfloat16"]
Format = Literal["keras", "savedmodel", "onnx", "litert"]
SETS = "shapes16 (built in), a TFDS name such as cifar10, or a folder DIR/{train,test}/CLASS/*.png."
LENGTHS = "smoke takes minutes on two cores, short hours there; medium is a tenth of paper, the paper's own length."
DataDir = Annotated[Path | None, option("Where data sets lie or are downloaded to; default: data/.", DATA)]
Force = Annotated[bool, option("Repeat runs that are done.", RUN)]
Results = Annotated[
    Path | None, option("Results folder; default: $RESNET_KERAS_RESULTS or results/.", OUTPUT, name="--results")
]
Shortcut = Annotated[
    Literal["A", "B", "C", "none"] | None,
    option("A: zero-padded identity; B: projection where dimensions grow; C: projections. Default: the paper's.", RUN),
]
TrainedName = Annotated[str, option("A run, a bundled network such as resnet20-cifar10_jpeg, or with --weights any.")]
Weights = Annotated[Path | None, option("Of the network: .safetensors, .keras or .h5, of this or another library.")]
Classes = Annotated[Path | None, option("Text file with a class's name on each line, where none are known.")]

# Every field of `Recipe` as an option that may be left out, with the field's documentation.
_kinds = {int: Whole, tuple[int, ...]: Wholes}
_fields = [(name, _kinds.get(kind, kind) | None, None) for name, kind in typing.get_type_hints(Recipe).items()]
_namespace = {"__doc__": Recipe.__doc__, "__module__": __name__}
RecipeOptions = dataclasses.make_dataclass("RecipeOptions", _fields, namespace=_namespace, kw_only=True)


def recipe_from(scale: str, options) -> Recipe:
    """A scale's recipe with these options in place; fewer iterations shorten the schedule in proportion."""
    changes = {key: value for key, value in vars(options or RecipeOptions()).items() if value is not None}
    recipe = preset(scale)
    if "drops" not in changes and "iterations" in changes:
        recipe = recipe.shortened(changes["iterations"])
    return dataclasses.replace(recipe, **changes)
