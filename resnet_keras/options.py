"""The application of the command line, and the kinds of options that its commands share."""

import dataclasses
import functools
import re
import typing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter
from cyclopts.help import DefaultFormatter, PanelSpec
from rich.box import Box

import resnet_keras
from resnet_keras.training.recipe import PRESETS, Recipe, preset

_sections = enumerate(("Try", "Experiment", "Use", "Data", "Recipe", "Run", "Output"))
TRY, EXPERIMENT, USE, DATA, RECIPE, RUN, OUTPUT = (Group(name, sort_key=place) for place, name in _sections)
EXAMPLES = """\
Examples
  resnet-keras predict resnet20-cifar10_jpeg photo.jpg    a bundled network
  resnet-keras run degradation                            minutes on a CPU
  resnet-keras train resnet56 --data cifar10              hours on a GPU"""

app = App(
    name="resnet-keras",
    version=resnet_keras.__version__,
    usage="resnet-keras COMMAND ...; resnet-keras COMMAND --help says more of one",
    help="Deep Residual Learning for Image Recognition, reproduced in Keras.",
    # Sections without frames: so it fits 24 lines of 80 columns.
    help_formatter=DefaultFormatter(panel_spec=PanelSpec(box=Box("    \n" * 8), padding=(0, 0, 0, 4))),
    help_epilogue=EXAMPLES,
    help_format="plaintext",
    default_parameter=Parameter(consume_multiple=True, negative_iterable=(), negative_bool=()),
)
for flag in ("--help", "--version"):
    app[flag].show = False
verb = functools.partial(app.command, help_epilogue="")  # adds a command to the application


def option(help: str, group: Group | None = None, **settings) -> Parameter:
    """An option with its help, in a section of the help of its command."""
    return Parameter(help=help, **({"group": group} if group else {}), **settings)


def whole_numbers(kind, tokens):
    """Whole numbers as they are written; the library would round 1.5 without a word."""
    for token in tokens:
        if not re.fullmatch("[0-9]{1,18}", token.value):
            raise ValueError(f"{token.value!r} is no whole number; give one, such as 3")
    numbers = tuple(int(token.value) for token in tokens)
    return numbers[0] if kind is int else numbers


def count(kind, tokens):
    """A whole number, or the word "all"."""
    return "all" if tokens[0].value == "all" else whole_numbers(int, tokens)


Whole = Annotated[int, Parameter(converter=whole_numbers)]
Scale = Literal[tuple(PRESETS)]
Precision = Literal["auto", "float32", "bfloat16"]
SETS = "shapes16 (built in), a TFDS name such as cifar10, or a folder DIR/{train,test}/CLASS/*.png."
LENGTHS = "smoke takes minutes on two cores, short hours there; medium is a tenth of paper, the paper's own length."
DataDir = Annotated[Path | None, option("Where data sets lie or are downloaded to; default: data/.", DATA)]
Force = Annotated[bool, option("Repeat runs that are done.", RUN)]
Results = Annotated[Path | None, option("Results folder; default: $RESNET_KERAS_RESULTS or results/.", OUTPUT)]
Shortcut = Annotated[
    Literal["A", "B", "C", "none"] | None,
    option("A: zero-padded identity; B: projection where dimensions grow; C: projections. Default: the paper's.", RUN),
]
TrainedName = Annotated[str, option("A run, a bundled network such as resnet20-cifar10_jpeg, or with --weights any.")]
Weights = Annotated[Path | None, option("Of the network: .safetensors, .keras or .h5, of this or another library.")]
Classes = Annotated[Path | None, option("Text file with a class's name on each line, where none are known.")]

# Every field of `Recipe` as an option that may be left out, with the field's documentation.
_kinds = {kind: Annotated[kind, Parameter(converter=whole_numbers)] for kind in (int, tuple[int, ...])}
_kinds[bool] = Annotated[bool, Parameter(negative_bool="no-")]
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
