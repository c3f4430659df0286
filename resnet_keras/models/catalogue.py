"""Every named network of the paper, in one table, and `build`, the one door to all of them."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import re

from resnet_keras.errors import UserError
from resnet_keras.models.options import checked_options
from resnet_keras.models.shortcuts import OPTIONS
from resnet_keras.quiet import load_keras


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One column of the paper's Table 1, one depth of its Section 4.2, or a VGG network.

    Attributes:
        name: The network's name, such as ``resnet56``.
        family: ``"cifar"`` (Sec. 4.2), ``"imagenet"`` (Table 1) or ``"vgg"`` ([41] of the paper).
        depth: The number of weighted layers, as the paper counts them (projections excluded).
        block: ``"basic"`` (two 3x3), ``"bottleneck"`` (1x1, 3x3, 1x1), Fig. 5, or ``"conv"`` (one 3x3).
        blocks: Blocks in each stage.
        filters: Filters of each stage's 3x3 convolutions.
        residual: Whether blocks have shortcuts; a plain network is the same without them.
        shortcut: The option that the paper uses for this network.
    """

    name: str
    family: str
    depth: int
    block: str
    blocks: tuple[int, ...]
    filters: tuple[int, ...]
    residual: bool
    shortcut: str

    @property
    def first_stage(self) -> int:
        """Number of the first stage of `blocks`: 2 on ImageNet, where conv1 stands alone (Table 1), else 1."""
        return FIRST_STAGE[self.family]

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages in order, conv1 included. ``conv3`` stands for the paper's conv3_x.

        Sec. 4.2 names no stages: on CIFAR they are conv1, then stage1, stage2 and stage3 of 32, 16 and 8 pixels.
        """
        kind = "stage" if self.family == "cifar" else "conv"
        numbered = tuple(f"{kind}{self.first_stage + index}" for index in range(len(self.blocks)))
        return numbered if self.family == "vgg" else ("conv1", *numbered)


FIRST_STAGE = {"cifar": 1, "imagenet": 2, "vgg": 1}
PICTURE_SHAPE = {"cifar": (32, 32, 3), "imagenet": (224, 224, 3), "vgg": (224, 224, 3)}
CLASSES = {"cifar": 10, "imagenet": 1000, "vgg": 1000}

# Sec. 4.2: depth 6n+2 with n = 3, 5, 7, 9, 18, 200. Plain networks stop at 110, as the paper's do.
CIFAR_DEPTHS = {"resnet": (20, 32, 44, 56, 110, 1202), "plain": (20, 32, 44, 56, 110)}

# Table 1: depth -> (block, blocks in conv2_x .. conv5_x, the shortcut option of Tables 2 to 4).
IMAGENET_DEPTHS = {
    18: ("basic", (2, 2, 2, 2), "A"),
    34: ("basic", (3, 4, 6, 3), "A"),
    50: ("bottleneck", (3, 4, 6, 3), "B"),
    101: ("bottleneck", (3, 4, 23, 3), "B"),
    152: ("bottleneck", (3, 8, 36, 3), "B"),
}
PLAIN_IMAGENET_DEPTHS = (18, 34)

# [41]: depth -> convolutions in each stage (configurations D and E).
VGG_DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

# Module and class of each family.
CLASS_OF = {
    "cifar": ("resnet_keras.models.resnet", "ResNet"),
    "imagenet": ("resnet_keras.models.resnet", "ResNet"),
    "vgg": ("resnet_keras.models.vgg", "VGG"),
}


def names() -> list[str]:
    """The paper's networks by name, in the paper's order of families and by depth."""
    imagenet = [f"plain{depth}" for depth in PLAIN_IMAGENET_DEPTHS]
    imagenet += [f"resnet{depth}" for depth in IMAGENET_DEPTHS]
    cifar = [f"{kind}{depth}" for kind in ("plain", "resnet") for depth in CIFAR_DEPTHS[kind]]
    return [*cifar, *imagenet, *(f"vgg{depth}" for depth in VGG_DEPTHS)]


def architecture(name: str) -> Architecture:
    """Look a network up by name.

    Args:
        name: ``plain20`` .. ``plain110``, ``resnet20`` .. ``resnet1202`` or any other depth 6n+2;
            ``plain18``, ``plain34``, ``resnet18`` .. ``resnet152``; ``vgg16``, ``vgg19``.

    Raises:
        UserError: The name is unknown (with near matches) or its depth does not exist (with the nearest that do).
    """
    match = re.fullmatch(r"(plain|resnet|vgg)([0-9]{1,5})", str(name))
    if not match:
        near = difflib.get_close_matches(str(name).lower(), names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the paper's are {', '.join(names())}."
        raise UserError(f"unknown network {name!r}: {hint}")
    kind, depth = match[1], int(match[2])
    if kind == "vgg":
        return _vgg(name, depth)
    if depth in IMAGENET_DEPTHS and (kind == "resnet" or depth in PLAIN_IMAGENET_DEPTHS):
        return _imagenet(kind, depth)
    if depth >= 8 and (depth - 2) % 6 == 0:
        return _cifar(kind, depth)
    raise UserError(f"no network {name!r}: {_nearest_depths(kind, depth)}")


def _imagenet(kind: str, depth: int) -> Architecture:
    block, blocks, shortcut = IMAGENET_DEPTHS[depth]
    return _make(kind, "imagenet", depth, block, blocks, (64, 128, 256, 512), shortcut)


def _cifar(kind: str, depth: int) -> Architecture:
    return _make(kind, "cifar", depth, "basic", ((depth - 2) // 6,) * 3, (16, 32, 64), "A")


def _vgg(name: str, depth: int) -> Architecture:
    if depth not in VGG_DEPTHS:
        raise UserError(f"no network {name!r}: VGG depths are {', '.join(map(str, VGG_DEPTHS))}.")
    return _make("vgg", "vgg", depth, "conv", VGG_DEPTHS[depth], (64, 128, 256, 512, 512), "none")


def _make(kind, family, depth, block, blocks, filters, shortcut) -> Architecture:
    residual = kind == "resnet"
    shortcut = shortcut if residual else "none"
    return Architecture(f"{kind}{depth}", family, depth, block, blocks, filters, residual, shortcut)


def _nearest_depths(kind: str, depth: int) -> str:
    below = max(8, (depth - 2) // 6 * 6 + 2)
    imagenet = IMAGENET_DEPTHS if kind == "resnet" else PLAIN_IMAGENET_DEPTHS
    return (
        f"CIFAR depths are 6n+2 (nearest: {below} and {below + 6}), "
        f"ImageNet depths are {', '.join(map(str, imagenet))}."
    )


def resolve_shortcut(name: str, shortcut: str | None) -> str:
    """The shortcut option a network of this name gets: the given one, or the paper's default.

    Raises:
        UserError: The option does not exist, or a network without shortcuts is given one.
    """
    net = architecture(name)
    if shortcut is None:
        return net.shortcut
    if shortcut not in OPTIONS:
        raise UserError(f"unknown shortcut {shortcut!r}: use one of {', '.join(OPTIONS)}.")
    if not net.residual and shortcut != "none":
        instead = f", or build {name.replace('plain', 'resnet')}" if name.startswith("plain") else ""
        raise UserError(f"{name} has no shortcuts: leave shortcut={shortcut!r} out{instead}.")
    return shortcut


def build(
    name: str,
    *,
    shortcut: str | None = None,
    classes: int | None = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    seed: int = 0,
    dtype: str | None = None,
    **options,
):
    """Build one of the paper's networks, initialised and ready to be called on raw pixels.

    Args:
        name: See `architecture`.
        shortcut: ``"A"`` (identity, zero-padded), ``"B"`` (projection where dimensions grow), ``"C"`` (projection
            everywhere) or ``"none"`` (Sec. 4.1). Default: the paper's choice for this network.
        classes: Length of the logits. Default: 10 on CIFAR networks, 1000 on the others.
        input_shape: Height, width, channels in pixels. Default (32, 32, 3) or (224, 224, 3). Whatever was given, an
            ImageNet network takes pictures of any size, and so does VGG without its top; (None, None, 3) says so.
        seed: Seed of the initial weights. They depend on it and on a variable's path alone: not on the backend, and
            a plain network starts from the weights of its residual twin.
        dtype: A Keras dtype policy, such as ``"mixed_bfloat16"``. Default: Keras' global policy.
        **options: Further choices; `resnet_keras.models.options.CHOICES` lists them by family.

            include_top (bool): Whether the classifier is there; False gives the last stage's maps.
            pooling (str): Without the top: ``"avg"`` or ``"max"`` over each map, giving vectors.
            features (list of str): Instead of logits, a dictionary of these stages' maps, such as
                ``["conv3", "conv5"]`` (on CIFAR ``"stage1"`` .. ``"stage3"``), for a head of one's own; the network
                ends with the deepest of them.
            stride_in (str): Bottlenecks: ``"1x1"``, stride in the first convolution, as in the paper, or ``"3x3"``.
            pool_padding (str): ImageNet: ``"end"``, as the authors define the pool after conv1, or ``"both"``, as
                torchvision and keras.applications do.
            batch_norm (bool): BN after each convolution; by default there is, but for VGG.

    Returns:
        A built `keras.Model` from pictures [batch, height, width, channels], uint8 or float in 0..255, to float32
        logits [batch, classes], unless `include_top` or `features` say otherwise.

    Raises:
        UserError: A name, option, class number or shape that does not exist, with what is allowed.
    """
    network = assemble(
        name, shortcut=shortcut, classes=classes, input_shape=input_shape, seed=seed, dtype=dtype, **options
    )
    network.build()
    return network


def assemble(name: str, *, shortcut=None, classes=None, input_shape=None, seed=0, dtype=None, **options):
    """What `build` builds, without weights yet: enough to count and to draw. Takes and raises what `build` does."""
    net = architecture(name)
    shortcut = resolve_shortcut(name, shortcut)
    classes = _checked_classes(classes, net.family)
    options = checked_options(net, options)
    shape = _checked_shape(input_shape, net.family, options["include_top"])
    if net.family != "vgg":
        options["shortcut"] = shortcut
    module, cls = CLASS_OF[net.family]
    load_keras()
    network_class = getattr(importlib.import_module(module), cls)
    return network_class(name=net.name, classes=classes, input_shape=shape, seed=seed, dtype=dtype, **options)


def _checked_classes(classes, family: str) -> int:
    classes = CLASSES[family] if classes is None else classes
    if not isinstance(classes, int) or isinstance(classes, bool) or not 1 <= classes <= 10**6:
        raise UserError(f"classes={classes!r}: give a whole number of classes from 1 to 1,000,000.")
    return classes


# Five halvings on ImageNet, two on CIFAR: a smaller picture would leave a last map without a pixel of its own.
SMALLEST_SIDE = {"cifar": 4, "imagenet": 32, "vgg": 32}


def _checked_shape(input_shape, family: str, include_top: bool) -> tuple[int | None, int | None, int]:
    shape = PICTURE_SHAPE[family] if input_shape is None else tuple(input_shape)
    smallest = SMALLEST_SIDE[family]
    if len(shape) == 3 and None in shape[:2]:
        _refuse_open_sides(shape, family, include_top)
    known = [side for side in shape if side is not None]
    whole = len(shape) == 3 and all(isinstance(side, int) and not isinstance(side, bool) for side in known)
    if not whole or shape[2] is None or shape[2] < 1 or any(side < smallest for side in shape[:2] if side is not None):
        raise UserError(
            f"input_shape={input_shape!r}: give (height, width, channels) in whole pixels, "
            f"sides of {smallest} or more, such as {PICTURE_SHAPE[family]}."
        )
    return shape


def _refuse_open_sides(shape, family: str, include_top: bool) -> None:
    reasons = {
        "cifar": "the network subtracts a mean picture of fixed size",
        "vgg": "its first fully-connected layer takes maps of one size: leave the top off, with include_top=False",
    }
    if family in reasons and (family == "cifar" or include_top):
        raise UserError(f"input_shape={shape}: give both sides, such as {PICTURE_SHAPE[family]}; {reasons[family]}.")
