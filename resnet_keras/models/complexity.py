"""Trainable parameters, and multiply-adds of convolutions and fully-connected layers, the paper's FLOPs (Table 1)."""

import math

from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import FAMILIES, VGG_WIDTH, architecture, checked, convolutions, projects


def complexity(network, by: str = "layer", **options):
    """Count the trainable parameters and multiply-adds of a network, or of a name with options of `resnet_keras.build`.

    Returns a pandas DataFrame. By layer, a row for every layer with weights: stage, layer (its place below the
    network's name), kind ("conv", "bn" or "fc"), kernel and stride in pixels, filters, output (height, width,
    channels), parameters and multiply_adds of one image. By stage: stage, output, layers (in the words of Table 1),
    parameters and multiply_adds. Raises a UserError for no such network or option, and for an open image size.
    """
    import pandas as pd

    if by not in ("layer", "stage"):
        raise UserError(f"by={by!r}: use 'layer' or 'stage'.")
    described = _described(network, options)
    columns = ["stage", "layer", "kind", "kernel", "stride", "filters", "output", "parameters", "multiply_adds"]
    table = pd.DataFrame(_layers(*described), columns=columns)
    if by == "layer":
        return table
    stages = table.groupby("stage", sort=False).agg({"output": "last", "parameters": "sum", "multiply_adds": "sum"})
    stages.insert(1, "layers", [_words(*described, stage) for stage in stages.index])
    return stages.reset_index()


def _described(network, options: dict) -> tuple:
    """A network's `Architecture` and arguments, from its name or itself."""
    if isinstance(network, str):
        return architecture(network), checked(network, **options)
    return architecture(network.name), network.arguments


def _layers(net, arguments):
    """A row for every layer with weights, in the order of the data."""
    *size, channels = arguments["input_shape"]
    if None in size:
        raise UserError(f"{net.name} takes images of any size: give an input_shape, such as (224, 224, 3), to count.")

    def convolution(stage, place, filters, kernel, stride, size, channels):
        """Rows of a convolution and its BN, and the size and channels of their output."""
        size, weights = tuple(-(-side // stride) for side in size), kernel**2 * channels * filters
        output, bias = (*size, filters), filters if net.family == "vgg" and not arguments["batch_norm"] else 0
        rows = [(stage, place, "conv", kernel, stride, filters, output, weights + bias, weights * math.prod(size))]
        bn = (stage, place.replace("conv", "bn"), "bn", None, None, filters, output, 2 * filters, 0)
        return rows + [bn] * arguments["batch_norm"], size, filters

    if stem := FAMILIES[net.family].stem:
        rows, size, channels = convolution("conv1", "conv1", *stem, size, channels)
        yield from rows
    for number, stage in enumerate(net.stages_up_to(arguments["features"])[bool(stem) :]):
        if net.family == "imagenet" and not number:
            border = {"end": 1, "both": 2}[arguments["pool_padding"]]
            size = [(side + border - 3) // 2 + 1 for side in size]
        elif net.family == "vgg" and number:
            size = [side // 2 for side in size]
        for name, width, stride in net.layout()[stage]:
            before = size, channels
            plan = convolutions(net.block, width, stride, arguments.get("stride_in"))
            for place, (filters, kernel, step) in enumerate(plan, start=1):
                place = f"conv{name}" if net.block == "conv" else f"{name}/conv{place}"
                rows, size, channels = convolution(stage, place, filters, kernel, step, size, channels)
                yield from rows
            if projects(arguments.get("shortcut"), grows=stride > 1 or before[1] != channels):
                yield from convolution(stage, f"{name}/shortcut_conv", channels, 1, stride, *before)[0]
    if arguments["include_top"]:
        heads = [("fc", arguments["classes"])]
        if net.family == "vgg":
            channels *= math.prod(side // 2 for side in size)
            heads = [("fc6", VGG_WIDTH), ("fc7", VGG_WIDTH), ("fc8", arguments["classes"])]
        for place, units in heads:
            weights = channels * units
            yield "top", place, "fc", None, None, units, (units,), weights + units, weights
            channels = units


def _words(net, arguments: dict, stage: str) -> str:
    """A stage's layers in the paper's words, a line a kind: "[1×1, 64; 3×3, 64; 1×1, 256] × 3"."""
    halving = "2×2 max pool, stride 2"
    if stage == "top":
        fc = f"{arguments['classes']}-d fc"
        return f"{halving}\n[{VGG_WIDTH}-d fc] × 2\n{fc}" if net.family == "vgg" else f"average pool, {fc}"
    if stage == "conv1" and net.family != "vgg":
        filters, kernel, stride = FAMILIES[net.family].stem
        return f"{kernel}×{kernel}, {filters}" + f", stride {stride}" * (stride > 1)
    blocks = net.layout()[stage]
    plan = "; ".join(f"{kernel}×{kernel}, {filters}" for filters, kernel, _ in convolutions(net.block, blocks[0][1], 1))
    pool = {("imagenet", "conv2"): "3×3 max pool, stride 2\n", ("vgg", "conv1"): ""}
    return pool.get((net.family, stage), f"{halving}\n" if net.family == "vgg" else "") + f"[{plan}] × {len(blocks)}"


def table1(network, **options):
    """A `rich` table of a network's stages, as in the paper's Table 1; takes and raises what `complexity` does."""
    import rich.box
    from rich.table import Table
    from rich.text import Text

    net, arguments = _described(network, options)
    stages = complexity(network, by="stage", **options)
    unit, power = (10**6, "10⁶") if net.family == "cifar" else (10**9, "10⁹")
    option = f", option {arguments['shortcut']}" if arguments.get("shortcut", "none") != "none" else ""
    table = Table(box=rich.box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    for heading, footer in (("stage", "total"), ("output", ""), (f"{net.name} ({net.depth} layers{option})", "")):
        table.add_column(heading, footer, no_wrap=True)
    table.add_column("parameters", f"{stages['parameters'].sum():,}", justify="right")
    table.add_column(f"mult-adds\n({power})", f"{stages['multiply_adds'].sum() / unit:,.3f}", justify="right")
    for row in stages.itertuples():
        place = f"{row.stage}_x" if row.stage.startswith("conv") and row.stage != "conv1" else row.stage
        output = "×".join(map(str, row.output[:2] if len(row.output) == 3 else (1, 1)))
        table.add_row(place, output, Text(row.layers), f"{row.parameters:,}", f"{row.multiply_adds / unit:,.3f}")
    return table
