"""Inside a network: responses of its layers (Fig. 7), norms of its gradients, lesions, and the loss around it.

Images are uint8 [n, h, w, c], without augmentation, labels int32 [n]; no network is changed. Results are rows of a
table, each with the number of `images`.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from keras import ops

from resnet_keras.evaluation.accuracy import top_error
from resnet_keras.models.blocks import Block
from resnet_keras.models.layers import Conv2D
from resnet_keras.training.steps import compiled, gradients, losses

BATCH = 250  # images a call


def responses(network, images: np.ndarray) -> list[dict]:
    """Standard deviation of every 3x3 layer's response: after BN, before the ReLU or the addition (Fig. 7).

    In inference mode. Returns a row a layer, in the order of the data: layer (from 1), place (``stage2_block1/conv2``),
    std (over all images, positions and channels; the paper leaves this open), std_image (within an image: the median).
    """
    seen: dict[str, list] = {}  # place -> mean and variance within each image, a batch an array
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        for (place, layer, *_), (*_, response) in itertools.pairwise(network.walk(batch)):
            if isinstance(layer, Conv2D) and layer.kernel_size == (3, 3):  # then this is the response of its BN
                moments = ops.moments(ops.cast(response, "float32"), axes=(1, 2, 3))
                seen.setdefault(place, []).append(np.stack([ops.convert_to_numpy(each) for each in moments]))
    rows = []
    for place, batches in seen.items():
        means, variances = np.concatenate(batches, axis=1).astype(np.float64)
        stds = {"std": np.sqrt(variances.mean() + means.var()), "std_image": np.median(np.sqrt(variances))}
        rows.append({"layer": len(rows) + 1, "place": place, **stds, "images": len(images)})
    return rows


def gradient_norms(network, images: np.ndarray, labels: np.ndarray, batches: int) -> Callable[[], list[dict]]:
    """A function that measures the gradients that a training step would see, at any time of the network's training.

    It returns a row a kernel, in data order: layer (from 1), place, weight_norm, gradient_norm (a mean over `batches`
    equal parts of the images; without weight decay, BN as in training), and cross_entropy, the same in all rows.
    """
    loss_and_gradients = gradients(network)
    parts = list(zip(np.split(images, batches), np.split(labels, batches), strict=True))

    def measure() -> list[dict]:
        results = [loss_and_gradients(*part) for part in parts]
        shared = {"cross_entropy": float(np.mean([loss for loss, _ in results])), "images": len(images)}
        rows = []
        for kernel, *arrays in zip(network.trainable_variables, *(arrays for _, arrays in results), strict=True):
            place, _, kind = kernel.path.partition("/")[2].rpartition("/")
            if kind == "kernel":
                norms = {"gradient_norm": float(np.mean(list(map(l2_norm, arrays)))), "weight_norm": l2_norm(kernel)}
                rows.append({"layer": len(rows) + 1, "place": place, **norms, **shared})
        return rows

    return measure


def l2_norm(values) -> float:
    """L2 norm of all elements of an array or variable."""
    return float(np.linalg.norm(np.asarray(ops.convert_to_numpy(values), np.float64)))


def lesions(network, images: np.ndarray, labels: np.ndarray) -> list[dict]:
    """Test error of the intact network and with one block left out or two neighbours swapped, nothing retrained.

    After Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", 2016.
    Returns rows of lesion ("none", "delete" or "swap"), block (from 1; a swap's first), place (its name), grows
    (whether it changes the map's size) and error in percent.
    """
    results = ((case, logits(network, layers, images)) for case, layers in lesioned(network))
    return [{**case, "error": top_error(scores, labels), "images": len(images)} for case, scores in results]


def lesioned(network) -> Iterator[tuple[dict, list]]:
    """(What `lesions` says of it, the layers) of the intact network, then of each with a deletion, then a swap."""
    chain, cases = network.chain(), []
    yield {"lesion": "none", "block": 0, "place": "", "grows": False}, chain
    for place, layer in enumerate(chain):
        if isinstance(layer, Block):
            case = {"block": len(cases) + 1, "place": layer.name, "grows": not layer.keeps_shape}
            cases.append((place, case))
            yield {"lesion": "delete", **case}, without(chain, place)
    for (place, case), (_, following) in itertools.pairwise(cases):
        if not case["grows"] and not following["grows"]:
            yield {"lesion": "swap", **case}, [*chain[:place], chain[place + 1], chain[place], *chain[place + 2 :]]


def without(chain: list, place: int) -> list:
    """The layers without a block's convolutions: its shortcut alone; where a plain block grows, option A's."""
    block = chain[place]

    def shortcut(x, training=False):
        return ops.relu(block.carried(x, training))

    shortcut.name = block.name
    return [*chain[:place], shortcut, *chain[place + 1 :]]


def logits(network, layers: list, images: np.ndarray) -> np.ndarray:
    """Logits [n, classes] of a network with these layers for its own, in inference mode."""
    parts = []
    for start in range(0, len(images), BATCH):
        x = images[start : start + BATCH]
        for layer in layers:
            x = layer(x, training=False)
        parts.append(ops.convert_to_numpy(x))
    return np.concatenate(parts)


def surface(network, images: np.ndarray, labels: np.ndarray, points: int = 25, seed: int = 0) -> list[dict]:
    """Loss and error at weights + x * direction 1 + y * direction 2, x and y from -1 to 1 in `points` steps each.

    After Li, Xu, Taylor, Studer and Goldstein, "Visualizing the Loss Landscape of Neural Nets", 2018: each filter of a
    random direction has the norm of the network's own. Kernels alone move, and BN is in inference mode. Returns rows of
    x, y, cross_entropy (nats, a mean over the images, without weight decay) and error (percent).
    """

    @compiled
    def at(x, y, weights, others, first, second, images, labels):
        moved = [weight + x * dx + y * dy for weight, dx, dy in zip(weights, first, second, strict=True)]
        scores, _ = network.stateless_call(moved, others, images, training=False)
        return ops.stack(losses(scores, labels))

    draw = np.random.default_rng(seed)
    groups = (network.trainable_variables, network.non_trainable_variables, random_direction(network, draw))
    values = [[ops.convert_to_tensor(each) for each in group] for group in (*groups, random_direction(network, draw))]
    starts = range(0, len(images), BATCH)
    batches = [[ops.convert_to_tensor(each[start : start + BATCH]) for each in (images, labels)] for start in starts]
    rows = []
    for x, y in itertools.product(np.linspace(-1.0, 1.0, points).tolist(), repeat=2):
        place = [ops.convert_to_tensor(step, "float32") for step in (x, y)]
        sums = sum(np.asarray(at(*place, *values, *batch), np.float64) for batch in batches)
        wrong, entropy = (sums / len(images)).tolist()
        rows.append({"x": x, "y": y, "cross_entropy": entropy, "error": 100.0 * wrong, "images": len(images)})
    return rows


def random_direction(network, draw: np.random.Generator) -> list[np.ndarray]:
    """A random direction, float32, for each trainable variable: of each filter's own norm; 0 where it is no kernel."""
    parts = []
    for variable in network.trainable_variables:
        weights = np.asarray(ops.convert_to_numpy(variable), np.float64)
        noise = draw.standard_normal(weights.shape)
        within = tuple(range(weights.ndim - 1))  # a filter is what makes one output channel
        scale = np.sqrt((weights**2).sum(within) / (noise**2).sum(within)) * (weights.ndim > 1)
        parts.append((noise * scale).astype(np.float32))
    return parts
