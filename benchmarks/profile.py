"""Where a training step's time goes on TensorFlow, beside what this machine's arithmetic would allow."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import records
from benchmarks.contenders import make

NETWORK, BATCH, STEPS = "resnet20", 128, 10
# What an operation belongs to, by the start of its type; the first that fits. Grappler fuses ReLU into BN, forward.
KINDS = {
    "convolution": ("Conv2D", "_FusedConv2D", "_MklNativeConv2D", "_MklFusedConv2D", "_MklNativeFusedConv2D",
                    "_MklNativeConv", "_MklConv"),
    "batch normalization": ("FusedBatchNorm", "_FusedBatchNorm", "_MklFusedBatchNorm", "_MklNativeFusedBatchNorm"),
    "ReLU and addition": ("Relu", "ReluGrad", "AddV2", "AddN", "_MklAddN"),
    "casts and layout": ("Cast", "Transpose", "Pad", "Slice", "StridedSlice", "ConcatV2", "Reshape"),
    "pictures": ("GatherV2", "ResourceGather"),
    "optimizer": ("Assign", "Resource", "Read", "_Read"),
}  # fmt: skip
SIZES = {"matmul": 2048}  # of the square matrices
# Convolutions of the three stages: (pixels a side, channels).
STAGES = ((32, 16), (16, 32), (8, 64))


def measure(options):
    """Yield rows: milliseconds of a step by kind of operation, then the floor of the same network."""
    environment = records.environment()  # imports Keras as the package does
    import keras

    if keras.config.backend() != "tensorflow":
        print("profile: only TensorFlow's profiler is read")
        return
    network, batch, size = ("resnet8", 16, 64) if options.smoke else (NETWORK, BATCH, SIZES["matmul"])
    for precision in ("bfloat16", "float32"):
        yield [{**row, **environment} for row in step_rows(network, precision, batch, 2 if options.smoke else STEPS)]
    yield [{**row, **environment} for row in floor_rows(network, batch, size, options.rounds)]


def step_rows(network: str, precision: str, batch: int, steps: int) -> list[dict]:
    """Time of the operations of a step, summed by kind, and the step's own, which is shorter where they overlap."""
    import tensorflow as tf

    training = make("ours", network, precision, batch)
    training.take(steps)
    training.take(steps)
    seconds = training.take(steps)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        training.take(steps)
        tf.profiler.experimental.stop()
        (trace,) = Path(folder).rglob("*.xplane.pb")
        found = by_kind(trace)
    total = sum(found.values())
    step = {"network": network, "precision": precision, "what": "step", "milliseconds": seconds / steps * 1000}
    rows = [
        {**step, "what": kind, "milliseconds": 1000 * busy / steps, "percent": 100 * busy / total}
        for kind, busy in sorted(found.items(), key=lambda item: -item[1])
    ]
    return [_rounded(row) for row in [step, *rows]]


def by_kind(trace: Path) -> dict[str, float]:
    """Seconds of the operations in a trace, by kind of `KINDS`."""
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    space = XSpace()
    space.ParseFromString(trace.read_bytes())
    found: dict[str, float] = {}
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events if line.name.startswith("tf_Compute") else ():
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if (
                    name and not name.endswith(":") and kind not in CONTAINERS
                ):  # node:Type; C++ functions have two colons
                    found[_kind(kind)] = found.get(_kind(kind), 0.0) + event.duration_ps / 1e12
    return found


# Operations that only hold others.
CONTAINERS = {"While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf"}


def _kind(operation: str) -> str:
    return next((kind for kind, starts in KINDS.items() if operation.startswith(starts)), "other")


def floor_rows(network: str, batch: int, size: int, rounds: int) -> list[dict]:
    """Measured rates of matrix products and convolutions, and the step's arithmetic at each rate."""
    from resnet_keras.models.complexity import complexity

    arithmetic = (
        6e-9 * batch * complexity(network)["multiply_adds"].sum()
    )  # GFLOP: two a multiply-add; backward takes twice the forward
    rows = []
    for precision in ("bfloat16", "float32"):
        rates = {f"matmul of {size}": matmul_rate(size, precision, rounds)}
        for side, channels in STAGES:
            rate = convolution_rate(side, channels, batch, precision, rounds)
            rates[f"3x3 convolutions of {channels} channels"] = rate
        rates["convolutions of the three stages"] = len(STAGES) / sum(1 / r for n, r in rates.items() if "3x3" in n)
        for name, rate in rates.items():
            row = {"network": network, "precision": precision, "what": f"floor: {name}", "gflop_per_second": rate}
            rows.append(_rounded({**row, "milliseconds": arithmetic / rate * 1000}))
    return rows


def matmul_rate(size: int, precision: str, rounds: int) -> float:
    """GFLOP a second of a square matrix product."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.normal((size, size)), precision)
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    return 2e-9 * size**3 / fastest(product, rounds)


def convolution_rate(side: int, channels: int, batch: int, precision: str, rounds: int) -> float:
    """GFLOP a second of a 3x3 convolution and both its gradients."""
    import tensorflow as tf

    pictures = tf.cast(tf.random.normal((batch, side, side, channels)), precision)
    kernel = tf.cast(tf.random.normal((3, 3, channels, channels)), precision)

    @tf.function
    def all_three():
        out = tf.nn.conv2d(pictures, kernel, 1, "SAME")
        backward = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=pictures.shape, filter=kernel, out_backprop=out, strides=[1, 1, 1, 1], padding="SAME"
        )
        update = tf.raw_ops.Conv2DBackpropFilter(
            input=pictures, filter_sizes=kernel.shape, out_backprop=out, strides=[1, 1, 1, 1], padding="SAME"
        )
        return backward, update

    return 6e-9 * batch * side**2 * 9 * channels**2 / fastest(all_three, rounds)


def fastest(function, rounds: int, repeats: int = 5) -> float:
    """Seconds of a call, the least of several: a floor is what nothing disturbed."""
    function()
    times = []
    for _ in range(rounds * repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def _rounded(row: dict) -> dict:
    return {key: records.rounded(value, 3) if isinstance(value, float) else value for key, value in row.items()}
