"""A trained network by name: a run's, a published one, or one of the catalogue with a file of weights."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_keras.errors import UserError, first_line
from resnet_keras.models.catalogue import architecture
from resnet_keras.store import RunFolder, Store
from resnet_keras.untrusted import refuse_bombs


@dataclass(frozen=True)
class Trained:
    """A network and what its numbers mean.

    Attributes:
        name: the run's, the published network's, or the catalogue's.
        network: takes raw pixels, gives logits.
        classes: a name for each logit; "class 17" where there is no name for it.
        folder: the files of its run; None for weights from elsewhere.
    """

    name: str
    network: Any
    classes: tuple[str, ...]
    folder: RunFolder | None = None

    @property
    def family(self) -> str:
        """Of the catalogue: "cifar", "imagenet" or "vgg"."""
        return architecture(self.network.name).family

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels it was made for, in pixels; 224 where it was made for any size."""
        height, width, channels = self.network.arguments["input_shape"]
        return (height or 224, width or 224, channels)


def find(name: str, weights: Path | None = None, classes: Path | None = None, store: Store | None = None) -> Trained:
    """Load the trained network that a person names. What can be refused is refused before Keras is loaded.

    Args:
        name: A run's or a published network's, or with `weights` a network of the catalogue.
        weights: A file: `.keras` of this package, or what `resnet_keras.models.weights.load` reads.
        classes: A text file with the name of a class on each line, in the order of the logits.
        store: Default: the default results folder.

    Raises:
        UserError: There is no such network or file, or they do not fit one another.
    """
    store = store or Store()
    names = _names(classes) if classes else None
    folder = None if weights else _folder(name, store)
    if weights:
        _check_file(name, Path(weights))
    elif not folder.network_file.is_file():
        folder.load_network()  # refuses, and says what to do
    from resnet_keras.quiet import load_keras

    load_keras()
    network = _from_file(name, Path(weights)) if weights else folder.load_network()
    _refuse_headless(network)
    logits = network.arguments["classes"]
    given = names or (folder.classes if folder else None) or tuple(f"class {number}" for number in range(logits))
    if len(given) != logits:
        raise UserError(
            f"{classes or name} names {len(given)} classes, {network.name} has {logits} logits: one a line."
        )
    return Trained(name, network, given, folder)


def _folder(name: str, store: Store) -> RunFolder:
    try:
        return store.find(name)
    except UserError:
        if _in_catalogue(name):
            raise UserError(
                f"{name} alone is an untrained network: add --weights FILE, or name a run or a published network "
                f"({_some(store)})."
            ) from None
        near = difflib.get_close_matches(name, [f.name for f in [*store.models(), *store.runs()]], n=2, cutoff=0.6)
        if near and name not in near:  # else it is there, and cannot be read
            raise UserError(f"no run or published network {name!r}: did you mean {' or '.join(near)}?") from None
        raise


def _in_catalogue(name: str) -> bool:
    try:
        return bool(architecture(name))
    except UserError:
        return False


def _some(store: Store) -> str:
    published = [folder.name for folder in store.models()]
    return ", ".join(published[:3]) or "`resnet-keras list` prints them"


def _check_file(name: str, weights: Path) -> None:
    architecture(name)  # refuses what is no network's name, such as a run's
    if not weights.is_file():
        raise UserError(f"there is no file {weights}: give --weights the path of a .safetensors, .keras or .h5 file.")


def _from_file(name: str, path: Path):
    """The network in a `.keras` file of this package, or made of a peer's weights."""
    from resnet_keras.models import weights

    if path.suffix != ".keras":
        return weights.load(path, name)
    import keras

    try:
        refuse_bombs(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(f"{path.name} cannot be read ({first_line(error)}): is it a whole .keras file?") from error
    if not hasattr(model, "parts"):
        return weights.load(model, name)
    if model.name != name:
        raise UserError(f"{path.name} holds {model.name}, not {name}: give its own name.")
    return model


def _refuse_headless(network) -> None:
    if not network.arguments["include_top"]:
        raise UserError(f"these weights of {network.name} have no classifier: give those of the whole network.")


def _names(path: Path) -> tuple[str, ...]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(
            f"{path} cannot be read ({reason}): give a text file with a class's name on each line."
        ) from None
    return tuple(line.strip() for line in lines if line.strip())
