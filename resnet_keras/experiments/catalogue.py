"""Each experiment of the paper as a list of runs, at several scales."""

import dataclasses
import difflib
import itertools

from resnet_keras.errors import UserError
from resnet_keras.training.recipe import preset
from resnet_keras.training.run import Run

DEFAULT_DATA = {"smoke": "shapes16", "imagenet": "imagenet2012"}  # of a scale; of the others it is CIFAR-10


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One question of the paper."""

    name: str  # what the command line calls it
    title: str
    place: str  # where the paper has it
    claim: str  # what the paper or others say, in our words; beyond them, what is asked
    # Scale -> networks, each as a name or (name, what differs from the scale's runs), such as
    # ("resnet56", {"shortcut": "B"}) or ("plain56", {"batch_norm": False}).
    networks: dict[str, tuple]
    measures: tuple[str, ...] = ()  # on its runs, beside their errors: keys of `measurements.MEASURES`
    precisions: tuple[str, ...] = ()  # that it compares; none where all its runs share the one that is asked for
    mixed: bool = False  # whether runs in any precision count; its figure, table and verdicts tell them apart

    def runs(self, scale: str, data: str | None = None, seeds: int = 1, precision: str = "float32") -> list[Run]:
        """The runs of a scale, one seed of everything before the second seed of anything.

        Without `data` they are on the scale's own set; an experiment that compares precisions has its own. A UserError
        where the experiment does not know the scale, or there are no seeds.
        """
        if scale not in self.networks:
            raise UserError(f"{self.name} has no scale {scale!r}: use {' or '.join(self.networks)}.")
        recipes = [dataclasses.replace(preset(scale), precision=which) for which in self.precisions or (precision,)]
        if isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= 1000:
            raise UserError(f"seeds={seeds!r}: give a whole number from 1 to 1000.")
        data = data or DEFAULT_DATA.get(scale, "cifar10")
        runs = []
        for seed, network, recipe in itertools.product(range(seeds), self.networks[scale], recipes):
            name, changes = (network, {}) if isinstance(network, str) else network
            in_recipe = {key: value for key, value in changes.items() if key != "shortcut"}
            runs.append(Run(name, data, dataclasses.replace(recipe, **in_recipe), seed, changes.get("shortcut")))
        return runs


def twins(*depths: int) -> tuple[str, ...]:
    """Plain and residual networks of these depths, each pair together."""
    return tuple(f"{kind}{depth}" for depth in depths for kind in ("plain", "resnet"))


def shortcut_options(*depths: int) -> tuple:
    """The residual networks of these depths with each shortcut option, and without: the plain networks."""
    return tuple(itertools.chain(*((f"plain{n}", *changed((f"resnet{n}",), "shortcut", "B", "C")) for n in depths)))


def changed(names: tuple[str, ...], field: str, *values) -> tuple:
    """These networks, then all of them with each of these values of a field of the recipe, or shortcut, in turn."""
    return (*names, *((name, {field: value}) for value in values for name in names))


def by_scale(smoke: tuple, short: tuple, medium: tuple = ()) -> dict[str, tuple]:
    """Networks of each scale of CIFAR; those of the paper's own length are those of `short`."""
    return {"smoke": smoke, "short": short, **({"medium": medium} if medium else {}), "paper": short}


# An experiment's networks begin with the pair that decides, so that an early stop still answers the question.
CATALOGUE = (
    Experiment(
        "degradation", "Degradation of plain networks", "Sec. 1, Fig. 1; Sec. 4.2, Fig. 6 left and middle",
        "The training error of a plain network rises with its depth; with shortcuts it falls.",
        by_scale(twins(20, 32), twins(20, 56, 32, 44), medium=twins(20, 56)),
    ),
    Experiment(
        "residual", "Residual networks and depth", "Sec. 4.2, Fig. 6 middle, Table 6",
        "Residual networks gain from depth up to 110 layers, and each is better than its plain twin.",
        by_scale(twins(20, 32), twins(20, 56, 32, 44, 110), medium=twins(20, 56)),
    ),
    Experiment(
        "shortcuts", "Shortcuts: identity or projection", "Sec. 4.1, Table 3 (there for the 34 layers of ImageNet)",
        "Options A, B and C are all far better than none; B is slightly better than A, and C than B.",
        by_scale(shortcut_options(20), shortcut_options(20, 56)) | {"paper": shortcut_options(20, 56, 32, 44, 110)},
    ),
    Experiment(
        "depth", "Depth: 110 and 1,202 layers", "Sec. 4.2, Fig. 6 right, Table 6",
        "1,202 layers train without difficulty, and test worse than 110: they over-fit.",
        by_scale(("resnet20", "resnet32"), ("resnet56", "resnet110", "resnet1202")),
    ),
    Experiment(
        "responses", "Layer responses", "Sec. 4.2, Fig. 7",
        "Layers of residual networks respond less than plain ones, and less the deeper the network.",
        by_scale(twins(20, 32), (*twins(20, 56), "resnet110")),  # Fig. 7's five
        measures=("responses",), mixed=True,
    ),
    Experiment(
        "gradients", "Gradients along the layers", "Sec. 4.1, in words; the measurement goes beyond the paper",
        "With BN, gradients of plain networks have healthy norms: it is not that they vanish.",
        by_scale(changed(twins(20), "batch_norm", False), changed(twins(20, 56), "batch_norm", False)),
        measures=("gradients",), mixed=True,
    ),
    Experiment(
        "lesion", "Lesions: blocks left out or swapped", "beyond the paper",
        "Veit and others (2016): a trained residual network bears the loss of almost any block; a plain one does not.",
        by_scale(twins(20), twins(56, 20)),
        measures=("lesion",), mixed=True,
    ),
    Experiment(
        "surface", "The loss around trained networks, and the first steps", "beyond the paper",
        "Li and others (2018): around a residual network of 56 layers the loss is smooth, around a plain one not.",
        # At the smaller rate, which serves a short schedule of 56 layers better (the experiment "rate").
        {"smoke": twins(20), "short": tuple((name, {"learning_rate": 0.02}) for name in twins(56)), "paper": twins(56)},
        measures=("surface", "start"),
    ),
    Experiment(
        "precision", "Precision: bfloat16 against float32", "beyond the paper",
        "Convolutions and activations in bfloat16 cost less than a point of test error.",
        by_scale(twins(20), twins(20, 56)),
        precisions=("bfloat16", "float32"),
    ),
    Experiment(
        "rate", "Learning rate and depth", "beyond the paper",
        "In a short schedule a smaller learning rate spares deep networks the first steps: depth costs less.",
        {"short": changed(twins(20, 56), "learning_rate", 0.02, 0.05, 0.01)}, mixed=True,
    ),
    Experiment(
        "imagenet-depth", "ImageNet: plain and residual networks of 18 and 34 layers", "Sec. 4.1, Table 2, Fig. 4",
        "34 plain layers are worse than 18; with shortcuts they are better. At 18 the two are alike.",
        {"imagenet": twins(34, 18)},
        measures=("views",),
    ),
    Experiment(
        "imagenet-shortcuts", "ImageNet: shortcut options of 34 layers", "Sec. 4.1, Table 3",
        "Options A, B and C are all far better than none; B is slightly better than A, and C than B.",
        {"imagenet": shortcut_options(34)},
        measures=("views",),
    ),
    Experiment(
        "imagenet-bottleneck", "ImageNet: bottleneck networks of 50, 101 and 152 layers", "Sec. 4.1, Tables 3 and 4",
        "Each deeper network is better than the one before.",
        {"imagenet": ("resnet50", "resnet101", "resnet152")},
        measures=("views",),
    ),
)  # fmt: skip
EXPERIMENTS = {experiment.name: experiment for experiment in CATALOGUE}


def experiment(name: str) -> Experiment:
    """The experiment of this name; a UserError with the nearest name, and all that there are, if there is none."""
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"unknown experiment {name!r}: {hint}there are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]
