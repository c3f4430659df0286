"""The command line, `resnet-keras VERB`: one short function a verb."""

from __future__ import annotations

import dataclasses
import json as jsons
import os
import re
import sys
import typing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

import resnet_keras
from resnet_keras import screens
from resnet_keras.errors import ProcessLost, SomeFailed, UserError
from resnet_keras.experiments.catalogue import EXPERIMENTS, SCALES, experiment
from resnet_keras.files import write_atomically
from resnet_keras.models.catalogue import architecture
from resnet_keras.report.text import plain
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe, preset

TRY, EXPERIMENT, USE = (Group(name, sort_key=place) for place, name in enumerate(("Try", "Experiment", "Use")))
DATA, RECIPE, RUN, OUTPUT = (
    Group(name, sort_key=place) for place, name in enumerate(("Data", "Recipe", "Run", "Output"))
)
Scale = Literal[SCALES]
Precision = Literal["auto", "float32", "bfloat16"]
Data = Annotated[str | None, Parameter(group=DATA)]
DataDir = Annotated[
    Path | None, Parameter(group=DATA, help="Where data sets lie or are downloaded to; default: data/.")
]
Results = Annotated[
    Path | None,
    Parameter(name="--results", group=OUTPUT, help="Results folder; default: $RESNET_KERAS_RESULTS or results/."),
]
Force = Annotated[bool, Parameter(group=RUN, help="Repeat runs that are done.")]
Deterministic = Annotated[
    bool, Parameter(group=RUN, help="The same bits every time on a GPU too, more slowly; a CPU needs no such option.")
]
Weights = Annotated[
    Path | None, Parameter(help="Weights of that network: .safetensors, .keras or .h5, of this package or a peer's.")
]


def whole_numbers(kind, tokens):
    """Whole numbers as they are written; the library would round 1.5 without a word."""
    for token in tokens:
        if not re.fullmatch(r"[+-]?\d{1,400}", token.value, re.ASCII):
            raise ValueError(f"{token.value!r} is no whole number; give one, such as 3")
    numbers = [int(token.value) for token in tokens]
    return numbers[0] if kind is int else tuple(numbers)


def devices_asked(kind, tokens):
    """A whole number or the word "all"."""
    value = tokens[0].value
    if value != "all" and not value.isdecimal():
        raise ValueError("give a whole number, 1 or more, or all")
    return value if value == "all" else int(value)


Whole = Annotated[int, Parameter(converter=whole_numbers)]
EXAMPLES = """\
Examples
  resnet-keras predict resnet20-cifar10_jpeg photo.jpg    a bundled network
  resnet-keras run degradation                            minutes on a CPU
  resnet-keras train resnet56 --data cifar10              hours on a GPU"""
WHOLE = {int: Whole, tuple[int, ...]: Annotated[tuple[int, ...], Parameter(converter=whole_numbers)]}

app = App(
    name="resnet-keras",
    version=resnet_keras.__version__,
    usage="resnet-keras COMMAND ...; resnet-keras COMMAND --help says more of one",
    help="Deep Residual Learning for Image Recognition, reproduced in Keras.",
    help_formatter=screens.Sections(),
    help_epilogue=EXAMPLES,
    help_format="plaintext",
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
)
for flag in ("--help", "--version"):
    app[flag].show = False


def verb(group: Group, **options):
    """Add a command to the application, in a group of its help."""
    return app.command(group=group, help_format="markdown", help_epilogue="", **options)


def recipe_options() -> type:
    """Every field of `Recipe` as an option that may be left out, with the field's own documentation."""
    types = {name: WHOLE.get(kind, kind) for name, kind in typing.get_type_hints(Recipe).items()}
    fields = [(field.name, types[field.name] | None, None) for field in dataclasses.fields(Recipe)]
    options = dataclasses.make_dataclass("RecipeOptions", fields, frozen=True, kw_only=True)
    options.__doc__, options.__module__ = Recipe.__doc__, __name__
    return options


RecipeOptions = recipe_options()


def recipe_from(scale: str, options) -> Recipe:
    """A scale's recipe with the given fields in place; fewer iterations shorten the schedule in proportion."""
    recipe = preset(scale)
    given = {key: value for key, value in vars(options).items() if value is not None} if options else {}
    if "iterations" in given and "drops" not in given:
        dataclasses.replace(recipe, iterations=given["iterations"])  # refuses what is no number of iterations
        recipe = recipe.shortened(given.pop("iterations"))
    return dataclasses.replace(recipe, **given)


@verb(EXPERIMENT, sort_key=3)
def train(
    network: str,
    /,
    *,
    scale: Annotated[Scale | None, Parameter(group=RECIPE)] = None,
    recipe: Annotated[RecipeOptions | None, Parameter(name="*", group=RECIPE)] = None,
    data: Data = None,
    data_dir: DataDir = None,
    seed: Annotated[Whole, Parameter(group=RUN)] = 0,
    shortcut: Annotated[Literal["A", "B", "C", "none"] | None, Parameter(group=RUN)] = None,
    devices: Annotated[int | Literal["all"], Parameter(converter=devices_asked, group=RUN)] = 1,
    deterministic: Deterministic = False,
    force: Force = False,
    results: Results = None,
):
    """Train one network, or go on where its training stopped.

    Prints the run's directory last. Options of the recipe that are left out are those of the scale.

    Parameters
    ----------
    network
        Such as resnet56 or plain20; `resnet-keras list` prints all.
    scale
        smoke (400 iterations), short (2,000), medium (6,400), paper (64,000) or imagenet (600,000). Default: imagenet
        for the networks of the paper's Table 1, paper for the others.
    data
        shapes32 (built in), a TFDS name such as cifar10 or imagenet2012, a folder DIR/{train,test}/CLASS/*.png, or a
        tar of one. Default: cifar10, or imagenet2012 at its scale.
    seed
        Of the initial weights, the order of the images, crops and flips.
    shortcut
        A: zero-padded identity; B: projection where dimensions grow; C: projections everywhere.
    devices
        How many devices share each batch, or all: docs/scaling.md. More than one on JAX (KERAS_BACKEND=jax) only.
    """
    from resnet_keras.training.run import Run

    scale = scale or ("paper" if architecture(network).family == "cifar" else "imagenet")
    data = data or ("imagenet2012" if scale == "imagenet" else "cifar10")
    chosen = recipe_from(scale, recipe)
    Run(network, data, chosen, seed, shortcut)  # refuses a mistake before anything slow begins
    load_keras_as(deterministic)
    from resnet_keras.training import device, trainer
    from resnet_keras.training.devices import check_devices, is_first, join

    join()
    check_devices(devices, chosen.batch_size)
    if recipe is None or recipe.precision is None:
        chosen = dataclasses.replace(chosen, precision=device.settings().precision)
    folder = trainer.train(
        Run(network, data, chosen, seed, shortcut),
        store=Store(results),
        data_dir=data_dir,
        force=force,
        devices=devices,
    )
    if is_first():
        print(shown(folder.path))


@verb(EXPERIMENT, sort_key=2)
def run(
    name: str,
    /,
    *,
    scale: Scale | None = None,
    data: str | None = None,
    data_dir: DataDir = None,
    seeds: Whole = 1,
    precision: Precision = "auto",
    only: str | None = None,
    on: str | None = None,
    gpus_per_run: Annotated[float | None, Parameter(allow_leading_hyphen=True)] = None,
    cpus_per_run: Annotated[float | None, Parameter(allow_leading_hyphen=True)] = None,
    dry_run: bool = False,
    force: bool = False,
    deterministic: bool = False,
    results: Results = None,
):
    """Train what an experiment lacks, then show its table and figure.

    Parameters
    ----------
    name
        Such as degradation; `resnet-keras list` prints all. `all` takes every experiment of the scale, one after the
        other.
    scale
        smoke (minutes on two cores), short (2,000 iterations: hours on two cores, minutes on a GPU), medium (6,400, a
        tenth of the paper's) or paper (64,000); imagenet (600,000) for the experiments on ImageNet. Default: smoke,
        where there is such a scale.
    data
        Default: shapes32 at smoke scale, imagenet2012 at imagenet scale, cifar10 otherwise.
    seeds
        How many seeds, from 0.
    precision
        auto: that of runs already there, else the faster one of the device.
    only
        K/N: the K-th of N shares of the runs, as in a job array; draws no table.
    on
        ray starts Ray on this machine, ray:HOST:PORT joins a cluster: runs go side by side. See docs/scaling.md.
    gpus_per_run
        GPUs that each run asks of the cluster: 1, or a fraction to share one. Default: 1 where it has any.
    cpus_per_run
        CPUs that each run asks of the cluster, and threads of a training on a CPU. Default: 1.
    dry_run
        Only list the runs, with their status and the estimated time.
    force
        Repeat runs that are done.
    deterministic
        The same bits every time on a GPU too, more slowly. On a CPU they are the same without it.
    """
    from resnet_keras import report as reporter
    from resnet_keras.experiments import cluster, runner

    scale = scale or ("smoke" if name == "all" else next(iter(experiment(name).networks)))
    chosen = [each for each in EXPERIMENTS.values() if scale in each.networks] if name == "all" else [experiment(name)]
    cluster.check(on, gpus_per_run, cpus_per_run)
    runner.share([], only)  # refuses a mistake before anything slow begins
    if name == "all" and (force or only):
        raise UserError("--force and --only go with one experiment: leave them out.")
    if deterministic:
        load_keras_as(deterministic)
    store, options = Store(results), {"data": data, "data_dir": data_dir, "seeds": seeds}
    precisions = {each.name: "auto" if name == "all" and each.precisions else precision for each in chosen}
    if dry_run:
        plans = [runner.plan(each, scale, **options, precision=precisions[each.name], store=store) for each in chosen]
        runs = list(dict.fromkeys(planned for runs, _ in plans for planned in runs))
        screens.show(runner.timetable(runner.share(runs, only), plans[0][1], store))
        return
    options |= {"scale": scale, "force": force, "store": store, "only": only}
    if on is not None:
        options["cluster"] = {"on": on, "gpus": gpus_per_run, "cpus": cpus_per_run}
    for each in chosen:
        _, identity = runner.run(each.name, precision=precisions[each.name], **options)
    if name == "all":
        print(f"Tables and figures: {shown(reporter.build(store)[-1])}")
    elif only:
        print(f"Share {only} is done; the same command without --only draws the table.")
    else:
        print_report(store, name, scale, identity.title)


def load_keras_as(deterministic: bool) -> None:
    """Import Keras and its backend, with deterministic kernels if that is asked for."""
    if deterministic:
        from resnet_keras.training import device

        device.enable_determinism()
    else:
        from resnet_keras.quiet import load_keras

        load_keras()


def print_report(store: Store, name: str, scale: str, data_title: str) -> None:
    """Draw the experiment's table and figure, print the table, and say where both are."""
    from resnet_keras import report

    report.build(store, [name])
    print()
    print(report.text_table(store, name, scale, data_title))
    print(f"\nTable:  {shown(store.root / 'tables' / f'{name}.md')}")
    for path in report.figure_files(store, name, scale, data_title):
        print(f"Figure: {shown(path)}")


@verb(EXPERIMENT, sort_key=4)
def report(*, results: Results = None):
    """Redraw all tables, figures and pages from the runs that are here."""
    from resnet_keras import report as reporter

    store = Store(results)
    for path in reporter.build(store):
        print(shown(path))


@verb(USE)
def evaluate(
    name: str,
    /,
    *,
    weights: Weights = None,
    data: str | None = None,
    data_dir: DataDir = None,
    views: Literal["1", "10", "multiscale"] = "1",
    precise_bn: Whole = 0,
    classes_as_they_are: bool = False,
    results: Results = None,
):
    """Test a trained network: its top-1 and top-5 errors.

    Parameters
    ----------
    name
        A run in results/runs, a bundled network, or a network such as resnet50 with --weights.
    data
        Another data set of the same classes, matched by name; default: the run's own.
    views
        1: the image itself, or the centre crop of a photograph. 10: crops of the corners and the centre, and their
        mirror images. multiscale: whole photographs at five scales, the classifier applied at every position.
    precise_bn
        Recompute the statistics of BN as plain averages over this many training batches first; nothing on disk changes.
    classes_as_they_are
        Take the classes of the data set in their order, whatever their names are.
    """
    from resnet_keras.evaluation.accuracy import evaluate as test
    from resnet_keras.evaluation.predict import find

    if precise_bn < 0:
        raise UserError(f"precise_bn={precise_bn}: give a number of training batches, 0 for none.")
    trained = find(name, weights, store=Store(results))
    from resnet_keras.training.progress import Counter

    counter = Counter(trained.name)
    options = {"mode": views, "precise": precise_bn, "by_order": classes_as_they_are, "progress": counter.update}
    counted, title = test(trained, data, data_dir, **options)
    counter.done()
    how = f", {precise_bn} batches of precise BN" if precise_bn else ""
    print(f"{trained.name} on {title}, {counted.images:,} test images, views {views}{how}: {counted}")


@verb(TRY)
def predict(
    name: str,
    /,
    *images: Path,
    weights: Weights = None,
    classes: Path | None = None,
    top: Whole | None = None,
    json: bool = False,
    sheet: Path | None = None,
    results: Results = None,
):
    """Classify images: the most probable classes of each.

    A file that cannot be read is named, and the others go on.

    Parameters
    ----------
    name
        A run, a bundled network such as resnet20-cifar10_jpeg, or a network such as resnet50 with --weights.
    images
        Files of any size, JPEG, PNG, WebP, GIF, BMP or TIFF, or folders of them.
    classes
        Text file with the name of a class on each line, where the network has not got them with it.
    top
        Classes of each image; default: 3, or all where there are fewer.
    json
        Print JSON in place of the table.
    sheet
        PNG file to draw all images in, each with its classes.
    """
    from resnet_keras.evaluation import sheet as sheets
    from resnet_keras.evaluation.predict import find, image_files
    from resnet_keras.evaluation.predict import predict as predicted

    if not images:
        raise UserError("no images given: resnet-keras predict NAME IMAGE...")
    files = image_files(images)
    if sheet:
        sheets.check(sheet, len(files))
    width, predictions = max(len(str(file)) for file in files), []
    for prediction in predicted(find(name, weights, classes, Store(results)), files, top):
        predictions.append(prediction if sheet else dataclasses.replace(prediction, view=None))
        if prediction.error:
            print(f"resnet-keras: {plain(prediction.error)}", file=sys.stderr)
        elif not json:
            print(prediction.as_text(width))
    if json:
        print(jsons.dumps([prediction.as_json() for prediction in predictions], indent=2))
    good = [prediction for prediction in predictions if not prediction.error]
    if sheet and good:
        write_atomically(sheet, sheets.sheet(good))
    if len(good) < len(predictions):
        sys.exit(2)


@verb(USE)
def export(
    name: str,
    /,
    *,
    format: Literal["keras", "savedmodel", "onnx", "litert"],
    weights: Weights = None,
    classes: Path | None = None,
    output: Path | None = None,
    force: bool = False,
    results: Results = None,
):
    """Write a trained network as a file for other software.

    The file is checked against the network's own output. It takes uint8 images [batch, height, width, 3], raw RGB, and
    gives float32 logits. FILE.json names the classes.

    Parameters
    ----------
    name
        A run, a bundled network, or a network such as resnet50 with --weights.
    format
        savedmodel (a folder), onnx or litert (.tflite) run without this package; keras needs it to be read.
    classes
        Text file with the name of a class on each line, where the network has not got them with it.
    output
        The file, or folder, to write; default: NAME with the format's ending, here.
    force
        Replace an earlier export.
    """
    from resnet_keras.evaluation import export as exporter
    from resnet_keras.evaluation.predict import find

    exporter.destination(name, format, output, force)
    print(shown(exporter.export(find(name, weights, classes, Store(results)), format, output, force)))


@verb(TRY)
def summary(name: str, /, *, shortcut: Literal["A", "B", "C", "none"] | None = None, classes: Whole | None = None):
    """Show a network as Table 1 does, with parameters and multiply-adds.

    Parameters
    ----------
    name
        Such as resnet50.
    shortcut
        Shortcut option; default: the paper's choice.
    classes
        Length of the logits; default: 10 on CIFAR networks, 1000 on ImageNet ones.
    """
    resnet_keras.models.catalogue.resolve_shortcut(name, shortcut)
    from resnet_keras.quiet import load_keras

    load_keras()
    from resnet_keras.models.catalogue import assemble
    from resnet_keras.models.complexity import table1

    print(table1(assemble(name, shortcut=shortcut, classes=classes)))


@verb(EXPERIMENT, name="list", sort_key=1)
def list_(
    what: Literal["runs"] | None = None,
    /,
    *,
    scale: Scale | Literal["custom"] | None = None,
    network: str | None = None,
    names: bool = False,
    json: bool = False,
    results: Results = None,
):
    """List networks and experiments; `list runs`: the runs and their errors.

    Parameters
    ----------
    what
        runs: a table of the runs, those that differ in the seed alone in one row.
    scale
        Only runs of this scale.
    network
        Only runs of this network.
    names
        The name of each run, its status, and whether its weights are here, in place of the table.
    json
        Print all that is known of each run, as JSON.
    """
    store = Store(results)
    if not (what or scale or network or names or json):
        screens.show(screens.overview(store))
        screens.show_next("resnet-keras list runs", "resnet-keras run degradation --dry-run")
        return
    if network:
        architecture(network)  # refuses what is no network's name
    from resnet_keras.report.runs import frame

    runs = frame(store)
    problems = runs.attrs["problems"]
    runs = runs[(runs["scale"] == (scale or runs["scale"])) & (runs["network"] == (network or runs["network"]))]
    if json:
        print(runs.to_json(orient="records", indent=2))
    elif names:
        screens.show(screens.names_table(runs))
    elif len(runs):
        screens.show(*screens.runs_tables(runs))
    else:
        screens.show("No such runs here.")
    for problem in problems:
        print(f"resnet-keras: {problem}", file=sys.stderr)
    if not json:
        screens.show_next("resnet-keras list runs --names", "resnet-keras report")


@verb(TRY)
def doctor(*, results: Results = None):
    """Say what training would use on this machine, and why."""
    from resnet_keras.quiet import load_keras

    load_keras()
    from resnet_keras.training import device

    screens.show(screens.findings(device.doctor(), Store(results)))
    screens.show("You can: make reproduce, or resnet-keras run degradation (minutes).")


def shown(path: Path) -> str:
    """A path for people: relative to where they are, where it lies below."""
    path = Path(path).resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def main(arguments: list[str] | None = None) -> typing.NoReturn:
    """Run the command line; exits with 0, 1 (the system failed), 2 (a mistake in the command) or 128 + a signal."""
    from resnet_keras.training.interruption import Interrupted

    os.environ["MPLBACKEND"] = "agg"  # figures go to files, whatever a notebook or a shell has left here
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as `>&-` does
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="replace")  # a name that cannot be shown must not lose a result
    try:
        app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except UserError as error:
        _fail(2, str(error))
    except CycloptsError as error:
        files = [word for word in arguments or sys.argv[1:] if word.startswith("-") and Path(word).is_file()]
        _fail(2, str(error) + (f" The file {files[0]} is meant? Write ./{files[0]}" if files else ""))
    except SomeFailed as error:
        _fail(1, str(error))
    except Interrupted as stop:
        sys.exit(128 + stop.signal)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left, as `head` does: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ProcessLost as error:
        print(f"resnet-keras: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # the usual way out would wait for the lost process
    except UnicodeEncodeError:
        _fail(2, "a name holds bytes that are no UTF-8 text: rename the file or folder.")
    except OSError as error:
        _fail(1, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    sys.exit(0)


def _fail(code: int, message: str) -> typing.NoReturn:
    print(f"resnet-keras: {plain(message)}", file=sys.stderr)  # names in it may be anybody's
    sys.exit(code)
