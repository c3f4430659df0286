"""The loss surface around a trained network, along two random directions.

After Li, Xu, Taylor, Studer and Goldstein, "Visualizing the Loss Landscape of Neural Nets", 2018: each filter of a
direction is scaled to the norm of the network's own filter, so that networks with weights of other sizes compare.
"""

import itertools

import numpy as np
from keras import ops

from resnet_keras.training.steps import compiled, losses

BATCH = 500  # images a call


def surface(network, images: np.ndarray, labels: np.ndarray, points: int = 25, seed: int = 0) -> list[dict]:
    """Loss and error at weights + x * direction 1 + y * direction 2, x and y from -1 to 1 in `points` steps each.

    Kernels alone move; biases and all of BN stay, and BN is in inference mode, as in testing. The network itself is not
    changed. Images are uint8 [n, h, w, c], labels int32 [n].

    Returns:
        Rows of x, y, cross_entropy (nats, a mean over the images, without weight decay) and error (percent).
    """

    @compiled
    def at(x, y, weights, others, first, second, images, labels):
        moved = [weight + x * dx + y * dy for weight, dx, dy in zip(weights, first, second, strict=True)]
        scores, _ = network.stateless_call(moved, others, images, training=False)
        return ops.stack(losses(scores, labels))

    draw = np.random.default_rng(seed)
    groups = (network.trainable_variables, network.non_trainable_variables, direction(network, draw))
    values = [[ops.convert_to_tensor(each) for each in group] for group in (*groups, direction(network, draw))]
    batches = [
        [ops.convert_to_tensor(array[start : start + BATCH]) for array in (images, labels)]
        for start in range(0, len(images), BATCH)
    ]
    rows = []
    for x, y in itertools.product(np.linspace(-1.0, 1.0, points).tolist(), repeat=2):
        place = [ops.convert_to_tensor(step, "float32") for step in (x, y)]
        wrong, entropy = sum(np.asarray(at(*place, *values, *batch), np.float64) for batch in batches) / len(images)
        rows.append({"x": x, "y": y, "cross_entropy": float(entropy), "error": 100.0 * float(wrong)})
    return rows


def direction(network, draw: np.random.Generator) -> list[np.ndarray]:
    """A random direction, float32, for each trainable variable: of each filter's own norm; 0 where it is no kernel."""
    parts = []
    for variable in network.trainable_variables:
        weights = np.asarray(ops.convert_to_numpy(variable), np.float64)
        noise = draw.standard_normal(weights.shape)
        within = tuple(range(weights.ndim - 1))  # a filter is what makes one output channel
        scale = np.sqrt((weights**2).sum(within) / (noise**2).sum(within)) * (weights.ndim > 1)
        parts.append((noise * scale).astype(np.float32))
    return parts
