"""Every named network of the paper, in one table, and `build`, the one door to all of them."""

from __future__ import annotations

import dataclasses
import difflib
import re

from resnet_keras.errors import UserError
from resnet_keras.models.shortcuts import OPTIONS


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One column of the paper's Table 1, or one depth of its Section 4.2.

    Attributes:
        name: The network's name, such as ``resnet56``.
        family: ``"cifar"`` (Sec. 4.2) or ``"imagenet"`` (Table 1).
        depth: The number of weighted layers, as the paper counts them (projections excluded).
        block: ``"basic"`` (two 3x3) or ``"bottleneck"`` (1x1, 3x3, 1x1), Fig. 5.
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
        """Number of the first stage: 1 on CIFAR; 2 on ImageNet, where conv1 stands alone (Table 1)."""
        return FIRST_STAGE[self.family]


FIRST_STAGE = {"cifar": 1, "imagenet": 2}
PICTURE_SHAPE = {"cifar": (32, 32, 3), "imagenet": (224, 224, 3)}
CLASSES = {"cifar": 10, "imagenet": 1000}

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


def names() -> list[str]:
    """The paper's networks by name, in the paper's order of families and by depth."""
    imagenet = [f"plain{depth}" for depth in PLAIN_IMAGENET_DEPTHS]
    imagenet += [f"resnet{depth}" for depth in IMAGENET_DEPTHS]
    cifar = [f"{kind}{depth}" for kind in ("plain", "resnet") for depth in CIFAR_DEPTHS[kind]]
    return cifar + imagenet


def architecture(name: str) -> Architecture:
    """Look a network up by name.

    Args:
        name: ``plain20`` .. ``plain110``, ``resnet20`` .. ``resnet1202`` or any other depth 6n+2;
            ``plain18``, ``plain34``, ``resnet18`` .. ``resnet152``.

    Raises:
        UserError: The name is unknown (with near matches) or its depth does not exist (with the nearest that do).
    """
    match = re.fullmatch(r"(plain|resnet)(\d{1,5})", str(name))
    if not match:
        near = difflib.get_close_matches(str(name).lower(), names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the paper's are {', '.join(names())}."
        raise UserError(f"unknown network {name!r}: {hint}")
    kind, depth = match[1], int(match[2])
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
        UserError: The option does not exist, or a plain network is given one.
    """
    net = architecture(name)
    if shortcut is None:
        return net.shortcut
    if shortcut not in OPTIONS:
        raise UserError(f"unknown shortcut {shortcut!r}: use one of {', '.join(OPTIONS)}.")
    if not net.residual and shortcut != "none":
        raise UserError(
            f"{name} is plain and has no shortcuts: leave shortcut={shortcut!r} out, "
            f"or build {name.replace('plain', 'resnet')}."
        )
    return shortcut


def build(
    name: str,
    *,
    shortcut: str | None = None,
    classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    dtype: str | None = None,
    **options,
):
    """Build one of the paper's networks, initialised and ready to be called on raw pixels.

    Args:
        name: See `architecture`.
        shortcut: ``"A"`` (identity, zero-padded), ``"B"`` (projection where dimensions grow), ``"C"`` (projection
            everywhere) or ``"none"`` (Sec. 4.1). Default: the paper's choice for this network.
        classes: Length of the logits. Default: 10 on CIFAR networks, 1000 on ImageNet networks.
        input_shape: Height, width, channels in pixels. Default (32, 32, 3) or (224, 224, 3).
        seed: Seed of the initial weights. They depend on it and on a variable's path alone: not on the backend, and
            a plain network starts from the weights of its residual twin.
        dtype: A Keras dtype policy, such as ``"mixed_bfloat16"``. Default: Keras' global policy.
        **options: Further arguments of `resnet_keras.models.resnet.ResNet`.

    Returns:
        A built `keras.Model` from pictures [batch, height, width, channels], uint8 or float in 0..255, to float32
        logits [batch, classes].

    Raises:
        UserError: A name, option, class number or shape that does not exist, with what is allowed.
    """
    net = architecture(name)
    shortcut = resolve_shortcut(name, shortcut)
    classes = CLASSES[net.family] if classes is None else classes
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise UserError(f"classes={classes!r}: give a whole number of classes, 1 or more.")
    shape = _checked_shape(input_shape, net.family)

    from resnet_keras.models.resnet import ResNet  # brings in Keras: only when a network is really built

    network = ResNet(
        name=net.name, shortcut=shortcut, classes=classes, input_shape=shape, seed=seed, dtype=dtype, **options
    )
    network.build((None, *shape))
    return network


# Five halvings on ImageNet, two on CIFAR: a smaller picture would leave a last map without a pixel of its own.
SMALLEST_SIDE = {"cifar": 4, "imagenet": 32}


def _checked_shape(input_shape, family: str) -> tuple[int, int, int]:
    shape = PICTURE_SHAPE[family] if input_shape is None else tuple(input_shape)
    smallest = SMALLEST_SIDE[family]
    whole = len(shape) == 3 and all(isinstance(side, int) for side in shape)
    if not whole or min(shape[:2]) < smallest or shape[2] < 1:
        raise UserError(
            f"input_shape={input_shape!r}: give (height, width, channels) in whole pixels, "
            f"sides of {smallest} or more, such as {PICTURE_SHAPE[family]}."
        )
    return shape
