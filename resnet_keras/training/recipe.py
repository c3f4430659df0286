"""Every hyper-parameter of a run in one frozen dataclass, with the paper's values as defaults (Sec. 3.4 and 4.2)."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

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
        warmup: Start at `warmup_rate` until the training error is below `warmup_error`: always, never, or "auto":
            for depth 110 and more.
        warmup_rate: See `warmup`.
        warmup_error: See `warmup`, percent.
        warmup_window: The training error of the warm-up is a mean over this many iterations, looked at as often.
        momentum: Momentum; plain, not Nesterov.
        weight_decay: Decay coupled to the gradient, as the paper's; half of what Keras calls L2.
        decay_on: What decays: convolution and dense kernels, or all trainable variables.
        augment: Vary pictures in training. Those in memory: pad by 4, random crop, random flip. Photographs: random
            shorter side, crop, flip and colour noise.
        crop: Side of what a network sees of a photograph, pixels; pictures held in memory are taken whole.
        batch_norm: BN after each convolution (Sec. 3.4); without it nothing takes its place.
        bn_batch: Images over which BN takes its statistics in training, a divisor of `batch_size`; 0 for all of them.
            The paper's were 64 (128 images on 2 GPUs).
        validation: Training images held out as validation set; 5000 gives the paper's 45k/5k split.
        precision: Of convolutions and activations. Weights, BN statistics, softmax and loss are float32 in both.
        log_interval: Iterations a row of the history.
        test_interval: Iterations between two looks at the test (or validation) error.
        checkpoint_interval: Iterations between two checkpoints.
        steps_per_call: Iterations a compiled call; 0 takes what was measured as best for the device.
    """

    iterations: int = 64_000
    batch_size: int = 128
    learning_rate: float = 0.1
    drops: tuple[int, ...] = (32_000, 48_000)
    drop_factor: float = 0.1
    warmup: Literal["auto", "always", "never"] = "auto"
    warmup_rate: float = 0.01
    warmup_error: float = 80.0
    warmup_window: int = 100
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_on: Literal["kernels", "all"] = "kernels"
    augment: bool = True
    crop: int = 224
    batch_norm: bool = True
    bn_batch: int = 0
    validation: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    log_interval: int = 500
    test_interval: int = 1000
    checkpoint_interval: int = 1000
    steps_per_call: int = 0

    def __post_init__(self):
        """Refuse values that no run can use.

        Raises:
            UserError: Naming the field, the value and what is allowed.
        """
        object.__setattr__(self, "drops", tuple(self.drops) if isinstance(self.drops, list) else self.drops)
        for field, (allowed, description) in RANGES.items():
            value = getattr(self, field)
            if not _is_number(value, RANGES[field]) or not allowed(value):
                raise UserError(f"{field}={value!r}: give {description}.")
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                raise UserError(f"{field}={getattr(self, field)!r}: use one of {', '.join(map(str, choices))}.")
        if not _are_drops(self.drops):
            raise UserError(f"drops={self.drops!r}: give iterations in ascending order, such as (32000, 48000).")
        if self.test_interval % self.log_interval:
            raise UserError(
                f"test_interval={self.test_interval}: give a multiple of log_interval={self.log_interval}, "
                "so that each test error has a row to stand in."
            )
        if self.bn_batch and (not self.batch_norm or self.batch_size % self.bn_batch):
            raise UserError(
                f"bn_batch={self.bn_batch!r}: give a divisor of batch_size={self.batch_size} for a network with BN, or "
                "0 for all of the batch."
            )

    def shortened(self, iterations: int) -> Recipe:
        """The same schedule over another number of iterations: the drops move in proportion."""
        ratio = iterations / self.iterations
        return dataclasses.replace(
            self, iterations=iterations, drops=tuple(max(1, round(drop * ratio)) for drop in self.drops)
        )

    def warms_up(self, depth: int) -> bool:
        """Whether a network of this depth starts with the warm-up."""
        return {"always": True, "never": False, "auto": depth >= WARMUP_DEPTH}[self.warmup]

    def deciding(self) -> dict:
        """The fields that decide a run's result and differ from the paper's values.

        The others say how often a run is looked at or saved, or go without saying, so that a field added later with a
        neutral default leaves the names of older runs as they are.
        """
        fields = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {f.name: value for f, value in fields if f.name not in OBSERVING and value != f.default}


OBSERVING = ("log_interval", "test_interval", "checkpoint_interval", "steps_per_call")

POSITIVE = (lambda value: value >= 1, "a whole number, 1 or more")
RATE = (lambda value: 0 < value <= 100, "a number above 0, at most 100")
RANGES = {
    "iterations": (lambda value: 1 <= value <= 10**8, "a whole number from 1 to 100,000,000"),
    "batch_size": (lambda value: 1 <= value <= 10**6, "a whole number from 1 to 1,000,000"),
    "learning_rate": RATE,
    "drop_factor": (lambda value: 0 < value <= 1, "a number above 0, at most 1"),
    "crop": (lambda value: 32 <= value <= 1024, "a whole number of pixels from 32 to 1024"),
    "warmup_rate": RATE,
    "warmup_error": (lambda value: 0 < value <= 100, "a percentage above 0, at most 100"),
    "warmup_window": POSITIVE,
    "momentum": (lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    "weight_decay": (lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    "bn_batch": (lambda value: value >= 0, "a whole number of images, 0 for the whole batch"),
    "validation": (lambda value: value >= 0, "a whole number of images, 0 for none"),
    "log_interval": POSITIVE,
    "test_interval": POSITIVE,
    "checkpoint_interval": POSITIVE,
    "steps_per_call": (lambda value: value >= 0, "a whole number, 0 to let the device decide"),
}
CHOICES = {
    "warmup": ("auto", "always", "never"),
    "decay_on": ("kernels", "all"),
    "precision": ("float32", "bfloat16"),
    "augment": (True, False),
    "batch_norm": (True, False),
}


def _are_drops(value) -> bool:
    whole = isinstance(value, tuple) and all(isinstance(drop, int) and not isinstance(drop, bool) for drop in value)
    return whole and all(drop > 0 for drop in value) and list(value) == sorted(value)


def _is_number(value, row) -> bool:
    kinds = int if "whole" in row[1] else (int, float)
    whole = isinstance(value, int)  # which may be too large to ask whether it is finite
    return isinstance(value, kinds) and not isinstance(value, bool) and (whole or math.isfinite(value))


_PAPER = Recipe()
PRESETS = {
    "smoke": dataclasses.replace(_PAPER.shortened(400), log_interval=20, test_interval=100, checkpoint_interval=100),
    "short": dataclasses.replace(_PAPER.shortened(2000), log_interval=50, test_interval=200, checkpoint_interval=100),
    # A tenth of the paper's.
    "medium": dataclasses.replace(_PAPER.shortened(6400), log_interval=100, test_interval=400, checkpoint_interval=200),
    "paper": _PAPER,
    # Sec. 3.4. The paper drops the rate when the error plateaus; these are fixed places of such drops, at 30, 60 and 90
    # passes over the pictures. BN's statistics are over 32 images, those of one of the paper's 8 GPUs.
    "imagenet": dataclasses.replace(
        _PAPER,
        iterations=600_000,
        batch_size=256,
        bn_batch=32,
        drops=(150_000, 300_000, 450_000),
        warmup="never",
        test_interval=5000,
    ),
}


def preset(name: str) -> Recipe:
    """The recipe of a scale: "smoke", "short", "medium", "paper" or "imagenet".

    Raises:
        UserError: Another name.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"unknown scale {name!r}: use one of {', '.join(PRESETS)}.")
    return PRESETS[name]


# Fields that recipes once had, with the value that went without saying; a run with another is of other code.
FORMER = {"micro_batch": 0, "plateau": 0}


def without_former(recipe: dict) -> dict:
    """A recipe that was read, without the fields that recipes no longer have."""
    return {name: value for name, value in recipe.items() if name not in FORMER or value != FORMER[name]}


def unknown_fields(recipe: dict) -> list[str]:
    """What of a recipe that was read is no field of `Recipe`: it comes from a newer version of the project."""
    return sorted(without_former(recipe).keys() - {field.name for field in dataclasses.fields(Recipe)})


@functools.lru_cache(maxsize=1024)
def scale_of(recipe: Recipe) -> str:
    """The scale that a recipe belongs to, whatever its precision and with BN or without, or "custom"."""
    either = {"precision": None, "batch_norm": None}
    for name, candidate in PRESETS.items():
        if {**recipe.deciding(), **either} == {**candidate.deciding(), **either}:
            return name
    return "custom"
