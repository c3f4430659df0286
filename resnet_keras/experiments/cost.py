"""What a run will take, from the arithmetic of its network and the speed measured on this device."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterator
from typing import NamedTuple

from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import CLASSES, architecture
from resnet_keras.store import Store
from resnet_keras.training.run import Run

# Multiply-adds a second of training (forward, backward and update) before anything has been measured here:
# ResNet-20 in bfloat16 on two cores of a server CPU, 830 images/s x 40.55 million.
ASSUMED = 30e9
FORWARD_SHARE = 3.0  # a forward pass takes about a third of a training step
START_SECONDS = 15.0  # building, tracing and the first look at the data
TEST_IMAGES = {"shapes32": 2_000, "imagenet2012": 50_000}
VGG = {"vgg16": 15.47e9, "vgg19": 19.63e9}  # multiply-adds of one picture, forward, by `resnet-keras summary`


class Convolution(NamedTuple):
    """A convolution with its BN: pixels of the kernel's side, channels in and out, pixels of the output's side."""

    kernel: int
    before: int
    after: int
    side: int

    @property
    def multiply_adds(self) -> int:
        """Of one picture, forward."""
        return self.kernel**2 * self.before * self.after * self.side**2

    @property
    def parameters(self) -> int:
        """Trainable ones, gamma and beta included."""
        return self.kernel**2 * self.before * self.after + 2 * self.after

    @property
    def kept(self) -> int:
        """Numbers a picture that the way back needs: what BN takes in, and what the next convolution does."""
        return 2 * self.after * self.side**2


# Kernel of conv1, side of its output, side of the first stage's maps (Sec. 4.2, Table 1).
STEMS = {"cifar": (3, 32, 32), "imagenet": (7, 112, 56)}
KERNELS = {"basic": (3, 3), "bottleneck": (1, 3, 1)}


@functools.cache
def convolutions(network: str, shortcut: str | None = None) -> tuple[Convolution, ...]:
    """Every convolution of a plain or residual network, from the arithmetic of its table alone; see `complexity`.

    Args:
        network: A name of the catalogue, but VGG's.
        shortcut: Option; None for the paper's choice.
    """
    net = architecture(network)
    kernel, stem_side, side = STEMS[net.family]
    channels = 16 if net.family == "cifar" else 64
    found = [Convolution(kernel, 3, channels, stem_side)]
    for stage, (blocks, width) in enumerate(zip(net.blocks, net.filters, strict=True)):
        for _ in range(blocks):
            before = channels
            kernels = KERNELS[net.block]
            for place, size in enumerate(kernels):
                after = 4 * width if len(kernels) == 3 and place == 2 else width
                found.append(Convolution(size, channels, after, side >> stage))
                channels = after
            projects = {"B": before != channels, "C": True}.get(shortcut or net.shortcut, False)
            found += [Convolution(1, before, channels, side >> stage)] if projects else []
    return tuple(found)


def multiply_adds(network: str, shortcut: str | None = None) -> float:
    """Multiply-adds of one picture, forward, as the paper counts them; the classifier's included."""
    if network in VGG:
        return VGG[network]
    found = convolutions(network, shortcut)
    return sum(conv.multiply_adds for conv in found) + classifier(network)


def classifier(network: str) -> int:
    """Weights of the fully-connected layer, and so its multiply-adds."""
    net = architecture(network)
    return net.filters[-1] * (4 if net.block == "bottleneck" else 1) * CLASSES[net.family]


def memory_gb(network: str, images: int, precision: str, shortcut: str | None = None) -> float:
    """Estimated GiB of a training step: weights, gradients and velocities, and what the way back needs.

    Args:
        network: A name of the catalogue.
        images: Taken at a time.
        precision: "float32" or "bfloat16"; weights are float32 in both.
        shortcut: Option; None for the paper's choice.
    """
    found = convolutions(network, shortcut)
    weights = 3 * 4 * (sum(conv.parameters for conv in found) + classifier(network))
    kept = {"float32": 4, "bfloat16": 2}[precision] * images * sum(conv.kept for conv in found)
    return (weights + kept) / 2**30


def seconds(run: Run, speed: float, done: int = 0, last: int | None = None) -> float:
    """Estimated wall time of a run at `speed` multiply-adds a second.

    Args:
        run: The run.
        speed: Of training, as `measured_speed` gives it.
        done: Iterations done already.
        last: Iteration to train to; None for the run's last.
    """
    recipe = run.recipe
    last = recipe.iterations if last is None else last
    trained = (last - done) * recipe.batch_size
    looks = last // recipe.test_interval - done // recipe.test_interval + 1
    return seconds_for(run, trained + looks * TEST_IMAGES.get(run.data, 10_000) / FORWARD_SHARE, speed)


def seconds_to_checkpoint(run: Run, speed: float, done: int = 0) -> float:
    """Estimated wall time to the next checkpoint, or to the end where that is nearer."""
    interval = run.recipe.checkpoint_interval
    return seconds(run, speed, done, min(run.recipe.iterations, (done // interval + 1) * interval))


def seconds_for(run: Run, images: float, speed: float) -> float:
    """Estimated wall time of what takes as long as training on so many images, from a fresh start."""
    return START_SECONDS + images * multiply_adds(run.network, run.shortcut) / speed


def measured_speed(store: Store, device: str, precision: str) -> float | None:
    """Median multiply-adds a second of the store's runs on this device, or None where there is none."""
    speeds = [
        summary["images_per_second"] * multiply_adds(config["network"])
        for config, summary in measured_runs(store)
        if summary["device"] == device and config["recipe"].get("precision") == precision
    ]
    return statistics.median(speeds) if speeds else None


def measured_runs(store: Store) -> Iterator[tuple[dict, dict]]:
    """(configuration, summary) of each run that says of a known network how fast it was, and where.

    A folder that is damaged or was written by another version of the project teaches nothing, and stops nothing.
    """
    for folder in store.runs():
        try:
            config, summary = folder.config, folder.summary or {}
            architecture(str(config.get("network")))
        except UserError:
            continue
        speed, option = summary.get("images_per_second"), config.get("shortcut")
        numeric = isinstance(speed, (int, float)) and 0 < speed < math.inf
        whole = isinstance(config.get("recipe"), dict) and isinstance(option, (str, type(None)))
        if numeric and whole and isinstance(summary.get("device"), str):
            yield config, summary
