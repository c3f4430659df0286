"""A run: everything that decides a training's result, and the name made of it."""

import dataclasses
import hashlib
import json

from resnet_keras.data import Identity
from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import architecture, resolve_shortcut
from resnet_keras.training.recipe import Recipe, scale_of

# Raised by one whenever a change to the code changes results: older runs then no longer count as these.
PROTOCOL = 1
REMEDY = "copy the run again, or repeat it with --force"
FORMER = {"micro_batch": 0, "plateau": 0}  # fields that recipes once had, at the value that changed nothing


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        network: A name of the catalogue.
        data: A data set's name, as `resnet_keras.data.identify` takes it.
        recipe: How to train.
        seed: Of the initial weights, the order of the images, and their crops and flips.
        shortcut: Option; None for the paper's own.
    """

    network: str
    data: str
    recipe: Recipe
    seed: int = 0
    shortcut: str | None = None

    def __post_init__(self):
        """Refuse what does not exist, with a UserError that names the field and what is allowed."""
        object.__setattr__(self, "shortcut", resolve_shortcut(self.network, self.shortcut))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise UserError(f"seed={self.seed!r}: give a whole number from 0 to {2**32 - 1}.")

    @property
    def depth(self) -> int:
        """The network's depth."""
        return architecture(self.network).depth

    @property
    def title(self) -> str:
        """What tells it from the other runs of an experiment, for people: "resnet56 option B seed 1"."""
        option = "" if self.shortcut == architecture(self.network).shortcut else f" option {self.shortcut}"
        option += "" if self.recipe.batch_norm else " without BN"
        return self.network + option + (f" seed {self.seed}" if self.seed else "")

    def config(self, identity) -> dict:
        """What `config.json` holds; `identity` is the data set's.

        Scale, title and source are for readers; the rest decides the result and makes the run's name.
        """
        return {
            "protocol": PROTOCOL, "network": self.network, "shortcut": self.shortcut, "data": identity.name,
            "data_version": identity.version, "data_title": identity.title,
            **({"source": identity.source} if identity.source else {}), "seed": self.seed,
            "scale": scale_of(self.recipe), "recipe": {**vars(self.recipe), "drops": list(self.recipe.drops)},
        }  # fmt: skip

    def name(self, identity) -> str:
        """`{data}-{network}[-B|-C][-nobn]-s{seed}-{8 hexadecimal digits of the hash of what decides}`."""
        config = self.config(identity)
        deciding = {key: value for key, value in config.items() if key not in ("scale", "data_title", "source")}
        deciding["recipe"] = self.recipe.deciding()
        digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]
        net = architecture(self.network)
        option = "" if self.shortcut == net.shortcut else f"-{self.shortcut}"
        option += "" if self.recipe.batch_norm else "-nobn"
        return f"{identity.name}-{net.name}{option}-s{self.seed}-{digest}"


def described(folder) -> Run:
    """The run that a `RunFolder`'s configuration describes, whose name is to be the folder's.

    Raises UserError if the configuration is missing, damaged, of other code, or that of another run.
    """
    config = folder.config
    try:
        if config.get("protocol") != PROTOCOL:
            raise UserError(f"protocol {config.get('protocol')!r}, here {PROTOCOL}")
        if not isinstance(config["recipe"], dict):
            raise UserError("its recipe is none")
        recipe = {name: value for name, value in config["recipe"].items() if (name, value) not in FORMER.items()}
        run = Run(config["network"], config["data"], Recipe(**recipe), config["seed"], config["shortcut"])
        name = run.name(Identity(config["data"], config["data_version"], config["data_title"]))
    except (UserError, KeyError, TypeError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{folder.name}: config.json is damaged or of other code ({problem}): {REMEDY}.") from None
    if name != folder.name:
        raise UserError(f"{folder.name}: config.json is that of {name}: {REMEDY}.")
    return run


def is_done(folder) -> bool:
    """Whether nothing is left to train in a run's folder, which need not exist yet; raises UserError as `described`."""
    if folder.config:
        described(folder)
    return folder.done
