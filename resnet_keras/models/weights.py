"""Exchange of weights with keras.applications and torchvision, both ways, from models in memory and from files.

    network = load("resnet50.safetensors")                     # a torchvision state dict: takes raw RGB pixels
    network = load(keras.applications.VGG16())
    save(network, "resnet50.safetensors", "torchvision")

Files are ``.safetensors`` (either layout) and Keras' ``.keras`` and ``.h5``; a pickle is never opened.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np

from resnet_keras.errors import UserError, first_line
from resnet_keras.files import write_atomically
from resnet_keras.models.catalogue import assemble, build
from resnet_keras.models.layouts import INPUTS, LAYOUTS, Inputs, Layout

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".tar")


class WeightsDoNotFit(UserError):
    """Weights are of another network.

    Attributes:
        tensors: A line for every tensor that does not fit: missing, of another shape, or unknown to the network.
    """

    def __init__(self, message: str, tensors: list[str]):
        """`message` is for people; it names the first three of `tensors`."""
        super().__init__(message)
        self.tensors = tensors


def load(source, name: str | None = None, *, layout: str | None = None, inputs: str | None = None, **options):
    """Build the network that some weights belong to, and give it these weights.

    Stride, pool padding, batch normalization and the number of classes are the peer's, and its preprocessing is taken
    into the weights: the network takes raw RGB pixels in 0..255, as every network of this package.

    Args:
        source: A Keras or PyTorch model, a state dict or any dictionary of arrays by name, or the path of a
            ``.safetensors``, ``.keras`` or ``.h5`` file.
        name: The network; default: the one whose tensors these are.
        layout: ``"keras.applications"`` or ``"torchvision"``; default: the one whose names these are.
        inputs: What the weights were trained to take; see `save`. Default: what the layout's own do.
        **options: Of `resnet_keras.build`, such as `input_shape`, `dtype`, `features` or ``include_top=False``.

    Returns:
        A built network: `network(pictures)` gives logits, where the peer may end with a softmax.

    Raises:
        WeightsDoNotFit: A tensor is missing, of another shape, or unknown.
        UserError: The file cannot be read, is a pickle, or belongs to no network.
    """
    tensors = read(source)
    name, chosen = recognized(tensors, name, layout)
    peers = variant(chosen, name, tensors, source)
    if options.get("features"):
        del peers["include_top"]
    network = build(name, **{**peers, **options})
    load_into(network, tensors, layout=chosen.name, inputs=inputs)
    return network


def load_into(network, source, *, layout: str | None = None, inputs: str | None = None) -> None:
    """Give a network weights of a peer, and its mean; see `load`. All tensors are checked before the first is set.

    A network without its top, or ending with a feature map, takes from the whole network's weights what it has.

    Raises:
        WeightsDoNotFit: A tensor is missing, of another shape, or unknown; the network is as it was.
        UserError: The network is built otherwise than the peer's; the network is as it was.
    """
    tensors = read(source)
    _, chosen = recognized(tensors, network.name, layout)
    _refuse_other_variants(network, chosen)
    tensors = {key: value for key, value in tensors.items() if key not in chosen.extras(network)}
    _refuse_unfit(network, chosen, tensors)
    convention = _inputs(inputs or chosen.inputs)
    own = chosen.to_own(tensors, network, convention)
    for variable in network.variables:
        place = variable.path.split("/", 1)[1]
        if place in own:
            variable.assign(own[place].astype("float32"))
    if convention:
        network.set_mean(convention.mean)


def save(network, target, layout: str | None = None, *, inputs: str | None = None) -> None:
    """Write a network's weights as a peer would have them.

    Args:
        network: A network that the peer has too: built with the same stride, padding, shortcuts and BN.
        target: A Keras or PyTorch model to fill, or the path of a ``.safetensors``, ``.keras`` or ``.h5`` file
            to write.
        layout: ``"keras.applications"`` or ``"torchvision"``; default: that of a model given, keras.applications for
            ``.keras`` and ``.h5``.
        inputs: What the peer will be fed with: ``"caffe"`` (BGR minus the ImageNet mean, as keras.applications
            preprocesses), ``"torch"`` (0..1, then mean and standard deviation, as torchvision does) or ``"centred"``:
            RGB pixels minus `network.mean.mean`, whatever that is. Default: what the layout's own networks take.

    Raises:
        WeightsDoNotFit: The model given is another; it is as it was.
        UserError: The peer has no such network, or its preprocessing subtracts another mean than the network.
    """
    chosen = _layout_for(target, layout)
    tensors = export(network, chosen.name, inputs=inputs)
    if hasattr(target, "load_state_dict"):
        _fill_torch(target, tensors)
    elif hasattr(target, "layers"):
        _fill_keras(target, tensors)
    else:
        _write(Path(target), tensors, network)


def export(network, layout: str, *, inputs: str | None = None) -> dict[str, np.ndarray]:
    """A network's weights as the peer names and orders them, float32; see `save`."""
    chosen = _layout(layout)
    _refuse_other_variants(network, chosen)
    convention = _inputs(inputs or chosen.inputs)
    _refuse_other_means(network, convention, chosen)
    own = {v.path.split("/", 1)[1]: _array(v) for v in network.variables}
    return chosen.to_peer(own, network, convention)


# ---- What weights belong to -------------------------------------------------------------------------------------


def recognized(tensors: dict, name: str | None, layout: str | None) -> tuple[str, Layout]:
    """The network and layout that share most names with these tensors, among those allowed.

    Raises:
        UserError: None shares any, or the layout has no such network.
    """
    layouts = [_layout(layout)] if layout else list(LAYOUTS.values())
    if name and not any(name in candidate.networks for candidate in layouts):
        raise UserError(f"{' and '.join(c.name for c in layouts)} have no {name}: {_those_of(layouts)}.")
    best, most = None, 0
    for candidate in layouts:
        for known in [name] if name else candidate.networks:
            if known in candidate.networks:
                options = variant(candidate, known, tensors)
                wanted = _names(candidate.name, known, options["include_top"], options["batch_norm"])
                shared = len(wanted & set(tensors)) - len(wanted - set(tensors)) / (1 + len(wanted))
                if shared > most:
                    best, most = (known, candidate), shared
    if best is None:
        some = ", ".join(list(tensors)[:3]) or "nothing"
        raise UserError(f"these weights ({some} ...) are of no network known here: {_those_of(layouts)}.")
    return best


@functools.cache
def _names(layout: str, name: str, include_top: bool, batch_norm: bool) -> frozenset[str]:
    options = {**LAYOUTS[layout].networks[name], "include_top": include_top, "batch_norm": batch_norm}
    return frozenset(LAYOUTS[layout].names(assemble(name, **options)))


def variant(layout: Layout, name: str, tensors: dict, source=None) -> dict:
    """The options that build the peer's network: stride and padding, and what only the tensors can tell."""
    options = dict(layout.networks[name])
    if name.startswith("vgg") and "batch_norm" not in options:
        options["batch_norm"] = any(key.startswith("features") and "running_mean" in key for key in tensors)
    last = "fc8" if name.startswith("vgg") else "fc"
    bias = tensors.get(f"{layout.layer_name(None, last)}{layout.separator}bias")
    options["include_top"] = bias is not None
    if bias is not None:
        options["classes"] = len(bias)
    if name.startswith("vgg") and options["include_top"]:
        options["input_shape"] = _vgg_shape(layout, tensors, source)
    return options


def _vgg_shape(layout: Layout, tensors: dict, source) -> tuple[int, int, int]:
    """The picture size that VGG's first fully-connected layer was made for: the model's, else a square."""
    given = getattr(source, "input_shape", None)
    if isinstance(given, tuple) and None not in given[1:]:
        return given[1:]
    kernel = tensors.get(f"{layout.layer_name(None, 'fc6')}{layout.separator}{layout.tensors['fc']['kernel']}")
    if kernel is None or kernel.ndim != 2:
        return (224, 224, 3)
    pixels = kernel.shape[1 if layout.torch_axes else 0] // 512
    side = 32 * round(pixels**0.5)
    return (side, side, 3) if side else (224, 224, 3)


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        raise UserError(f"unknown layout {name!r}: use one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def _layout_for(target, layout: str | None) -> Layout:
    if layout:
        return _layout(layout)
    if hasattr(target, "load_state_dict"):
        return LAYOUTS["torchvision"]
    if hasattr(target, "layers") or str(target).endswith((".keras", ".h5")):
        return LAYOUTS["keras.applications"]
    raise UserError(f"{target} could be of any layout: add layout=, one of {', '.join(LAYOUTS)}.")


def _inputs(name: str) -> Inputs | None:
    if name == "centred":
        return None
    if name not in INPUTS:
        raise UserError(f"unknown inputs {name!r}: use one of {', '.join(INPUTS)}, centred.")
    return INPUTS[name]


def _those_of(layouts: list[Layout]) -> str:
    return "; ".join(f"{layout.name} has {', '.join(layout.networks)}" for layout in layouts)


# ---- What does not fit ------------------------------------------------------------------------------------------


def _refuse_other_variants(network, layout: Layout) -> None:
    if network.name not in layout.networks:
        raise UserError(f"{layout.name} has no {network.name}: {_those_of([layout])}.")
    for option, value in layout.networks[network.name].items():
        built = network.arguments.get(option, value)
        if built != value:
            raise UserError(
                f"{layout.name}'s {network.name} has {option}={value!r}, this one {option}={built!r}: "
                f"build it with {option}={value!r}."
            )


def _refuse_other_means(network, convention: Inputs | None, layout: Layout) -> None:
    if convention is None:
        return
    mean = _array(network.mean.mean)
    if not np.allclose(mean, convention.mean, atol=0.01):
        raise UserError(
            f"{network.name} subtracts the mean {np.round(mean, 3).tolist()}, {layout.name}'s preprocessing "
            f"{np.round(convention.mean, 3).tolist()}: write it with inputs='centred' and feed the peer RGB pixels "
            "minus this network's mean."
        )


def _refuse_unfit(network, layout: Layout, tensors: dict) -> None:
    wanted, whole = layout.shapes(network), _whole(network)
    left_off = set() if whole is network else {*layout.names(whole), *layout.extras(whole)} - set(wanted)
    given = {name: value.shape for name, value in tensors.items() if name not in left_off}
    _refuse_differences(wanted, given, network.name)


def _refuse_differences(wanted: dict[str, tuple], given: dict[str, tuple], name: str) -> None:
    """Compare shapes by name, and name what differs.

    Raises:
        WeightsDoNotFit: Anything does.
    """
    lines = []
    for key, shape in wanted.items():
        if key not in given:
            lines.append(f"{key} is missing")
        elif tuple(given[key]) != tuple(shape):
            lines.append(f"{key} is {tuple(given[key])} where {name} has {tuple(shape)}")
    lines += [f"{key} is unknown to {name}" for key in given if key not in wanted]
    if lines:
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise WeightsDoNotFit(f"these weights do not fit {name}: {'; '.join(lines[:3])}{more}.", lines)


def _shapes(tensors: dict) -> dict[str, tuple]:
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _whole(network):
    """The network with its top, for a backbone; the network itself where nothing is left off."""
    given = network.arguments
    if given["include_top"]:
        return network
    kept = {k: v for k, v in given.items() if k not in ("include_top", "pooling", "features")}
    return assemble(network.name, **{**kept, "input_shape": _closed(given["input_shape"])})


def _closed(shape) -> tuple:
    return tuple(side or 224 for side in shape)


# ---- Reading ----------------------------------------------------------------------------------------------------


def read(source) -> dict[str, np.ndarray]:
    """Weights by the peer's names, from a model, a dictionary or a file; see `load`.

    Raises:
        UserError: The file is missing, broken, a pickle, or of another kind.
    """
    if isinstance(source, dict):
        return {name: _array(value) for name, value in source.items()}
    if hasattr(source, "state_dict"):
        return read(dict(source.state_dict()))
    if hasattr(source, "layers"):
        return _read_keras_model(source)
    path = Path(source)
    if path.suffix in PICKLES:
        raise UserError(
            f"{path.name} may be a pickle, which can run code when it is opened: where it comes from, in PyTorch, "
            "write safetensors.torch.save_file(model.state_dict(), 'weights.safetensors') and give that file."
        )
    if path.suffix not in READERS:
        raise UserError(f"{path.name}: give a file ending in {', '.join(READERS)}.")
    if not path.is_file():
        raise UserError(f"there is no file {path}: give the path of a {', '.join(READERS)} file.")
    try:
        return READERS[path.suffix](path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path.name} cannot be read ({first_line(error)}): is it complete?") from error


def _array(value) -> np.ndarray:
    """An array of NumPy, PyTorch or Keras, as NumPy; low precision as float32, which NumPy knows."""
    if hasattr(value, "detach"):  # a PyTorch tensor
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        return value.numpy()
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "fiu" else value.astype("float32")
    import keras

    return keras.ops.convert_to_numpy(value)


def _read_keras_model(model) -> dict[str, np.ndarray]:
    if hasattr(model, "parts"):
        raise UserError(f"{model.name} is a network of this package already: there is nothing to convert.")
    return {name: _array(variable) for name, variable in _keras_variables(model).items()}


def _keras_variables(model) -> dict:
    return {f"{layer.name}/{variable.name}": variable for layer in model.layers for variable in layer.weights}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return {name: _array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)


def _read_keras(path: Path) -> dict[str, np.ndarray]:
    import keras

    return _read_keras_model(keras.saving.load_model(path, compile=False, safe_mode=True))


# Variables of a layer in Keras' order, by their number: files of different ages name them differently.
IN_ORDER = {1: ("kernel",), 2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    """Either kind of Keras' HDF5 files: by layer's name (whole models and older weights), or a ``.weights.h5``."""
    import h5py

    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        layers = _old_layers(group) if "layer_names" in group.attrs else _new_layers(file)
    return {
        f"{layer}/{name}": value
        for layer, values in layers
        for name, value in zip(IN_ORDER.get(len(values), map(str, range(len(values)))), values, strict=True)
    }


def _old_layers(group) -> list[tuple[str, list[np.ndarray]]]:
    found = []
    for name in map(_text, group.attrs["layer_names"]):
        found.append((name, [group[name][_text(tensor)][()] for tensor in group[name].attrs["weight_names"]]))
    return found


def _new_layers(file) -> list[tuple[str, list[np.ndarray]]]:
    found = []
    for key, layer in file["layers"].items():
        values = [layer["vars"][number][()] for number in sorted(layer["vars"], key=int)]
        if values:
            found.append((_text(layer["vars"].attrs.get("name", key)), values))
    return found


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


READERS = {".safetensors": _read_safetensors, ".keras": _read_keras, ".h5": _read_h5}


# ---- Writing ----------------------------------------------------------------------------------------------------


def _fill_torch(model, tensors: dict[str, np.ndarray]) -> None:
    import torch

    _refuse_differences(_shapes(model.state_dict()), _shapes(tensors), "the model given")
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})


def _fill_keras(model, tensors: dict[str, np.ndarray]) -> None:
    variables = _keras_variables(model)
    _refuse_differences(_shapes(variables), _shapes(tensors), "the model given")
    for name, variable in variables.items():
        variable.assign(tensors[name])


def _write(path: Path, tensors: dict[str, np.ndarray], network) -> None:
    if path.suffix == ".safetensors":
        from safetensors.numpy import save as as_bytes

        write_atomically(path, as_bytes({name: np.ascontiguousarray(value) for name, value in tensors.items()}))
    elif path.suffix in (".keras", ".h5"):
        _write_keras(path, tensors, network)
    else:
        raise UserError(f"{path.name}: give a file ending in .safetensors, .keras, .h5 or .weights.h5.")


def _write_keras(path: Path, tensors: dict[str, np.ndarray], network) -> None:
    """A model of keras.applications in a file: whole, or its weights alone for ``.weights.h5``."""
    peer = keras_peer(network)
    _fill_keras(peer, tensors)
    ending = ".weights.h5" if path.name.endswith(".weights.h5") else path.suffix
    part = path.with_name(f".{path.name}-{os.getpid()}.tmp{ending}")
    try:
        (peer.save_weights if ending == ".weights.h5" else peer.save)(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def keras_peer(network, **options):
    """The model of keras.applications that has this network's weights, without them."""
    import keras

    classes = {"resnet50": "ResNet50", "resnet101": "ResNet101", "resnet152": "ResNet152"}
    classes |= {"vgg16": "VGG16", "vgg19": "VGG19"}
    given = network.arguments
    if given["features"]:
        raise UserError("a network that ends with a feature map has no peer: build it without features.")
    return getattr(keras.applications, classes[network.name])(
        weights=None,
        include_top=given["include_top"],
        input_shape=tuple(given["input_shape"]),
        classes=given["classes"],
        **options,
    )
