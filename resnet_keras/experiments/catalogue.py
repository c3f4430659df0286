"""Each experiment of the paper as a list of runs, at several scales."""

from __future__ import annotations

import dataclasses
import difflib

from resnet_keras.errors import UserError
from resnet_keras.training.recipe import PRESETS, preset
from resnet_keras.training.run import Run

# What a scale trains on unless told otherwise: the built-in set needs no download.
DATA = {"smoke": "shapes16", "short": "cifar10", "medium": "cifar10", "paper": "cifar10", "imagenet": "imagenet2012"}
SCALES = tuple(PRESETS)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One question of the paper.

    Attributes:
        name: What the command line calls it.
        title: Its heading.
        place: Where the paper has it.
        claim: What the paper says, in our words.
        networks: Scale -> networks, each as a name or (name, what differs from the scale's runs), such as
            ``("resnet56", {"shortcut": "B"})`` or ``("plain56", {"batch_norm": False})``.
        measures: What is measured on its runs beside their errors: keys of
            `resnet_keras.experiments.measurements.MEASURES`.
        precisions: The precisions that it compares; none where all its runs share the one that is asked for.
    """

    name: str
    title: str
    place: str
    claim: str
    networks: dict[str, tuple]
    measures: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()

    def runs(self, scale: str, data: str | None = None, seeds: int = 1, precision: str = "float32") -> list[Run]:
        """The runs of a scale, one seed of everything before the second seed of anything.

        Args:
            scale: One of `networks`.
            data: A data set's name; None for the scale's own.
            seeds: How many seeds, from 0.
            precision: "float32" or "bfloat16"; an experiment that compares precisions has its own.

        Raises:
            UserError: The experiment does not know the scale, or there are no seeds.
        """
        if preset(scale) and scale not in self.networks:
            raise UserError(f"{self.name} has no scale {scale!r}: use {' or '.join(self.networks)}.")
        recipes = [dataclasses.replace(preset(scale), precision=which) for which in self.precisions or (precision,)]
        if isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= 1000:
            raise UserError(f"seeds={seeds!r}: give a whole number from 1 to 1000.")
        return [
            _run(network, data or DATA[scale], recipe, seed)
            for seed in range(seeds)
            for network in self.networks[scale]
            for recipe in recipes
        ]


def _run(network, data, recipe, seed) -> Run:
    name, changes = (network, {}) if isinstance(network, str) else network
    in_recipe = {key: value for key, value in changes.items() if key != "shortcut"}
    return Run(name, data, dataclasses.replace(recipe, **in_recipe), seed, changes.get("shortcut"))


def twins(*depths: int) -> tuple[str, ...]:
    """Plain and residual networks of these depths, each pair together."""
    return tuple(f"{kind}{depth}" for depth in depths for kind in ("plain", "resnet"))


def shortcut_options(*depths: int) -> tuple:
    """The residual networks of these depths with each shortcut option, and without: the plain networks."""
    return tuple(
        network
        for depth in depths
        for network in (
            f"plain{depth}",
            f"resnet{depth}",
            (f"resnet{depth}", {"shortcut": "B"}),
            (f"resnet{depth}", {"shortcut": "C"}),
        )
    )


def without_normalization(*names: str) -> tuple:
    """These networks without BN."""
    return tuple((name, {"batch_norm": False}) for name in names)


def at_rates(*rates: float) -> tuple:
    """Plain and residual networks of 20 and 56 layers at the usual learning rate, then at each of these."""
    networks = twins(20, 56)
    return (*networks, *((name, {"learning_rate": rate}) for rate in rates for name in networks))


# Fig. 7 shows these five; twins of 20 and 56 layers train in minutes.
RESPONDING = (*twins(20, 56), "resnet110")

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="degradation",
            title="Degradation: deeper plain networks train worse",
            place="Sec. 1, Fig. 1; Sec. 4.2, Fig. 6 left and middle",
            claim="The training error of a plain network rises with its depth; with shortcuts it falls.",
            networks={
                "smoke": twins(20, 32),
                # The pair that decides comes first, so that an early stop still answers the question.
                "short": twins(20, 56, 32, 44),
                "medium": twins(20, 56),
                "paper": twins(20, 56, 32, 44),
            },
        ),
        Experiment(
            name="residual",
            title="Residual networks gain from depth",
            place="Sec. 4.2, Fig. 6 middle, Table 6",
            claim="Residual networks gain from depth up to 110 layers, and each is better than its plain twin.",
            networks={
                "smoke": twins(20, 32),
                "short": twins(20, 56, 32, 44, 110),
                "medium": twins(20, 56),
                "paper": twins(20, 56, 32, 44, 110),
            },
        ),
        Experiment(
            name="shortcuts",
            title="Shortcuts: identity or projection",
            place="Sec. 4.1, Table 3 (there for the 34 layers of ImageNet)",
            claim="Options A, B and C are all far better than none; B is slightly better than A, and C than B.",
            networks={
                "smoke": shortcut_options(20),
                "short": shortcut_options(20, 56),
                "paper": shortcut_options(20, 56, 32, 44, 110),
            },
        ),
        Experiment(
            name="depth",
            title="Depth: 110 and 1,202 layers",
            place="Sec. 4.2, Fig. 6 right, Table 6",
            claim="1,202 layers train without difficulty, and test worse than 110: they over-fit.",
            networks={
                "smoke": ("resnet20", "resnet32"),
                "short": ("resnet56", "resnet110", "resnet1202"),
                "paper": ("resnet56", "resnet110", "resnet1202"),
            },
        ),
        Experiment(
            name="responses",
            title="Layer responses",
            place="Sec. 4.2, Fig. 7",
            claim="Layers of residual networks respond less than plain ones, and less the deeper the network.",
            networks={"smoke": twins(20, 32), "short": RESPONDING, "paper": RESPONDING},
            measures=("responses",),
        ),
        Experiment(
            name="gradients",
            title="Gradients of plain networks do not vanish",
            place="Sec. 4.1, in words; the measurement goes beyond the paper",
            claim="With BN, gradients of plain networks have healthy norms: they do not explain degradation.",
            networks={
                "smoke": (*twins(20), *without_normalization(*twins(20))),
                "short": (*twins(20, 56), *without_normalization(*twins(20, 56))),
                "paper": (*twins(20, 56), *without_normalization(*twins(20, 56))),
            },
            measures=("gradients",),
        ),
        Experiment(
            name="lesion",
            title="Lesions: blocks left out or swapped",
            place="beyond the paper",
            claim="A trained residual network bears the loss of almost any block; a plain one does not.",
            networks={"smoke": twins(20), "short": twins(56, 20), "paper": twins(56, 20)},
            measures=("lesion",),
        ),
        Experiment(
            name="surface",
            title="The loss around a trained network, and how its training started",
            place="beyond the paper",
            claim="Around a trained residual network the loss is smooth; around a plain one of 56 layers it is not.",
            networks={"smoke": twins(20), "short": twins(56), "paper": twins(56)},
            measures=("surface", "start"),
        ),
        Experiment(
            name="precision",
            title="Precision: bfloat16 against float32",
            place="beyond the paper",
            claim="Convolutions and activations in bfloat16 cost no accuracy: the seed decides more.",
            networks={"smoke": twins(20), "short": twins(20), "paper": twins(20)},
            precisions=("bfloat16", "float32"),
        ),
        Experiment(
            name="rate",
            title="Learning rate and depth",
            place="beyond the paper",
            claim="In a short schedule a smaller learning rate spares deep networks the first steps: depth costs less.",
            networks={"short": at_rates(0.02, 0.05, 0.01)},
        ),
        Experiment(
            name="imagenet-depth",
            title="ImageNet: plain and residual networks of 18 and 34 layers",
            place="Sec. 4.1, Table 2, Fig. 4",
            claim="34 plain layers are worse than 18; with shortcuts they are better. At 18 the two are alike.",
            networks={"imagenet": twins(34, 18)},
            measures=("views",),
        ),
        Experiment(
            name="imagenet-shortcuts",
            title="ImageNet: shortcut options of 34 layers",
            place="Sec. 4.1, Table 3",
            claim="Options A, B and C are all far better than none; B is slightly better than A, and C than B.",
            networks={"imagenet": shortcut_options(34)},
            measures=("views",),
        ),
        Experiment(
            name="imagenet-bottleneck",
            title="ImageNet: bottleneck networks of 50, 101 and 152 layers",
            place="Sec. 4.1, Tables 3 and 4",
            claim="Each deeper network is better than the one before.",
            networks={"imagenet": ("resnet50", "resnet101", "resnet152")},
            measures=("views",),
        ),
    )
}


def experiment(name: str) -> Experiment:
    """Look an experiment up.

    Raises:
        UserError: No such experiment; lists near matches and all that there are.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    near = difflib.get_close_matches(str(name), EXPERIMENTS, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserError(f"unknown experiment {name!r}: {hint}there are {', '.join(EXPERIMENTS)}.")
