"""Networks from files: our own, and weights of keras.applications and torchvision. No pickle is ever opened."""

import re
from pathlib import Path

import numpy as np

from resnet_keras.errors import UserError, first_line
from resnet_keras.models.catalogue import FAMILIES, architecture, build
from resnet_keras.quiet import load_keras

WEIGHTS = ("/kernel", "/bias", "/gamma", "/beta", "/moving_mean", "/moving_variance")
WEIGHT_ENDINGS = (".keras", ".safetensors", ".h5", ".hdf5")
# The networks of each library and the options of `build` that make them.
BOTH = {"shortcut": "B", "pool_padding": "both"}
KERAS = {f"resnet{depth}": {**BOTH, "stride_in": "1x1"} for depth in (50, 101, 152)} | {"vgg16": {}, "vgg19": {}}
TORCH = {"resnet18": BOTH, "resnet34": BOTH}
TORCH |= {name: {**options, "stride_in": "3x3"} if options else {} for name, options in KERAS.items()}
# What their first convolution takes: (pixels - mean) / scale, in the order blue, green, red in keras.applications.
KERAS_MEAN = np.array([123.68, 116.779, 103.939])
KERAS_EPSILON = 1.001e-5 - 1e-5  # of its BN, above ours
TORCH_MEAN, TORCH_SCALE = 255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])
# What DataParallel, Lightning or torch.compile put before torchvision's names: "module.", "model.", "_orig_mod.".
TORCH_PREFIX = r"^(\w+\.)*?(?=(conv1|bn1|layer[1-4]|fc|features|classifier)\.)"
# Patterns in their names of tensors, and what our places have there.
KERAS_PATTERNS = [
    (r"^conv1_(conv|bn)/", r"\g<1>1/"), (r"^block(\d)_conv(\d)/", r"conv\1_\2/"),
    (r"^conv(\d)_block(\d+)_0_(conv|bn)/", r"stage\1_block\2/shortcut_\3/"),
    (r"^conv(\d)_block(\d+)_(\d)_(conv|bn)/", r"stage\1_block\2/\4\3/"),
    (r"^fc1/", "fc6/"), (r"^fc2/", "fc7/"), (r"^predictions/", "fc/"),
]  # fmt: skip
TORCH_PATTERNS = [
    (r"^layer(\d)\.(\d+)\.", lambda match: f"stage{int(match[1]) + 1}_block{int(match[2]) + 1}/"),
    (r"downsample\.0", "shortcut_conv"), (r"downsample\.1", "shortcut_bn"),
    (r"^classifier\.0", "fc6"), (r"^classifier\.3", "fc7"), (r"^classifier\.6", "fc"),
    (r"(bn[\d_]*)\.weight$", r"\1/gamma"), (r"(bn[\d_]*)\.bias$", r"\1/beta"),
    (r"\.running_mean$", "/moving_mean"), (r"\.running_var$", "/moving_variance"),
    (r"\.weight$", "/kernel"), (r"\.bias$", "/bias"),
]  # fmt: skip


def load(path, name: str | None = None, **options):
    """A network with the weights in a file, ready to be called on raw RGB pixels in 0..255; it gives logits.

    `path` is a ``.keras`` file of this package; or weights of the catalogue's network `name`: of keras.applications
    (``.keras``, ``.h5``, ``.hdf5``), torchvision (a state dict in ``.safetensors``) or this package's `save_weights`
    (``.weights.h5``), or a dictionary of arrays by the names that these have. `options` are of `resnet_keras.build`,
    such as `input_shape`, `dtype`, `features` or ``include_top=False``; a library's stride, padding, preprocessing and
    number of classes are known. Raises a UserError where the file cannot be read, is a pickle, or does not fit.
    """
    net = name and architecture(name)
    file = "the dictionary" if isinstance(path, dict) else Path(path).name
    tensors = path if isinstance(path, dict) else _open(Path(path), name, options)
    if not isinstance(tensors, dict):  # a network of this package
        if name not in (None, tensors.name):
            raise UserError(f"{file} holds {tensors.name}, not {name}: give its own name.")
        return tensors
    if net is None:
        raise UserError(f"{file} does not say which network it is of: add its name, such as 'resnet50'.")
    tensors = {re.sub(TORCH_PREFIX, "", key, count=1): np.asarray(value) for key, value in tensors.items()}
    torch = any(key.endswith((".weight", ".running_mean")) for key in tensors)
    library, networks = ("torchvision", TORCH) if torch else ("keras.applications", KERAS)
    if name not in networks:
        raise UserError(f"{library} has no {name}: it has {', '.join(networks)}.")
    try:
        values = _ours(tensors, net, torch)
        options = {**networks[name], **_read_off(net, values), **options}
    except (ValueError, TypeError, IndexError) as error:  # of tensors with fewer axes or other sizes
        raise UserError(f"{file} does not fit {name}: {first_line(error)}.") from error
    network = build(name, **options)
    _assign(network, values, file)
    network.set_mean(TORCH_MEAN if torch else KERAS_MEAN)
    return network


def _ours(tensors: dict, net, torch: bool) -> dict[str, np.ndarray]:
    """A library's tensors by our variables' paths below the network's name, its conventions taken into the numbers."""
    patterns = TORCH_PATTERNS if torch else KERAS_PATTERNS
    if net.family == "vgg":
        kinds = ("conv", "bn", "relu") if any("running_mean" in key for key in tensors) else ("conv", "relu")
        stages = net.layout().values()  # torchvision numbers the layers of all stages in a row
        row = [name for stage in stages for name in [*(f"{k}{place}" for place, *_ in stage for k in kinds), "pool"]]
        rows = [(rf"^features\.{number}\.", f"{name}.") for number, name in enumerate(row)]
        patterns = [*rows, *patterns, (r"^fc/", "fc8/")]
    values = {}
    for key, value in tensors.items():
        for pattern, place in patterns:
            key = re.sub(pattern, place, key)
        if torch and value.ndim > 1:
            value = value.transpose((2, 3, 1, 0) if value.ndim == 4 else (1, 0))
        # Vectors in double precision: statistics are shifted by less than float32 can tell.
        values[key] = value.astype("float64") if value.ndim == 1 else value
    for key, value in list(values.items()):
        mean = key.replace("conv", "bn").replace("/bias", "/moving_mean")
        if key.endswith("/bias") and np.shape(values.get(mean)) == value.shape != ():
            values[mean] = values[mean] - values.pop(key)  # our convolutions have no bias where BN follows
        elif key.endswith("/moving_variance") and not torch:
            values[key] = value + KERAS_EPSILON
        elif key in ("conv1/kernel", "conv1_1/kernel"):
            values[key] = value / TORCH_SCALE[:, None] if torch else value[:, :, ::-1]
        elif key == "fc6/kernel" and torch:  # of maps flattened as [c, h, w]
            maps = value.reshape(FAMILIES["vgg"].filters[-1], -1, value.shape[1])
            values[key] = maps.swapaxes(0, 1).reshape(value.shape)
    return values


def _read_off(net, values: dict) -> dict:
    """The options of `build` that tensors tell of: classes, BN and, of VGG's fully-connected layers, the image size."""
    bias = values.get("fc8/bias" if net.family == "vgg" else "fc/bias")
    options = {"include_top": False} if bias is None else {"classes": len(bias)}
    if net.family == "vgg":
        options["batch_norm"] = any(key.endswith("/moving_mean") for key in values)
        if "fc6/kernel" in values:  # made for the square maps of one image size
            side = 32 * max(1, round((len(values["fc6/kernel"]) / FAMILIES["vgg"].filters[-1]) ** 0.5))
            options["input_shape"] = (side, side, 3)
    return options


def _assign(network, values: dict, file: str) -> None:
    """Set every variable but the mean and dropout's; all are checked before the first is set."""
    variables = {v.path.split("/", 1)[1]: v for v in network.variables if v.path.endswith(WEIGHTS)}
    problems = [f"{place} is missing" for place in variables if place not in values]
    stages = tuple({re.split("[_/]", place)[0] for place in variables})
    for place, value in values.items():
        if place in variables:
            shape = tuple(variables[place].shape)
            problems += [] if value.shape == shape else [f"{place} is {value.shape}, not {shape}"]
        # A network without its top, or that ends with an earlier stage, takes what it has.
        elif network.arguments["include_top"] or place.startswith(stages):
            problems += [] if place.endswith("num_batches_tracked") else [f"{place} is unknown"]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{file} does not fit {network.name}: {'; '.join(problems[:3])}{more}.")
    for place, variable in variables.items():
        variable.assign(values[place].astype("float32"))


def _open(path: Path, name: str | None, options: dict):
    """What a file holds: tensors by name or, where it is of this package, a network."""
    ending = path.suffix.lower()
    if ending not in WEIGHT_ENDINGS:
        instead = "where it comes from, write safetensors.torch.save_file(model.state_dict(), 'a.safetensors')."
        why = f"A pickle (.pt, .pth, .bin) can run code when it is opened: {instead}"
        raise UserError(f"{path.name}: give a file ending in {', '.join(WEIGHT_ENDINGS)}. {why}")
    if not path.is_file():
        raise UserError(f"there is no file {path}: give the path of a {', '.join(WEIGHT_ENDINGS)} file.")
    load_keras()
    try:
        if ending == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        if ending != ".keras":
            return _saved(path, name, options) or _read_h5(path)
        import keras

        from resnet_keras.models.resnet import Network  # registers networks of every kind with Keras

        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if isinstance(model, Network):
            return model
        weights = ((f"{layer.name}/{variable.name}", variable) for layer in model.layers for variable in layer.weights)
        return {place: keras.ops.convert_to_numpy(variable) for place, variable in weights}
    except Exception as error:  # the libraries raise many kinds for files that are damaged or not theirs
        raise UserError(f"{path.name} cannot be read ({first_line(error)}): is it complete?") from error


def _saved(path: Path, name: str | None, options: dict):
    """The network whose `save_weights` made this file; None where that was no network of this package."""
    import h5py

    with h5py.File(path) as file:
        layers = {key: layer["vars"] for key, layer in file.get("layers", {}).items()}
        if name is None or "mean_subtraction" not in layers:
            return None
        mean, net = layers["mean_subtraction"]["0"].shape, architecture(name)
        values = {}
        if dense := [layers[key] for key in sorted(layers) if key.startswith("dense")]:  # of VGG the first is fc6
            values = {"fc6/kernel": dense[0]["0"], ("fc8/bias" if net.family == "vgg" else "fc/bias"): dense[-1]["1"]}
        stored = {"input_shape": mean} if len(mean) == 3 else {}
        stored |= {**_read_off(net, values), "batch_norm": "batch_normalization" in layers}
    network = build(name, **{**stored, **options})
    network.load_weights(path)
    return network


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    """Tensors of Keras' HDF5 files: of a network or its weights, by layer's name (old ones) or a ``.weights.h5``."""
    import h5py

    def text(value):
        return value.decode() if isinstance(value, bytes) else str(value)

    # Variables of a layer in Keras' order, by their number: files of different ages name them differently.
    in_order = {1: ("kernel",), 2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}
    layers, tensors = {}, {}
    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        for layer in map(text, group.attrs.get("layer_names", ())):
            layers[layer] = [group[layer][text(weight)] for weight in group[layer].attrs["weight_names"]]
        for key, layer in file.get("layers", {}).items():
            values = layer["vars"]
            layers[text(values.attrs.get("name", key))] = [values[number] for number in sorted(values, key=int)]
        for layer, values in layers.items():
            for variable, stored in zip(in_order.get(len(values), range(len(values))), values, strict=True):
                dtype = stored.attrs.get("dtype", stored.dtype)  # bfloat16 is stored as bytes
                tensors[f"{layer}/{variable}"] = np.array(stored, dtype=dtype)
    return tensors
