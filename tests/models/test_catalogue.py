"""Names, options, their errors; parameters and multiply-adds against the paper, variables and TensorFlow's profiler."""

import keras
import numpy as np
import pytest
from rich.console import Console

from resnet_keras import UserError, build, complexity, names
from resnet_keras.models.catalogue import architecture, projects, resolve_shortcut
from resnet_keras.models.complexity import table1


def test_names_are_the_papers_and_as_deep_as_they_say():
    assert names() == [
        *(f"plain{depth}" for depth in (20, 32, 44, 56, 110)),
        *(f"resnet{depth}" for depth in (20, 32, 44, 56, 110, 1202)),
        *("plain18", "plain34", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg16", "vgg19"),
    ]
    for name in names():
        net = architecture(name)
        layers = sum(net.blocks) * {"basic": 2, "bottleneck": 3, "conv": 1}[net.block]
        assert layers + (3 if net.family == "vgg" else 2) == net.depth


def test_the_papers_option_is_the_default_and_who_projects():
    papers = {"resnet20": "A", "resnet34": "A", "resnet50": "B", "plain56": "none", "vgg16": "none"}
    assert {name: resolve_shortcut(name, None) for name in papers} == papers
    expected = {"A": (False, False), "B": (False, True), "C": (True, True), "none": (False, False)}
    assert {option: tuple(projects(option, grows) for grows in (False, True)) for option in expected} == expected


@pytest.mark.parametrize(("name", "options", "says"), [
    ("resnet5O", {}, "unknown network 'resnet5O': did you mean resnet"),
    ("resnet57", {}, r"unknown network 'resnet57': did you mean resnet5.* CIFAR depths are 6n\+2"),
    ("vgg11", {}, "did you mean vgg1[69] or vgg1[69]"),
    ("resnet20", {"classes": True}, "classes=True: give a whole number of classes from 1 to 1,000,000"),
    ("resnet20", {"input_shape": (32, 32.0, 3)}, "in whole pixels.*; sides of 4 or more"),
    ("resnet20", {"input_shape": (None, None, 3)}, r"such as \(32, 32, 3\)"),
    ("resnet18", {"input_shape": (15, 224, 3)}, "sides of 16 or more, or None for any"),
    ("vgg16", {"input_shape": (None, None, 3)}, "include_top=False"),
    ("resnet34", {"stride_in": "3x3"}, "resnet34 takes no option 'stride_in': the further options are .*pool_padding"),
    ("resnet34", {"pool_padding": "same"}, "pool_padding='same': use one of 'end', 'both'"),
    ("resnet50", {"features": ["conv6"]}, r"features=\['conv6'\]: give a list of stages out of conv1, .*conv5"),
    ("resnet20", {"pooling": "avg"}, "add include_top=False"),
])  # fmt: skip
def test_errors_say_what_is_allowed(name, options, says):
    with pytest.raises(UserError, match=says) as error:
        build(name, **options)
    assert "\n" not in str(error.value)


# Trainable parameters by option A, B, C; a plain network has as many as with option A.
RESNETS = {
    20: (269_722, 272_474, 283_962), 32: (464_154, 466_906, 489_594), 44: (658_586, 661_338, 695_226),
    56: (853_018, 855_770, 900_858), 110: (1_727_962, 1_730_714, 1_826_202),
    1202: (19_421_274, 19_424_026, 20_538_714), 18: (11_515_688, 11_689_512, 12_043_816),
    34: (21_623_848, 21_797_672, 22_716_840), 50: (22_780_456, 25_557_032, 40_128_552),
    101: (41_772_584, 44_549_160, 76_981_288), 152: (57_416_232, 60_192_808, 107_335_720),
}  # fmt: skip
PARAMETERS = {(f"resnet{d}", option): n for d, row in RESNETS.items() for option, n in zip("ABC", row, strict=True)}
PARAMETERS |= {(f"plain{d}", None): RESNETS[d][0] for d in (18, 20, 32, 34, 44, 56, 110)}
PARAMETERS |= {("vgg16", None): 138_357_544, ("vgg19", None): 143_667_240}

# Millions of multiply-adds by name, option and other options; the paper's facts, to the digits given there.
V15 = {"stride_in": "3x3"}
MULTIPLY_ADDS = [
    ("resnet20", "A", {}, "40.55"), ("resnet32", "A", {}, "68.86"), ("resnet44", "A", {}, "97.17"),
    ("resnet56", "A", {}, "125.49"), ("resnet110", "A", {}, "252.89"), ("resnet1202", "A", {}, "2829"),
    ("resnet18", "A", {}, "1.795e3"), ("resnet18", "B", {}, "1.814e3"), ("resnet34", "A", {}, "3.644e3"),
    ("resnet34", "B", {}, "3.664e3"), ("resnet34", "C", {}, "3.831e3"), ("resnet50", "B", {}, "3.858e3"),
    ("resnet101", "B", {}, "7.570e3"), ("resnet152", "B", {}, "11.282e3"), ("resnet50", "B", V15, "4.09e3"),
    ("resnet101", "B", V15, "7.80e3"), ("resnet152", "B", V15, "11.51e3"), ("vgg16", None, {}, "15.47e3"),
    ("vgg19", None, {}, "19.63e3"),
]  # fmt: skip


def test_parameters_and_multiply_adds_are_the_papers():
    for (name, option), count in PARAMETERS.items():
        assert complexity(name, shortcut=option)["parameters"].sum() == count, (name, option)
    for name, option, options, millions in MULTIPLY_ADDS:
        digits, _, power = millions.partition("e")
        rounding = 0.5 * 10 ** (int(power or 0) - len(digits.partition(".")[2]))
        count = complexity(name, shortcut=option, **options)["multiply_adds"].sum() / 1e6
        assert abs(count - float(millions)) <= rounding * 1.0001, (name, option, options)


@pytest.mark.parametrize(("name", "options"), [
    ("plain8", {"batch_norm": False}),
    ("resnet50", {"features": ["conv3"], "shortcut": "C"}),
    ("resnet50", {"stride_in": "3x3", "input_shape": (160, 192, 3), "classes": 6}),
    ("resnet18", {"pool_padding": "both", "input_shape": (97, 128, 3), "include_top": False}),
    ("vgg16", {"batch_norm": True, "input_shape": (64, 32, 3), "classes": 5}),
])  # fmt: skip
def test_rows_are_the_networks_own_layers_and_the_sum_is_the_profilers(name, options, thin):
    network = build(name, **options)
    table = complexity(network)
    for row in table.itertuples():
        below = [v for v in network.trainable_variables if v.path.startswith(f"{network.name}/{row.layer}/")]
        assert sum(int(np.prod(v.shape)) for v in below) == row.parameters, row.layer
    assert list(table["layer"]) == [place for place, layer in network.parts() if layer.trainable_variables]
    assert table.equals(complexity(name, **options))
    images = np.zeros((1, *network.arguments["input_shape"]), np.uint8)
    shapes = {place: tuple(x.shape[1:]) for place, _, _, x in network.walk(images)}
    assert all(shapes[row.layer] == row.output for row in table.itertuples())
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf
        from tensorflow.compat.v1.profiler import ProfileOptionBuilder, profile

        graph = tf.function(lambda x: network(x, training=False)).get_concrete_function(images).graph
        kinds = {"output": "none", "account_type_regexes": ["Conv2D", "MatMul"]}
        counted = profile(graph, options=ProfileOptionBuilder.float_operation() | kinds).total_float_ops / 2
        np.testing.assert_allclose(table["multiply_adds"].sum(), counted, rtol=0.02)


def text(name, **options):
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        console.print(table1(name, **options))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_summary_reads_as_the_papers_table_1_and_fits_80_columns():
    lines = text("resnet50")
    assert " ".join(lines[1].split()) == "stage output resnet50 (50 layers, option B) parameters (10⁹)"
    starts = [line.split()[0] for line in lines if line.startswith("conv")]
    assert starts == ["conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x"]
    for stage, blocks in zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True):
        assert f"[1×1, {stage}; 3×3, {stage}; 1×1, {4 * stage}] × {blocks}" in "\n".join(lines)
    assert "7×7, 64, stride 2" in lines[3] and "112×112" in lines[3]
    assert lines[-1].split() == ["total", "25,557,032", "3.858"]
    for name in names():
        assert max(map(len, text(name, **({"shortcut": "C"} if name.startswith("resnet") else {})))) <= 80
