"""How keras.applications and torchvision name, order and feed the weights that this package's networks have too.

A layout turns a network's own tensors into the peer's and back, as dictionaries of NumPy arrays. What differs:

- names, and in torchvision the order of the axes;
- the batch normalization's epsilon, taken into the variance;
- biases of convolutions that a BN follows, taken into the BN's mean;
- what the peer does with a picture before its first convolution, taken into that convolution and the stored mean.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable

import numpy as np

from resnet_keras.models.normalization import EPSILON


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a peer's first convolution is given: (pixels - mean) / scale, for raw RGB pixels in 0..255.

    Attributes:
        mean: Of red, green, blue.
        scale: Of red, green, blue.
        bgr: Whether the channels come in the order blue, green, red.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False

    def to_own(self, kernel: np.ndarray) -> np.ndarray:
        """The peer's first kernel [h, w, in, out] -> one for RGB pixels minus the mean."""
        kernel = kernel[:, :, ::-1] if self.bgr else kernel
        return kernel / np.array(self.scale)[:, None]

    def to_peer(self, kernel: np.ndarray) -> np.ndarray:
        """The inverse of `to_own`."""
        kernel = kernel * np.array(self.scale)[:, None]
        return kernel[:, :, ::-1] if self.bgr else kernel


INPUTS = {
    # keras.applications' mode "caffe", and the authors' own colour mean.
    "caffe": Inputs(mean=(123.68, 116.779, 103.939), bgr=True),
    # torchvision: pixels in 0..1, then mean (0.485, 0.456, 0.406) and standard deviation (0.229, 0.224, 0.225).
    "torch": Inputs(mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), scale=(0.229 * 255, 0.224 * 255, 0.225 * 255)),
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """One peer's conventions.

    Attributes:
        name: The peer.
        inputs: A key of `INPUTS`: what its preprocessing makes of a picture.
        networks: The networks it has -> the options of `resnet_keras.build` that make the same one.
        layer_name: (network, a layer's place) -> the peer's name of that layer.
        tensors: Kind of layer -> our variable's name -> the peer's.
        separator: Between a layer's name and a variable's.
        torch_axes: Whether kernels are [out, in, h, w] and [out, in], and flattened maps [c, h, w].
        epsilon: Of its batch normalization.
        biased: Networks whose convolutions have a bias even where a BN follows.
        extra: Kind of layer -> tensors that the peer has and nothing depends on, with what to write there.
    """

    name: str
    inputs: str
    networks: dict[str, dict]
    layer_name: Callable[[object, str], str]
    tensors: dict[str, dict[str, str]]
    separator: str
    torch_axes: bool
    epsilon: float
    biased: tuple[str, ...]
    extra: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)

    def names(self, network) -> dict[str, tuple[str, str]]:
        """The peer's name of each tensor that it needs -> (our layer's place, our variable's name).

        A bias that we keep in a BN's mean has our convolution's place and "bias".
        """
        found = {}
        for place, kind, layer in weighted(network):
            for own, theirs in self.tensors[kind].items():
                if own != "bias" or kind == "fc" or layer.use_bias or network.name in self.biased:
                    found[self._peer(network, place, theirs)] = (place, own)
        return found

    def shapes(self, network) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor that the peer needs, by the peer's name."""
        own = {variable.path.split("/", 1)[1]: tuple(variable.shape) for variable in network.variables}
        axes = {4: (3, 2, 0, 1), 2: (1, 0)} if self.torch_axes else {}
        found = {}
        for name, (place, variable) in self.names(network).items():
            shape = own.get(f"{place}/{variable}") or own[f"{place}/kernel"][-1:]
            found[name] = tuple(shape[axis] for axis in axes.get(len(shape), range(len(shape))))
        return found

    def extras(self, network) -> dict[str, np.ndarray]:
        """The peer's tensors that nothing depends on."""
        return {
            self._peer(network, place, name): value
            for place, kind, _ in weighted(network)
            for name, value in self.extra.get(kind, {}).items()
        }

    def _peer(self, network, place: str, tensor: str) -> str:
        return f"{self.layer_name(network, place)}{self.separator}{tensor}"

    def to_peer(self, own: dict[str, np.ndarray], network, inputs: Inputs | None) -> dict[str, np.ndarray]:
        """A network's tensors by place -> the peer's; `inputs` None leaves the first kernel as it is."""
        own, first = {name: _precise(value) for name, value in own.items()}, first_convolution(network)
        if inputs:
            own[f"{first}/kernel"] = inputs.to_peer(own[f"{first}/kernel"])
        for name in own:
            if name.endswith("/moving_variance"):
                own[name] = np.maximum(own[name] + (EPSILON - self.epsilon), 0)
        found = {}
        for name, (place, variable) in self.names(network).items():
            value = own.get(f"{place}/{variable}")
            if value is None:  # a bias that our BN does without
                value = np.zeros(own[f"{place}/kernel"].shape[-1])
            found[name] = np.ascontiguousarray(self._turned(value, place, network, to_peer=True), "float32")
        return {**found, **self.extras(network)}

    def to_own(self, peer: dict[str, np.ndarray], network, inputs: Inputs | None) -> dict[str, np.ndarray]:
        """The peer's tensors -> a network's by place; the inverse of `to_peer`."""
        own = {}
        for name, (place, variable) in self.names(network).items():
            own[f"{place}/{variable}"] = self._turned(_precise(peer[name]), place, network, to_peer=False)
        for name in own:
            if name.endswith("/moving_variance"):
                own[name] = own[name] + (self.epsilon - EPSILON)
        for conv, bn in normalized(network):
            if f"{conv}/bias" in own:
                own[f"{bn}/moving_mean"] = own[f"{bn}/moving_mean"] - own.pop(f"{conv}/bias")
        if inputs:
            first = f"{first_convolution(network)}/kernel"
            own[first] = inputs.to_own(own[first])
        return own

    def _turned(self, value, place: str, network, to_peer: bool):
        """A kernel with its axes in the other order; anything else as it is."""
        if not self.torch_axes or value.ndim == 1:
            return value
        maps = flattened(network) if place == "fc6" else None
        if value.ndim == 4:
            return value.transpose((3, 2, 0, 1) if to_peer else (2, 3, 1, 0))
        if maps is None:
            return value.T
        height, width, channels = maps
        if to_peer:
            return value.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(value.shape[1], -1)
        return value.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, value.shape[0])


KINDS = {"Conv2D": "conv", "Dense": "fc", "BatchNormalization": "bn"}


def _precise(value: np.ndarray) -> np.ndarray:
    """Vectors in double precision: statistics are shifted by less than float32 can tell. Kernels are large."""
    return value.astype("float64") if value.ndim == 1 else value


def weighted(network) -> list[tuple[str, str, object]]:
    """(place, kind, layer) of every convolution, BN and fully-connected layer."""
    found = []
    for place, layer, _ in network.parts():
        kind = next((KINDS[cls.__name__] for cls in type(layer).__mro__ if cls.__name__ in KINDS), None)
        if kind:
            found.append((place, kind, layer))
    return found


def normalized(network) -> list[tuple[str, str]]:
    """(place of a convolution, place of the BN right after it)."""
    layers = weighted(network)
    pairs = itertools.pairwise(layers)
    return [(conv, bn) for (conv, kind, _), (bn, after, _) in pairs if (kind, after) == ("conv", "bn")]


def first_convolution(network) -> str:
    """The place of the convolution that sees the picture."""
    return next(place for place, kind, _ in weighted(network) if kind == "conv")


def flattened(network) -> tuple[int, int, int]:
    """Height, width and channels of the maps that VGG's first fully-connected layer takes."""
    return next(shape[1:] for place, _, shape in network.parts() if place == "flatten")


def renamed(table: list[tuple[str, str | Callable]]) -> Callable[[object, str], str]:
    """A `Layout.layer_name` that follows the first pattern matching a whole place."""

    def layer_name(network, place: str) -> str:
        for pattern, name in table:
            match = re.fullmatch(pattern, place)
            if match:
                return name(network, match) if callable(name) else match.expand(name)
        raise KeyError(place)

    return layer_name


def _torchvision_block(network, match) -> str:
    inner = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}
    return f"layer{int(match[1]) - 1}.{int(match[2]) - 1}.{inner.get(match[3], match[3])}"


def _torchvision_feature(network, match) -> str:
    """All layers of VGG's stages are numbered in one row: convolution, BN, ReLU, pooling."""
    layers = [layer.name for layer in network.chain()[1:]]
    return f"features.{layers.index(match[0])}"


KERAS_TENSORS = {
    "conv": {"kernel": "kernel", "bias": "bias"},
    "fc": {"kernel": "kernel", "bias": "bias"},
    "bn": {name: name for name in ("gamma", "beta", "moving_mean", "moving_variance")},
}
TORCH_TENSORS = {
    "conv": {"kernel": "weight", "bias": "bias"},
    "fc": {"kernel": "weight", "bias": "bias"},
    "bn": {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"},
}
BOTTLENECKS = ("resnet50", "resnet101", "resnet152")
VGGS = ("vgg16", "vgg19")

LAYOUTS = {
    "keras.applications": Layout(
        name="keras.applications",
        inputs="caffe",
        networks={
            **{
                name: {"shortcut": "B", "stride_in": "1x1", "pool_padding": "both", "batch_norm": True}
                for name in BOTTLENECKS
            },
            **{name: {"batch_norm": False} for name in VGGS},
        },
        layer_name=renamed(
            [
                (r"(conv|bn)1", r"conv1_\1"),
                (r"stage(\d)_block(\d+)/(conv|bn)(\d)", r"conv\1_block\2_\4_\3"),
                (r"stage(\d)_block(\d+)/shortcut_(conv|bn)", r"conv\1_block\2_0_\3"),
                (r"conv(\d)_(\d)", r"block\1_conv\2"),
                ("fc6", "fc1"),
                ("fc7", "fc2"),
                ("fc8|fc", "predictions"),
            ]
        ),
        tensors=KERAS_TENSORS,
        separator="/",
        torch_axes=False,
        epsilon=1.001e-5,
        biased=BOTTLENECKS,
    ),
    "torchvision": Layout(
        name="torchvision",
        inputs="torch",
        networks={
            **{
                name: {"shortcut": "B", "pool_padding": "both", "batch_norm": True} for name in ("resnet18", "resnet34")
            },
            **{
                name: {"shortcut": "B", "stride_in": "3x3", "pool_padding": "both", "batch_norm": True}
                for name in BOTTLENECKS
            },
            **{name: {} for name in VGGS},
        },
        layer_name=renamed(
            [
                (r"conv1|bn1|fc", r"\g<0>"),
                (r"stage(\d)_block(\d+)/(.+)", _torchvision_block),
                (r"(conv|bn)\d_\d", _torchvision_feature),
                ("fc6", "classifier.0"),
                ("fc7", "classifier.3"),
                ("fc8", "classifier.6"),
            ]
        ),
        tensors=TORCH_TENSORS,
        separator=".",
        torch_axes=True,
        epsilon=1e-5,
        biased=VGGS,
        extra={"bn": {"num_batches_tracked": np.zeros((), "int64")}},
    ),
}
