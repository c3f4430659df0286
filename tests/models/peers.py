"""A network's weights as torchvision names, orders and feeds them, written from its definitions: no PyTorch needed."""

import numpy as np

from tests.models.reference import array

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def torchvision(network) -> dict[str, np.ndarray]:
    """The state dict of torchvision's network that computes what this one does, from (pixels / 255 - MEAN) / STD."""
    state = {}

    def norm(name, layer):
        state.update({f"{name}.{theirs}": array(getattr(layer, ours)) for ours, theirs in NORM.items()})
        state[f"{name}.num_batches_tracked"] = np.array(7)

    def conv(name, layer, scale=1.0):
        state[f"{name}.weight"] = np.ascontiguousarray((array(layer.kernel) * scale).transpose(3, 2, 0, 1))

    scale = (255 * STD)[:, None]
    if network.name.startswith("vgg"):
        _vgg(network, state, conv, norm, scale)
    else:
        stem = network.stages["conv1"]
        conv("conv1", stem[0], scale), norm("bn1", stem[1])
        for stage, number in zip(("conv2", "conv3", "conv4", "conv5"), range(1, 5), strict=True):
            blocks = [layer for layer in network.stages[stage] if hasattr(layer, "convs")]
            for place, block in enumerate(blocks):
                for part in range(len(block.convs)):
                    conv(f"layer{number}.{place}.conv{part + 1}", block.convs[part])
                    norm(f"layer{number}.{place}.bn{part + 1}", block.bns[part])
                if block.shortcut_conv is not None:
                    conv(f"layer{number}.{place}.downsample.0", block.shortcut_conv)
                    norm(f"layer{number}.{place}.downsample.1", block.shortcut_bn)
        state["fc.weight"], state["fc.bias"] = array(network.top[-1].kernel).T, array(network.top[-1].bias)
    kinds = {name: "int64" if "tracked" in name else "float32" for name in state}
    return {name: np.ascontiguousarray(value, kinds[name]) for name, value in state.items()}


def _vgg(network, state, conv, norm, scale):
    layers = [layer for layers in network.stages.values() for layer in layers]
    for number, layer in enumerate(layers):  # torchvision's features: convolutions, BNs, ReLUs and poolings
        if "conv" in layer.name:
            conv(f"features.{number}", layer, scale if number == 0 else 1.0)
            biases = array(layer.bias) if layer.use_bias else np.full(layer.filters, 0.25)
            state[f"features.{number}.bias"] = biases
        elif "bn" in layer.name:
            norm(f"features.{number}", layer)
            state[f"features.{number}.running_mean"] += 0.25  # what the bias before it adds
    dense = [layer for layer in network.top if hasattr(layer, "units")]
    height, width = (side // 32 for side in network.arguments["input_shape"][:2])
    for number, layer in zip((0, 3, 6), dense, strict=True):
        kernel = array(layer.kernel)
        if number == 0:  # its inputs are flattened [c, h, w] there, [h, w, c] here
            kernel = kernel.reshape(height, width, -1, layer.units).transpose(2, 0, 1, 3).reshape(-1, layer.units)
        state[f"classifier.{number}.weight"], state[f"classifier.{number}.bias"] = kernel.T, array(layer.bias)
