"""The command line, `resnet-keras VERB`: one short function a verb. `options` and `screens` say how it looks."""

import dataclasses
import functools
import os
import sys
from json import dumps
from os.path import relpath
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from cyclopts import CycloptsError, Parameter
from cyclopts.validators import Number

from resnet_keras import options as opt
from resnet_keras import report, screens
from resnet_keras.data import identify
from resnet_keras.errors import Interrupted, ProcessLost, SomeFailed, UserError
from resnet_keras.evaluation import accuracy, export, predict
from resnet_keras.experiments import cluster, runner
from resnet_keras.experiments.catalogue import EXPERIMENTS, experiment
from resnet_keras.files import write_atomically
from resnet_keras.models.catalogue import architecture
from resnet_keras.models.complexity import table1
from resnet_keras.options import DATA, EXPERIMENT, RECIPE, RUN, TRY, USE, option, verb
from resnet_keras.quiet import load_keras
from resnet_keras.store import Store
from resnet_keras.training import device, trainer
from resnet_keras.training.run import Run


@verb(group=EXPERIMENT, sort_key=3)
def train(
    network: Annotated[str, option("Such as resnet56 or plain20; resnet-keras list prints all.")], /, *,
    scale: Annotated[opt.Scale | None, option("Its recipe; default: paper, or imagenet for Table 1's.", RECIPE)] = None,
    recipe: Annotated[opt.RecipeOptions | None, Parameter(group=RECIPE, name="*")] = None,
    data: Annotated[str | None, option(f"{opt.SETS} Default: cifar10 or imagenet2012.", DATA)] = None,
    seed: Annotated[opt.Whole, option("Of the weights, the order of the images, crops and flips.", RUN)] = 0,
    devices: Annotated[int | Literal["all"], option("That share each batch, on JAX.", RUN, converter=opt.count)] = 1,
    shortcut: opt.Shortcut = None, data_dir: opt.DataDir = None, force: opt.Force = False, results: opt.Results = None,
):  # fmt: skip
    """Train one network, or go on where its training stopped.

    Prints the run's directory last. Options of the recipe that are left out are those of the scale.
    """
    scale = scale or ("paper" if architecture(network).family == "cifar" else "imagenet")
    data = data or ("imagenet2012" if scale == "imagenet" else "cifar10")
    run = Run(network, data, opt.recipe_from(scale, recipe), seed, shortcut)
    title = identify(data, data_dir).title
    load_keras()
    device.join()
    device.check_devices(devices, run.recipe.batch_size)
    if recipe is None or recipe.precision is None:  # the faster one
        run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, precision=device.settings().precision))
    print(f"{run.title} on {title}: {run.recipe.iterations:,} iterations in {run.recipe.precision}", flush=True)
    folder = trainer.train(run, store=Store(results), data_dir=data_dir, force=force, devices=devices)
    screens.show_next(f"resnet-keras evaluate {folder.name}", "resnet-keras list runs")
    print(relpath(folder.path))


@verb(group=EXPERIMENT, sort_key=2)
def run(
    name: Annotated[str, option("Such as degradation; all: every experiment that has the scale.")], /, *,
    scale: Annotated[opt.Scale | None, option(f"{opt.LENGTHS} Default: smoke, or imagenet on ImageNet.", RUN)] = None,
    data: Annotated[str | None, option("Default: shapes16 at smoke scale, else cifar10 or imagenet2012.", DATA)] = None,
    seeds: Annotated[opt.Whole, option("How many seeds, from 0.", RUN)] = 1,
    precision: Annotated[opt.Precision, option("auto: that of runs already here, else the faster one.", RUN)] = "auto",
    jobs: Annotated[opt.Whole, option("Runs at a time, sharing a CPU's cores.", RUN, validator=Number(gte=1))] = 1,
    on: Annotated[str | None, option("ray, or ray:HOST:PORT of a cluster: docs/scaling.md.", RUN)] = None,
    gpus_per_run: Annotated[float | None, option("GPUs of a run on Ray, or a fraction; default: 1.", RUN)] = None,
    cpus_per_run: Annotated[float | None, option("CPUs of a run; default: 1.", RUN, validator=Number(gt=0))] = None,
    dry_run: Annotated[bool, option("Only list the runs and the time that they will take.", RUN)] = False,
    data_dir: opt.DataDir = None, force: opt.Force = False, results: opt.Results = None,
):  # fmt: skip
    """Train what an experiment lacks, then show its table and figure."""
    every = name == "all"
    scale = scale or ("smoke" if every else next(iter(experiment(name).networks)))
    experiments = [each for each in EXPERIMENTS.values() if scale in each.networks] if every else [experiment(name)]
    cluster.check(on, gpus_per_run, cpus_per_run, jobs)
    if every and force:
        raise UserError("--force goes with one experiment: leave it out.")
    on_ray = functools.partial(cluster.train_on, on, gpus=gpus_per_run, cpus=cpus_per_run)
    store, planned, jobs = Store(results), [], device.share_cores(1 if force else jobs)
    execute = on_ray if on else functools.partial(runner.train_here, jobs=jobs)
    for each in experiments:
        own = "auto" if every and each.precisions else precision
        options = {"scale": scale, "data": data, "data_dir": data_dir, "seeds": seeds, "precision": own, "store": store}
        if dry_run:
            runs, identity = runner.plan(each, **options)
            planned += [run for run in runs if run not in planned]
        else:
            _, identity = runner.run(each.name, **options, force=force, execute=execute)
    if dry_run:
        screens.show(runner.timetable(planned, identity, store, jobs))
        screens.show_next(f"resnet-keras run {name} --scale {scale}")
    elif every:
        print(f"Tables and figures: {relpath(report.build(store)[-1])}")
    else:
        report.build(store, [name])
        screens.show_results(store, name, scale, identity.title)


@verb(group=EXPERIMENT, name="report", sort_key=4)
def report_(*, results: opt.Results = None):
    """Redraw all tables, figures and pages from the runs that are here."""
    files = [relpath(file) for file in report.build(Store(results))]
    print(*files, sep="\n")
    screens.show_next(f"open {files[-1]} in a browser")


@verb(group=USE)
def evaluate(
    name: opt.TrainedName, /, *,
    data: Annotated[str | None, option("Another data set of the same classes; default: the run's own.")] = None,
    views: Annotated[Literal["1", "10", "multiscale"], option("Of each image, averaged (Sec. 3.4).")] = "1",
    precise_bn: Annotated[opt.Whole, option("Training batches for new statistics of BN.")] = 0,
    classes_as_they_are: Annotated[bool, option("Match classes by their order, not by name.")] = False,
    weights: opt.Weights = None, data_dir: opt.DataDir = None, results: opt.Results = None,
):  # fmt: skip
    """Test a trained network: its top-1 and top-5 errors."""
    if data:
        identify(data, data_dir)
    trained = predict.find(name, weights, store=Store(results))
    how = {"mode": views, "precise": precise_bn, "by_order": classes_as_they_are}
    counted, title = accuracy.evaluate(trained, data, data_dir, **how)
    batches = f", {precise_bn} batches of precise BN" if precise_bn else ""
    print(f"{trained.name} on {title}, {counted.images:,} test images, views {views}{batches}: {counted}")
    screens.show_next(f"resnet-keras predict {name} IMAGE...")


@verb(group=TRY, name="predict")
def predict_(
    name: opt.TrainedName, /,
    *images: Annotated[Path, option("Files of any size, JPEG, PNG, WebP, GIF, BMP or TIFF, or folders of them.")],
    top: Annotated[opt.Whole, option("Classes of each image, where it has as many.", validator=Number(gte=1))] = 3,
    json: Annotated[bool, option("Print JSON in place of the table.")] = False,
    sheet: Annotated[Path | None, option("PNG file to draw all images in, each with its classes.")] = None,
    weights: opt.Weights = None, classes: opt.Classes = None, results: opt.Results = None,
):  # fmt: skip
    """Classify images: the most probable classes of each.

    A file that cannot be read is reported and left out.
    """
    files = predict.image_files(images)
    if sheet and (sheet.suffix.lower() != ".png" or not sheet.parent.is_dir() or len(files) > predict.IMAGES_A_SHEET):
        where = "a file ending in .png, in a folder that exists"
        raise UserError(f"{sheet}: --sheet takes {where}, and {predict.IMAGES_A_SHEET} images.")
    width, rows, good = max(len(str(file)) for file in files), [], []
    for prediction in predict.predict(predict.find(name, weights, classes, Store(results)), files, top):
        file, best, error = prediction.picture, prediction.top, prediction.error
        named = [{"class": label, "index": index, "probability": round(share, 6)} for index, label, share in best]
        rows.append({"picture": file, **({"error": error} if error else {"predictions": named})})
        good += [prediction] if sheet and not error else []  # their views take memory
        if error:
            screens.show_error(error)
        elif not json:
            for rank, (_, label, share) in enumerate(best):
                print(f"{'' if rank else file:{width}}  {100 * share:5.1f} %  {label}")
    if json:
        print(dumps(rows, indent=2))
    elif not sheet:
        screens.show_next(f"resnet-keras predict {name} IMAGE... --sheet FILE.png draws them")
    if good:
        write_atomically(sheet, predict.sheet(good))
    if any("error" in row for row in rows):
        sys.exit(2)


@verb(group=USE, name="export")
def export_(
    name: opt.TrainedName, /, *,
    format: Annotated[Literal[tuple(export.FORMATS)], option("All but keras run without this package.")],
    output: Annotated[Path | None, option("Default: NAME with the format's ending, here.")] = None,
    force: Annotated[bool, option("Replace an earlier export.")] = False,
    weights: opt.Weights = None, classes: opt.Classes = None, results: opt.Results = None,
):  # fmt: skip
    """Write a trained network as a file for other software.

    It takes raw RGB, uint8 [batch, height, width, 3], and gives logits, as is checked. FILE.json names the classes.
    """
    export.destination(name, format, output, force)
    file = relpath(export.export(predict.find(name, weights, classes, Store(results)), format, output, force))
    screens.show_next(f"{file}.json names its input, output and classes")
    print(file)


@verb(group=TRY)
def summary(
    name: Annotated[str, option("Such as resnet50.")], /, *, shortcut: opt.Shortcut = None,
    classes: Annotated[opt.Whole | None, option("Length of the logits; default: 10, or 1000 on ImageNet.")] = None,
):  # fmt: skip
    """Show a network as Table 1 does: parameters and multiply-adds."""
    screens.show(table1(name, shortcut=shortcut, classes=classes))


@verb(group=EXPERIMENT, name="list", sort_key=1)
def list_(
    what: Annotated[Literal["runs"] | None, option("runs: their errors, a row for each setting.")] = None, /, *,
    scale: Annotated[Literal[opt.Scale, "custom"] | None, option("Only runs of this scale.")] = None,
    network: Annotated[str | None, option("Only runs of this network.")] = None,
    names: Annotated[bool, option("A row for every run, with its name.")] = False,
    json: Annotated[bool, option("Print all that is known of each run, as JSON.")] = False,
    results: opt.Results = None,
):  # fmt: skip
    """List networks and experiments; `list runs`: runs and their errors."""
    store = Store(results)
    if not (what or scale or network or names or json):
        screens.show(screens.overview(store))
        return screens.show_next("resnet-keras list runs", "resnet-keras run degradation --dry-run")
    from resnet_keras.report.runs import frame

    runs = frame(store)
    for problem in runs.attrs["problems"]:
        screens.show_error(problem)
    network = network and architecture(network).name
    runs = runs[(runs["scale"] == (scale or runs["scale"])) & (runs["network"] == (network or runs["network"]))]
    if json:
        return print(runs.to_json(orient="records", indent=2))
    screens.show(*screens.runs_tables(runs, names))
    screens.show_next("resnet-keras list runs --names", "resnet-keras report")


@verb(group=TRY)
def doctor():
    """Say what training would use on this machine, and why."""
    after = "You can: make reproduce, or resnet-keras run degradation (minutes)."
    screens.show(screens.two_columns(device.doctor().items()), after)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; exits with 0, 1 (the system failed), 2 (a mistake in the command) or 128 + a signal."""
    os.environ["MPLBACKEND"] = "agg"  # figures go to files, whatever a notebook or a shell has left here
    for name in ("stdout", "stderr"):  # replace what they cannot encode, and swallow what a closed one is given
        if getattr(sys, name) is None:  # closed by the caller, as `>&-` does
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="replace")
    try:
        opt.app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has left, as `head` does: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Interrupted, KeyboardInterrupt) as stop:
        sys.exit(128 + getattr(stop, "signal", 2))  # 2: Ctrl-C
    except (UserError, CycloptsError, ImportError, SomeFailed, UnicodeEncodeError, OSError) as error:
        screens.show_error(screens.explained(error, arguments or sys.argv[1:]))
        if isinstance(error, ProcessLost):
            os._exit(1)  # the usual way out would wait for the lost process
        sys.exit(1 if isinstance(error, (SomeFailed, OSError)) else 2)
    sys.exit(0)
