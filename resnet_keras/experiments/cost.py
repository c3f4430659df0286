"""What a run will take, from the arithmetic of its network and the speed measured on this device."""

from __future__ import annotations

import statistics

from resnet_keras.models.catalogue import architecture
from resnet_keras.store import Store
from resnet_keras.training.run import Run

# Multiply-adds a second of training (forward, backward and update) before anything has been measured here:
# ResNet-20 in bfloat16 on two cores of a server CPU, 830 images/s x 40.55 million.
ASSUMED = 30e9
FORWARD_SHARE = 3.0  # a forward pass takes about a third of a training step
START_SECONDS = 15.0  # building, tracing and the first look at the data
TEST_IMAGES = {"shapes32": 2_000, "imagenet2012": 50_000}
# Multiply-adds of one picture through an ImageNet network, forward (Table 1, worked out by `resnet-keras summary`).
IMAGENET = {
    **{"plain18": 1.795e9, "resnet18": 1.795e9, "plain34": 3.644e9, "resnet34": 3.644e9},
    **{"resnet50": 3.858e9, "resnet101": 7.570e9, "resnet152": 11.282e9, "vgg16": 15.47e9, "vgg19": 19.63e9},
}


def multiply_adds(network: str) -> float:
    """Multiply-adds of one picture through a network, forward; on CIFAR, option A, linear in the depth (Sec. 4.2)."""
    if network in IMAGENET:
        return IMAGENET[network]
    return 40.55e6 + (architecture(network).depth - 20) * 2.3593e6


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
    return START_SECONDS + images * multiply_adds(run.network) / speed


def measured_speed(store: Store, device: str, precision: str) -> float | None:
    """Median multiply-adds a second of the store's runs on this device, or None where there is none."""
    speeds = []
    for folder in store.runs():
        summary, recipe = folder.summary or {}, folder.config.get("recipe", {})
        fits = summary.get("device") == device and recipe.get("precision") == precision
        if fits and summary.get("images_per_second"):
            speeds.append(summary["images_per_second"] * multiply_adds(folder.config["network"]))
    return statistics.median(speeds) if speeds else None
