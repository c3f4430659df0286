"""Every named network of the paper, in one table, and `build`, the one door to all of them."""

import difflib
import re
from typing import NamedTuple

from resnet_keras.errors import UserError
from resnet_keras.quiet import load_keras

SHORTCUTS = ("A", "B", "C", "none")
# Sec. 4.2: depth 6n+2 with n = 3, 5, 7, 9, 18, 200. Plain networks stop at 110, as the paper's do.
CIFAR_DEPTHS = {"plain": (20, 32, 44, 56, 110), "resnet": (20, 32, 44, 56, 110, 1202)}
# Table 1, and [41] (configurations D and E): name -> kind of block, blocks in each stage, the paper's shortcut option.
TABLE = {
    "plain18": ("basic", (2, 2, 2, 2), "none"),
    "plain34": ("basic", (3, 4, 6, 3), "none"),
    "resnet18": ("basic", (2, 2, 2, 2), "A"),
    "resnet34": ("basic", (3, 4, 6, 3), "A"),
    "resnet50": ("bottleneck", (3, 4, 6, 3), "B"),
    "resnet101": ("bottleneck", (3, 4, 23, 3), "B"),
    "resnet152": ("bottleneck", (3, 8, 36, 3), "B"),
    "vgg16": ("conv", (2, 2, 3, 3, 3), "none"),
    "vgg19": ("conv", (2, 2, 4, 4, 4), "none"),
}


class Family(NamedTuple):
    """What networks share."""

    input_shape: tuple[int, int, int]  # default
    classes: int  # default
    smallest: int  # side of an image in pixels; with fewer, a last map would have no pixel of its own
    filters: tuple[int, ...]  # of the 3x3 convolutions of each stage
    first: int  # number of the first of these stages
    stage: str  # its name, by its number
    block: str  # a block's name, by its stage's number and its own; of VGG a place such as ``3_1``
    stem: tuple[int, int, int] | None  # filters, kernel size and stride of conv1


FAMILIES = {
    "cifar": Family((32, 32, 3), 10, 4, (16, 32, 64), 1, "stage{}", "stage{}_block{}", (16, 3, 1)),
    "imagenet": Family((224, 224, 3), 1000, 16, (64, 128, 256, 512), 2, "conv{}", "stage{}_block{}", (64, 7, 2)),
    "vgg": Family((224, 224, 3), 1000, 32, (64, 128, 256, 512, 512), 1, "conv{}", "{}_{}", None),
}
VGG_WIDTH = 4096  # of the two fully-connected layers before the logits


class Architecture(NamedTuple):
    """A column of the paper's Table 1, a depth of its Section 4.2, or a VGG network."""

    name: str
    family: str  # "cifar" (Sec. 4.2), "imagenet" (Table 1) or "vgg" ([41] of the paper)
    depth: int  # weighted layers, as the paper counts them (projections excluded)
    block: str  # "basic" (two 3x3), "bottleneck" (1x1, 3x3, 1x1), Fig. 5, or "conv" (a single 3x3)
    blocks: tuple[int, ...]  # in each stage
    shortcut: str  # the option that the paper uses for this network; "none" in a plain network

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages in order: conv1 and conv2 .. conv5 as in Table 1; on CIFAR conv1 and stage1 .. stage3."""
        return (*(["conv1"] if FAMILIES[self.family].stem else []), *self.layout())

    def stages_up_to(self, features) -> tuple[str, ...]:
        """All stages or, for maps of some of them, those up to the deepest."""
        return self.stages[: 1 + max(map(self.stages.index, features))] if features else self.stages

    def layout(self) -> dict[str, list[tuple[str, int, int]]]:
        """Stage -> (name, filters, stride) of each block; every stage but the first halves the map (Sec. 3.3)."""
        family, layout = FAMILIES[self.family], {}
        for number, (count, filters) in enumerate(zip(self.blocks, family.filters, strict=True), family.first):
            first = 2 if number > family.first and family.stem else 1
            names = [family.block.format(number, place + 1) for place in range(count)]
            layout[family.stage.format(number)] = [(name, filters, 1 if n else first) for n, name in enumerate(names)]
        return layout


def convolutions(block: str, filters: int, stride: int, stride_in: str = "1x1") -> list[tuple[int, int, int]]:
    """(filters, kernel size, stride) of each convolution of a block (Fig. 5); `block` as in `Architecture`."""
    if block == "conv":
        return [(filters, 3, stride)]
    if block == "basic":
        return [(filters, 3, stride), (filters, 3, 1)]
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    return [(filters, 1, first), (filters, 3, second), (4 * filters, 1, 1)]


def projects(shortcut: str, grows: bool) -> bool:
    """Whether a block's shortcut is a 1x1 projection; `grows`: the block changes the channels or the map's size."""
    return shortcut == "C" or (shortcut == "B" and grows)


def names() -> list[str]:
    """The paper's networks by name, in the paper's order of families and by depth."""
    return [*(f"{kind}{depth}" for kind, depths in CIFAR_DEPTHS.items() for depth in depths), *TABLE]


def architecture(name: str) -> Architecture:
    """Look a network up by name: of `names()`, or ``plain`` or ``resnet`` with any depth 6n+2; else a UserError."""
    match = re.fullmatch(r"(plain|resnet|vgg)([0-9]{1,5})", str(name))
    kind, depth = (match[1], int(match[2])) if match else ("", 0)
    if kind and name in TABLE:
        return Architecture(name, "vgg" if kind == "vgg" else "imagenet", depth, *TABLE[name])
    if kind in CIFAR_DEPTHS and depth >= 8 and (depth - 2) % 6 == 0:
        blocks, shortcut = ((depth - 2) // 6,) * 3, "A" if kind == "resnet" else "none"
        return Architecture(f"{kind}{depth}", "cifar", depth, "basic", blocks, shortcut)
    near = difflib.get_close_matches(str(name).lower(), names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the paper's are {', '.join(names())}."
    raise UserError(f"unknown network {name!r}: {hint} CIFAR depths are 6n+2, from 8 on.")


def resolve_shortcut(name: str, shortcut: str | None) -> str:
    """The shortcut option of a network of this name; for None the paper's. Raises what `build` does."""
    net = architecture(name)
    if shortcut not in (None, *SHORTCUTS):
        raise UserError(f"unknown shortcut {shortcut!r}: use one of {', '.join(SHORTCUTS)}.")
    if net.shortcut == "none" and shortcut not in (None, "none"):
        instead = f", or build {name.replace('plain', 'resnet')}" if name.startswith("plain") else ""
        raise UserError(f"{name} has no shortcuts: leave shortcut={shortcut!r} out{instead}.")
    return shortcut or net.shortcut


def build(
    name: str, *, shortcut: str | None = None, classes: int | None = None,
    input_shape: tuple[int | None, int | None, int] | None = None, seed: int = 0, dtype: str | None = None,
    weights: bool = True, **options,
):  # fmt: skip
    """Build one of the paper's networks, initialised and ready to be called on raw pixels.

    Returns a `keras.Model` from images [batch, height, width, channels], uint8 or float in 0..255, to float32 logits
    [batch, classes]. Raises a UserError for what does not exist, with what is allowed.

    `name` is one that `architecture` knows. `shortcut` is ``"A"`` (identity, zero-padded), ``"B"`` (projection where
    dimensions grow), ``"C"`` (projection everywhere) or ``"none"`` (Sec. 4.1); default: the paper's choice. `classes`
    is 10 by default on CIFAR networks, 1000 on the others, and `input_shape` (32, 32, 3) or (224, 224, 3); (None, None,
    3) takes images of any size, on ImageNet networks and VGG without its top. `seed` decides the initial weights, the
    same on every backend, and in a plain network and its residual twin. `dtype` is a Keras policy, such as
    ``"mixed_bfloat16"``. ``weights=False`` leaves the variables out: enough to draw the network.

    ``include_top=False`` gives the last stage's maps; ``pooling="avg"`` or ``"max"`` makes vectors of them.
    ``features=["conv3", "conv5"]`` (on CIFAR ``"stage1"`` .. ``"stage3"``) gives a dictionary of these stages' maps,
    for a head of one's own. ``stride_in="3x3"`` strides in the middle of a bottleneck, not in its first convolution as
    the paper does. ``pool_padding="both"`` pads the pool after conv1 as torchvision and keras.applications do, not at
    its ``"end"`` as the authors do. ``batch_norm``: BN after each convolution; by default there is, but in VGG.
    """
    net = architecture(name)
    arguments = checked(name, shortcut=shortcut, classes=classes, input_shape=input_shape, seed=seed, **options)
    load_keras()
    from resnet_keras.models import resnet

    network = (resnet.VGG if net.family == "vgg" else resnet.ResNet)(name=net.name, dtype=dtype, **arguments)
    if weights:
        network.build()
    return network


def checked(name: str, *, shortcut=None, classes=None, input_shape=None, seed=0, **options) -> dict:
    """The arguments of `build` but name and dtype, defaults filled in; raises what `build` does."""
    net, shortcut = architecture(name), resolve_shortcut(name, shortcut)
    family, options = FAMILIES[net.family], _checked_options(net, options)
    classes = family.classes if classes is None else classes
    if type(classes) is not int or not 1 <= classes <= 10**6:
        raise UserError(f"classes={classes!r}: give a whole number of classes from 1 to 1,000,000.")
    shape = family.input_shape if input_shape is None else tuple(input_shape)
    # A mean image has a size, and fc6 of VGG takes maps of a single size.
    any_size = net.family == "imagenet" or (net.family == "vgg" and not options["include_top"])
    allowed = [(side is None and any_size) or (type(side) is int and side >= family.smallest) for side in shape[:2]]
    if len(shape) != 3 or not all(allowed) or type(shape[2]) is not int or shape[2] < 1:
        hint = ", or None for any" if any_size else " (None for any takes include_top=False)" * (net.family == "vgg")
        give = f"give {net.name} (height, width, channels) in whole pixels, such as {family.input_shape}"
        raise UserError(f"input_shape={input_shape!r}: {give}; sides of {family.smallest} or more{hint}.")
    own = {} if net.family == "vgg" else {"shortcut": shortcut, "stride_in": "1x1", "pool_padding": "end"}
    return {"classes": classes, "input_shape": shape, "seed": seed, **own, **options}


def _checked_options(net: Architecture, options: dict) -> dict:
    allowed = {  # the default first; VGG is older than BN
        "include_top": (True, False), "pooling": (None, "avg", "max"), "features": (None,),
        "batch_norm": (False, True) if net.family == "vgg" else (True, False),
    }  # fmt: skip
    allowed |= {"pool_padding": ("end", "both")} if net.family == "imagenet" else {}
    allowed |= {"stride_in": ("1x1", "3x3")} if net.block == "bottleneck" else {}
    for key, value in options.items():
        if key not in allowed:
            raise UserError(f"{net.name} takes no option {key!r}: the further options are {', '.join(allowed)}.")
        if key != "features" and (type(value), value) not in [(type(choice), choice) for choice in allowed[key]]:
            raise UserError(f"{key}={value!r}: use one of {', '.join(map(repr, allowed[key]))}.")
    options = {key: values[0] for key, values in allowed.items()} | options
    if (features := options["features"]) is not None:
        if not (features and isinstance(features, (list, tuple)) and set(features) <= set(net.stages)):
            raise UserError(f"features={features!r}: give a list of stages out of {', '.join(net.stages)}.")
        options |= {"features": list(features), "include_top": False}
    if options["pooling"] and (features or options["include_top"]):
        raise UserError(f"pooling={options['pooling']!r} is for a network without its top: add include_top=False.")
    return options
