"""Every hyper-parameter of a run in one frozen dataclass, with the paper's values as defaults (Sec. 3.4 and 4.2)."""

import dataclasses
import functools
import typing
from typing import Annotated, Literal

from resnet_keras.errors import UserError

WARMUP_DEPTH = 110  # Sec. 4.2: networks of this depth and deeper start at the smaller rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. Errors are in percent; the schedule counts iterations (optimizer steps).

    Attributes:
        iterations: Iterations in all.
        batch_size: Images an iteration.
        learning_rate: Rate at the start.
        drops: Iterations after which the rate is multiplied by `drop_factor`.
        drop_factor: See `drops`.
        warmup: Start at `warmup_rate` until the training error is below `warmup_error`; auto: from depth 110 on.
        warmup_rate: See `warmup`.
        warmup_error: See `warmup`, percent.
        warmup_window: The training error of the warm-up is a mean over this many iterations.
        momentum: Momentum; plain, not Nesterov.
        weight_decay: Decay coupled to the gradient, as the paper's; half of what Keras calls L2.
        decay_on: What decays: convolution and dense kernels, or all trainable variables.
        augment: Vary images. In memory: pad by an eighth, crop, flip. Photographs: size, crop, flip, colour noise.
        crop: Side of what a network sees of a photograph, pixels; images in memory are not cropped.
        batch_norm: BN after each convolution (Sec. 3.4); without it nothing takes its place.
        bn_batch: Images over which BN takes its statistics, a divisor of `batch_size`, 64 in the paper; 0 for all.
        validation: Training images held out as validation set; 5000 gives the paper's 45k/5k split.
        precision: Of convolutions and activations; weights, BN statistics, softmax and loss are float32 in both.
        log_interval: Iterations a row of the history.
        test_interval: Iterations between two evaluations on the test (or validation) images.
        checkpoint_interval: Iterations between two checkpoints.
        steps_per_call: Iterations a compiled call; 0 takes what was measured as best for the device.
    """

    iterations: Annotated[int, (1, 10**8)] = 64_000
    batch_size: Annotated[int, (1, 10**6)] = 128
    learning_rate: Annotated[float, (1e-9, 100)] = 0.1
    drops: tuple[int, ...] = (32_000, 48_000)
    drop_factor: Annotated[float, (1e-9, 1)] = 0.1
    warmup: Literal["auto", "always", "never"] = "auto"
    warmup_rate: Annotated[float, (1e-9, 100)] = 0.01
    warmup_error: Annotated[float, (1e-9, 100)] = 80.0
    warmup_window: Annotated[int, (1, 10**8)] = 100
    momentum: Annotated[float, (0, 0.9999)] = 0.9
    weight_decay: Annotated[float, (0, 0.9999)] = 1e-4
    decay_on: Literal["kernels", "all"] = "kernels"
    augment: bool = True
    crop: Annotated[int, (32, 1024)] = 224
    batch_norm: bool = True
    bn_batch: Annotated[int, (0, 10**6)] = 0
    validation: Annotated[int, (0, 10**9)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    log_interval: Annotated[int, (1, 10**9)] = 500
    test_interval: Annotated[int, (1, 10**9)] = 1000
    checkpoint_interval: Annotated[int, (1, 10**9)] = 1000
    steps_per_call: Annotated[int, (0, 10**6)] = 0

    def __post_init__(self):
        """Refuse values that no run can use, with a UserError that names the field, the value and what is allowed."""
        if isinstance(self.drops, list):
            object.__setattr__(self, "drops", tuple(self.drops))
        for name, kind in KINDS.items():
            if problem := _problem(kind, getattr(self, name)):
                raise UserError(f"{name}={getattr(self, name)!r}: give {problem}.")
        if self.test_interval % self.log_interval:
            raise UserError(f"test_interval={self.test_interval}: give a multiple of log_interval={self.log_interval}.")
        if self.bn_batch and (not self.batch_norm or self.batch_size % self.bn_batch):
            raise UserError(f"bn_batch={self.bn_batch}: give a divisor of batch_size={self.batch_size}, with BN, or 0.")

    def shortened(self, iterations: int) -> "Recipe":
        """The same schedule over another number of iterations: the drops move in proportion."""
        drops = tuple(max(1, round(drop * (iterations / self.iterations))) for drop in self.drops)
        return dataclasses.replace(self, iterations=iterations, drops=drops)

    def warms_up(self, depth: int) -> bool:
        """Whether a network of this depth starts with the warm-up."""
        return self.warmup == "always" or (self.warmup == "auto" and depth >= WARMUP_DEPTH)

    def deciding(self) -> dict:
        """The fields that decide a run's result and differ from the paper's values.

        So a field added later with a neutral default leaves the names of older runs as they are.
        """
        deciding = {name: value for name, value in vars(self).items() if name not in OBSERVING}
        return {name: value for name, value in deciding.items() if value != getattr(Recipe, name)}


# How often a run is evaluated or saved decides no result.
OBSERVING = ("log_interval", "test_interval", "checkpoint_interval", "steps_per_call")
# Field -> its type, with the lowest and the highest value of a number.
KINDS = typing.get_type_hints(Recipe, include_extras=True)


def _problem(kind, value) -> str | None:
    """What a field of this kind may have, if it may not have this value."""
    if kind is bool:
        fits, allowed = isinstance(value, bool), "True or False"
    elif typing.get_origin(kind) is Literal:
        fits, allowed = value in typing.get_args(kind), f"one of {', '.join(typing.get_args(kind))}"
    elif typing.get_origin(kind) is Annotated:
        number, (low, high) = typing.get_args(kind)
        fits = isinstance(value, (int, number)) and not isinstance(value, bool) and low <= value <= high
        allowed = f"a {'whole ' if number is int else ''}number from {low:,} to {high:,}"
    else:
        fits = isinstance(value, tuple) and all(type(drop) is int and drop > 0 for drop in value)
        fits, allowed = fits and list(value) == sorted(value), "iterations in ascending order, such as (32000, 48000)"
    return None if fits else allowed


_PAPER = Recipe()
PRESETS = {
    # A demonstration on drawings: at the paper's rate the first steps throw deep networks off, and so short a schedule
    # cannot heal that. docs/differences.md says how it was found.
    "smoke": dataclasses.replace(
        _PAPER, iterations=1000, drops=(800, 900), batch_size=32, learning_rate=0.03, log_interval=50,
        test_interval=250, checkpoint_interval=250,
    ),
    "short": dataclasses.replace(_PAPER.shortened(2000), log_interval=50, test_interval=200, checkpoint_interval=100),
    "medium": dataclasses.replace(_PAPER.shortened(6400), log_interval=100, test_interval=400, checkpoint_interval=200),
    "paper": _PAPER,
    # Sec. 3.4. The paper drops the rate when the error plateaus, this after 30, 60 and 90 passes over the images. BN's
    # statistics are over 32 images, those of one of the paper's 8 GPUs.
    "imagenet": dataclasses.replace(
        _PAPER, iterations=600_000, batch_size=256, bn_batch=32, drops=(150_000, 300_000, 450_000), warmup="never",
        test_interval=5000,
    ),
}  # fmt: skip


def preset(name: str) -> Recipe:
    """The recipe of a scale; raises UserError if it is none of `PRESETS`."""
    if name not in PRESETS:
        raise UserError(f"unknown scale {name!r}: use one of {', '.join(PRESETS)}.")
    return PRESETS[name]


@functools.lru_cache(maxsize=1024)
def scale_of(recipe: Recipe) -> str:
    """The scale that a recipe belongs to, whatever its precision and with BN or without, or "custom"."""
    deciding = dataclasses.replace(recipe, precision="float32", batch_norm=True).deciding()
    return next((name for name, scale in PRESETS.items() if scale.deciding() == deciding), "custom")
