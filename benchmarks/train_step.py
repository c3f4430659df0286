"""Whole training steps of this package, of stock Keras, of bare TensorFlow and of PyTorch, in images a second."""

import concurrent.futures
import contextlib
import functools

from benchmarks import records
from benchmarks.contenders import OURS, Contender, contenders
from benchmarks.worker import Skipped, Worker

NETWORKS = ["resnet20", "resnet56", "resnet110"]
ONEDNN_BY_ITSELF = ("AVX-512 with bfloat16", "AMX")  # classes of CPU where TensorFlow uses it unless told not to
# This package's speed over a contender's has to be: class of CPU, "gpu" or "any" -> at least.
TARGETS = {
    "Keras fit, float32": {"any": 2.5},
    "tf.function, bfloat16": {"any": 0.95},
    "PyTorch, float32": {"AVX2": 1.05},
    "PyTorch compiled, float32": {"AVX2": 1.05},
    "PyTorch compiled, bfloat16": {"AVX-512 with bfloat16": 1.05, "AMX": 1.0, "gpu": 1.5},
}
PYTHON_PERCENT = 5.0  # of a step on a GPU, at most


def measure(options):
    """Yield the rows of one network after the other; `options` are those of the command line."""
    for network in options.networks:
        environment = records.environment()
        with contextlib.ExitStack() as stack:
            workers, skipped = start(stack, network, options)
            rows = rows_of(network, workers, take_turns(workers, options), environment["class"])
        yield [{**row, "batch_size": options.batch_size, **environment} for row in rows + skipped]


def start(stack, network: str, options) -> tuple[list[Worker], list[dict]]:
    """The workers that run, and rows that say why the others do not; a core starts one at a time."""
    from resnet_keras.quiet import cores
    from resnet_keras.training import device

    kind, precision = device.kind(), device.settings().precision

    def begin(contender: Contender) -> Worker:
        reason = left_out(contender, kind)
        if reason:
            raise Skipped(reason)
        return Worker(contender, network, options.batch_size, options.torch_python)

    selected = contenders(precision)
    if network in ("resnet8", "resnet110"):  # starting takes a minute: the fastest of each kind, and Keras as is usual
        selected = [c for c in selected if c.precision == ("float32" if c.name == "Keras fit" else precision)]
        selected = [c for c in selected if c.name not in ("Keras fit, oneDNN", "PyTorch")]
    workers, rows = [], []
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        for contender, worker in [(contender, pool.submit(begin, contender)) for contender in selected]:
            try:
                workers.append(stack.enter_context(contextlib.closing(worker.result())))
            except Skipped as reason:
                names = {"network": network, "contender": contender.name, "precision": contender.precision}
                rows.append({**names, "note": f"left out: {reason}"})
    return workers, rows


def left_out(contender: Contender, kind: str) -> str:
    """Why a contender is not worth a process on this kind of device; empty where it is."""
    from resnet_keras.quiet import NO_BFLOAT16

    if contender.precision == "bfloat16" and kind in NO_BFLOAT16:
        return "no bfloat16 arithmetic in this CPU, where a step takes seconds"
    if contender.name == "Keras fit, oneDNN" and kind in ONEDNN_BY_ITSELF:
        return "as Keras fit, since TensorFlow uses oneDNN by itself on this class of CPU"
    return ""


def take_turns(workers: list[Worker], options) -> dict[str, list[float]]:
    """Images a second of each in each round that counts; a turn has as many whole steps as fit, one at least."""

    def speed(worker: Worker, steps: int) -> float:
        return options.batch_size * steps / worker.call("take", steps)

    ways = {}
    for worker in workers:
        steps = 1
        for _ in range(3):  # the first turns warm up, and one step says little where many go in a call
            steps = max(1, round(options.turn * speed(worker, steps) / options.batch_size))
        ways[worker.contender.title] = functools.partial(speed, worker, steps)
    return records.interleaved(ways, options.rounds)


def rows_of(network: str, workers: list[Worker], speeds: dict[str, list[float]], kind: str) -> list[dict]:
    """A row per contender, with ratios of medians.

    `ours_faster`: this package in the precision of the first row, the device's best, over the contender;
    `same_precision`: this package in the contender's precision over the contender.
    """
    limits = {title: limit.get(kind, limit.get("any")) for title, limit in TARGETS.items()}
    columns, rows = records.compared("images_per_second", speeds, limits), []
    for worker in workers:
        name, precision = worker.contender.name, worker.contender.precision
        row = {"network": network, "contender": name, "precision": precision, **columns[worker.contender.title]}
        ours = columns.get(f"{OURS}, {precision}")
        row["same_precision"] = records.rounded(ours["images_per_second"] / row["images_per_second"]) if ours else ""
        if kind == "gpu" and name == OURS:
            percent = records.rounded(100 * worker.call("python_share", 5))
            row |= {"python_percent": percent, "target": records.judged(percent, at_most=PYTHON_PERCENT)}
        rows.append({**row, "versions": worker.started["versions"]})
    return rows
