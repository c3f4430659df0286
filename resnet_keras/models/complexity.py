"""Trainable parameters and multiply-adds, counted from the layers' shapes: no data runs through the network.

A multiply-add is one multiplication and one addition, the paper's "FLOP" (Table 1); convolutions and fully-connected
layers count, and nothing else does, as in the paper.
"""

from __future__ import annotations

import itertools
import math

from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import architecture, assemble

COLUMNS = ("stage", "layer", "kind", "kernel", "stride", "filters", "output", "parameters", "multiply_adds")


def complexity(network, by: str = "layer", **options):
    """Count a network's trainable parameters and multiply-adds.

    Args:
        network: A network, built or not, or the name of one, which is then counted without making its weights.
        by: ``"layer"``: a row for every layer with weights; ``"stage"``: a row for every stage.
        **options: With a name, options of `resnet_keras.build`.

    Returns:
        A pandas DataFrame. By layer: stage, layer (its place below the network's name), kind ("conv", "bn" or "fc"),
        kernel and stride in pixels, filters, output (height, width, channels), parameters and multiply_adds for one
        picture. By stage: stage, output, parameters, multiply_adds. Sums over the column are the whole network's.

    Raises:
        UserError: No such network or option; or a picture size that is open, so that nothing can be counted.
    """
    import pandas as pd

    if isinstance(network, str):
        network = assemble(network, **options)
    if by not in ("layer", "stage"):
        raise UserError(f"by={by!r}: use 'layer' or 'stage'.")
    if None in network.arguments["input_shape"]:
        raise UserError(
            f"{network.name} takes pictures of any size: build it with an input_shape, such as (224, 224, 3), to count."
        )
    table = pd.DataFrame(_rows(network), columns=COLUMNS)
    if by == "layer":
        return table
    ends = table[table["kind"] != "bn"].groupby("stage", sort=False)["output"].last()
    sums = table.groupby("stage", sort=False)[["parameters", "multiply_adds"]].sum()
    return sums.assign(output=ends).reset_index()[["stage", "output", "parameters", "multiply_adds"]]


def _rows(network):
    stage_of = {layer.name: stage for stage, layers in network.stages.items() for layer in layers}
    for place, layer, shape in network.parts():
        kind, count = _found(COUNTS, layer, (None, None))
        if kind is None:
            continue
        output = layer.compute_output_shape(shape)[1:]
        parameters, multiply_adds = count(layer, shape[-1], output)
        yield {
            "stage": stage_of.get(place.partition("/")[0], "top"),
            "layer": place,
            "kind": kind,
            "kernel": layer.kernel_size[0] if kind == "conv" else None,
            "stride": layer.strides[0] if kind == "conv" else None,
            "filters": output[-1],
            "output": output,
            "parameters": parameters,
            "multiply_adds": multiply_adds,
        }


def _found(table: dict, layer, otherwise):
    """A layer's entry in a table by the name of its class or of one it derives from."""
    return next((table[cls.__name__] for cls in type(layer).__mro__ if cls.__name__ in table), otherwise)


def _convolution(layer, channels_in: int, output: tuple) -> tuple[int, int]:
    weights = math.prod(layer.kernel_size) * channels_in * layer.filters
    return weights + layer.use_bias * layer.filters, weights * math.prod(output[:-1])


def _fully_connected(layer, channels_in: int, output: tuple) -> tuple[int, int]:
    weights = channels_in * layer.units
    return weights + layer.use_bias * layer.units, weights


def _normalization(layer, channels_in: int, output: tuple) -> tuple[int, int]:
    return 2 * channels_in, 0  # gamma and beta; the moving statistics are not trained


# Keras' class -> our word for it, and (parameters, multiply-adds) of such a layer.
COUNTS = {
    "Conv2D": ("conv", _convolution),
    "Dense": ("fc", _fully_connected),
    "BatchNormalization": ("bn", _normalization),
}


def table1(network, **options) -> str:
    """A network in the form of the paper's Table 1, as text: the layers of each stage, and what they cost.

    Takes and raises what `complexity` does. The right columns are trainable parameters and multiply-adds.
    """
    if isinstance(network, str):
        network = assemble(network, **options)
    counts = complexity(network, by="stage").set_index("stage")
    total = counts[["parameters", "multiply_adds"]].sum()
    name, unit = next((name, unit) for name, unit in UNITS if total["multiply_adds"] >= unit or unit == 1)
    lines = [("layer name", "output size", describe_network(network), "parameters", f"mult-adds{name}")]
    for stage, row in counts.iterrows():
        first, *further = describe_stage(network, stage)
        cost = f"{row['parameters']:,}", _in_units(row["multiply_adds"], unit)
        lines.append((_title(stage), _size(row["output"]), first, *cost))
        lines += [("", "", text, "", "") for text in further]
    cost = f"{total['parameters']:,}", _in_units(total["multiply_adds"], unit)
    return _aligned([*lines, ("total", "", "", *cost)])


def compare(networks: list):
    """Networks of one family beside each other, as the paper's Table 1 has them, as a pandas DataFrame of text.

    Args:
        networks: Networks, built or not, whose stages have the same names and maps.

    Returns:
        A row for each stage and a column for each network, before them the size of the stage's maps.
    """
    import pandas as pd

    sizes = complexity(networks[0], by="stage").set_index("stage")["output"].map(_size)
    columns = {net.name: {stage: _stacked(describe_stage(net, stage)) for stage in sizes.index} for net in networks}
    table = pd.DataFrame({"output size": sizes, **columns})
    return table.rename(index=_title).rename_axis(None)


def _stacked(texts: list[str]) -> str:
    """A line for every convolution, as brackets stand in Table 1."""
    return "\n".join(texts).replace("; ", "\n ")


UNITS = ((" (10⁹)", 10**9), (" (10⁶)", 10**6), ("", 1))


def _in_units(count: int, unit: int) -> str:
    return f"{count / unit:,.3f}" if unit > 1 else f"{count:,}"


def _title(stage: str) -> str:
    """The paper's word for a stage: conv3_x."""
    return f"{stage}_x" if stage.startswith("conv") and stage != "conv1" else stage


def _size(output: tuple) -> str:
    return f"{output[0]} × {output[1]}" if len(output) == 3 else "1 × 1"


def describe_network(network) -> str:
    """Name, depth and shortcut option."""
    option = network.arguments.get("shortcut", "none")
    return f"{network.name} ({architecture(network.name).depth} layers{f', option {option}' * (option != 'none')})"


def describe_stage(network, stage: str) -> list[str]:
    """A stage's layers in the paper's words, a string for every line: "[1×1, 64; 3×3, 64; 1×1, 256] × 3"."""
    if stage == "top":
        return [", ".join(filter(None, map(_describe, network.top)))]
    texts = filter(None, map(_describe, network.stages[stage]))
    groups = [(text, len(list(equal))) for text, equal in itertools.groupby(texts)]
    return [text if count == 1 else f"{_bracketed(text)} × {count}" for text, count in groups]


def _bracketed(text: str) -> str:
    return text if text.startswith("[") else f"[{text}]"


def _describe(layer) -> str:
    return _found(WORDS, layer, lambda layer: "")(layer)


def _describe_block(layer) -> str:
    return "[" + "; ".join(f"{size}×{size}, {filters}" for filters, size, _ in layer.plan()) + "]"


def _describe_convolution(layer) -> str:
    stride = f", stride {layer.strides[0]}" if layer.strides[0] > 1 else ""
    return f"{layer.kernel_size[0]}×{layer.kernel_size[0]}, {layer.filters}{stride}"


WORDS = {
    "Block": _describe_block,
    "Conv2D": _describe_convolution,
    "MaxPooling2D": lambda layer: f"{layer.pool_size[0]}×{layer.pool_size[0]} max pool, stride {layer.strides[0]}",
    "GlobalAveragePooling2D": lambda layer: "average pool",
    "GlobalMaxPooling2D": lambda layer: "max pool",
    "Dense": lambda layer: f"{layer.units}-d fc",
    "Dropout": lambda layer: "dropout",
}


def _aligned(lines: list[tuple]) -> str:
    """Columns of text: the last two to the right, a rule under the heading and above the total."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "  ".join(
            cell.rjust(width) if column >= len(widths) - 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([text[0], rule, *text[1:-1], rule, text[-1]])
