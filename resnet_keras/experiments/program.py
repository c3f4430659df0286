"""What the whole program of the paper costs on GPUs, by the model of `cost`: arithmetic, and named assumptions.

A speed that has been measured on a GPU of the results folder takes the place of the assumed one.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterator
from typing import NamedTuple

from resnet_keras.errors import UserError
from resnet_keras.experiments import cost
from resnet_keras.experiments.catalogue import DATA
from resnet_keras.models.catalogue import architecture
from resnet_keras.store import Store
from resnet_keras.training.recipe import preset
from resnet_keras.training.run import Run, described

# Multiply-adds a second of training (an image counts its forward pass once) assumed of one GPU of a data centre in
# bfloat16: ResNet-50 at 2,000 images/s, and ResNet-56 at 8,000, whose few channels fill a GPU badly.
ASSUMED_GPU = {"imagenet": 2_000 * 3.858e9, "cifar": 8_000 * 125.5e6}
DEVICES = {"imagenet": 8, "cifar": 1}  # that share a batch, where there are so many: the paper's 8 on ImageNet
EFFICIENCY = 0.9  # of the GPUs that share a batch, against as many that do not
SEEDS = {"cifar": 5, "imagenet": 1}
SCALES = {"cifar": "paper", "imagenet": "imagenet"}
PICTURES = {"cifar": "CIFAR-10", "imagenet": "ImageNet"}

NETWORKS = (
    *((f"{kind}{depth}", None) for depth in (20, 32, 44, 56) for kind in ("plain", "resnet")),
    ("resnet110", None),
    ("resnet1202", None),
    *((name, None) for name in ("plain18", "resnet18", "plain34", "resnet34")),
    ("resnet34", "B"),
    ("resnet34", "C"),
    *((name, None) for name in ("resnet50", "resnet101", "resnet152")),
)


class Item(NamedTuple):
    """Runs of the program that differ in their seed alone.

    Attributes:
        run: One of them.
        family: "cifar" or "imagenet".
        seeds: How many there are.
        seconds: Of one on one GPU.
    """

    run: Run
    family: str
    seeds: int
    seconds: float


def items(speeds: dict[str, float]) -> list[Item]:
    """The paper's program: CIFAR-10 of Table 6 and Fig. 6, ImageNet of Tables 2 to 4.

    Args:
        speeds: Family -> multiply-adds a second of training on one GPU.
    """
    found = []
    for network, shortcut in NETWORKS:
        family = architecture(network).family
        scale = SCALES[family]
        run = Run(network, DATA[scale], preset(scale), 0, shortcut)
        found.append(Item(run, family, SEEDS[family], cost.seconds(run, speeds[family])))
    return found


def span(program: list[Item], gpus: int) -> float:
    """Seconds until all is done on so many GPUs: the longest runs first, each where it can begin soonest."""
    jobs = []
    for item in program:
        shared = min(DEVICES[item.family], gpus)
        seconds = item.seconds / (shared * EFFICIENCY) if shared > 1 else item.seconds
        jobs += [(seconds, shared)] * item.seeds
    free = [0.0] * gpus
    for seconds, shared in sorted(jobs, reverse=True):
        begins = [heapq.heappop(free) for _ in range(shared)][-1]
        for _ in range(shared):
            heapq.heappush(free, begins + seconds)
    return max(free)


def gpu_speeds(store: Store) -> dict[str, tuple[float, str]]:
    """Family -> (multiply-adds a second on one GPU, where that comes from): measured where there is a measurement."""
    measured: dict[str, dict[str, list]] = {family: {} for family in ASSUMED_GPU}
    for config, summary in cost.measured_runs(store):
        device, speed = summary["device"], summary["images_per_second"]
        if not device.endswith("(CPU)") and " x " not in device:
            family = architecture(config["network"]).family
            multiply_adds = cost.multiply_adds(config["network"], config.get("shortcut"))
            measured.get(family, {}).setdefault(device, []).append(speed * multiply_adds)
    found = {family: (speed, "assumed") for family, speed in ASSUMED_GPU.items()}
    for family, devices in measured.items():
        for device, speeds in devices.items():
            fastest = statistics.median(speeds)
            if found[family][1] == "assumed" or fastest > found[family][0]:
                found[family] = (fastest, f"measured on {device}")
    return found


def text(store: Store, gpus: tuple[int, ...] = (1, 8, 64)) -> str:
    """Assumptions, cost of each run, and of the whole, as Markdown."""
    speeds = gpu_speeds(store)
    program = items({family: speed for family, (speed, _) in speeds.items()})
    sections = [_assumptions(speeds), _runs(program), _whole(program, gpus), _checked(store)]
    return "\n\n".join(section for section in sections if section)


def _assumptions(speeds) -> str:
    rows = []
    for family, network in (("cifar", "resnet56"), ("imagenet", "resnet50")):
        speed, source = speeds[family]
        images = speed / cost.multiply_adds(network)
        shared = (
            "one run a GPU" if DEVICES[family] == 1 else f"{DEVICES[family]} GPUs a run, {EFFICIENCY:.0%} efficient"
        )
        rows.append((PICTURES[family], f"{speed / 1e12:.2f}", f"{images:,.0f} ({network})", source, shared))
    return table(("pictures", "10¹² mult-adds/s", "images/s", "speed is", "where there are many GPUs"), rows)


def _runs(program: list[Item]) -> str:
    rows = []
    for item in program:
        run, size = item.run, item.run.recipe.batch_size
        memory = [f"{cost.memory_gb(run.network, n, 'bfloat16', run.shortcut):.1f}" for n in (size, 32)]
        hours = item.seconds / 3600
        million = cost.multiply_adds(run.network, run.shortcut) / 1e6
        rows.append((run.title, f"{million:,.0f}", *memory, f"{hours:,.1f}", item.seeds, f"{hours * item.seeds:,.0f}"))
    heading = (
        "network",
        "10⁶ mult-adds",
        "GiB, whole batch",
        "GiB, 32 images",
        "GPU hours a run",
        "seeds",
        "GPU hours",
    )
    return table(heading, rows)


def _whole(program: list[Item], gpus) -> str:
    rows = []
    for family in (*PICTURES, None):
        part = [item for item in program if family in (None, item.family)]
        hours = sum(item.seconds * item.seeds for item in part) / 3600
        days = [f"{span(part, count) / 86400:,.1f}" for count in gpus]
        rows.append((PICTURES.get(family, "both"), sum(i.seeds for i in part), f"{hours:,.0f}", *days))
    return table(("program", "runs", "GPU hours", *(f"days on {n} GPU{'s' * (n > 1)}" for n in gpus)), rows)


def _checked(store: Store) -> str:
    """The model beside finished runs of the results folder, by the median speed of each device and precision."""
    found: dict[tuple, list[tuple[float, float]]] = {}
    for run, summary in _finished(store):
        key = (run.network, run.recipe.precision, summary["device"])
        speed = cost.measured_speed(store, summary["device"], run.recipe.precision)
        if speed:
            found.setdefault(key, []).append((summary["wall_seconds"] / 60, cost.seconds(run, speed) / 60))
    rows = []
    for key, minutes in sorted(found.items()):
        taken, estimated = (statistics.median(column) for column in zip(*minutes, strict=True))
        rows.append((*key, len(minutes), f"{taken:.1f}", f"{estimated:.1f}", f"{estimated / taken:.2f}"))
    heading = ("network", "precision", "device", "runs", "minutes measured", "minutes by the model", "ratio")
    return table(heading, rows) if rows else ""


def _finished(store: Store) -> Iterator[tuple[Run, dict]]:
    """The finished runs of 1,000 iterations or more that say how long they took and where, with their summaries."""
    for folder in store.runs():
        try:
            run, summary = described(folder), folder.summary or {}
        except UserError:  # damaged, or of another version of the project
            continue
        timed = isinstance(summary.get("wall_seconds"), (int, float)) and isinstance(summary.get("device"), str)
        if summary.get("status") == "finished" and timed and run.recipe.iterations >= 1000:
            yield run, summary


def table(heading: tuple, rows: list[tuple]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [heading, tuple("---" if index == 0 else "---:" for index in range(len(heading))), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
