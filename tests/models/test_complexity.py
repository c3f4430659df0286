"""Parameters and multiply-adds against the paper, against the variables, and against TensorFlow's profiler."""

import keras
import numpy as np
import pytest

from resnet_keras import UserError, build, complexity
from resnet_keras.models.catalogue import names
from resnet_keras.models.complexity import table1
from tests.models.test_catalogue import COUNTS

# Millions of multiply-adds by name, option and other options; the paper's facts, to the digits given there.
MULTIPLY_ADDS = [
    ("resnet20", "A", {}, "40.55"),
    ("resnet32", "A", {}, "68.86"),
    ("resnet44", "A", {}, "97.17"),
    ("resnet56", "A", {}, "125.49"),
    ("resnet110", "A", {}, "252.89"),
    ("resnet1202", "A", {}, "2829"),
    ("resnet18", "A", {}, "1.795e3"),
    ("resnet18", "B", {}, "1.814e3"),
    ("resnet34", "A", {}, "3.644e3"),
    ("resnet34", "B", {}, "3.664e3"),
    ("resnet34", "C", {}, "3.831e3"),
    ("resnet50", "B", {}, "3.858e3"),
    ("resnet101", "B", {}, "7.570e3"),
    ("resnet152", "B", {}, "11.282e3"),
    ("resnet50", "B", {"stride_in": "3x3"}, "4.09e3"),
    ("resnet101", "B", {"stride_in": "3x3"}, "7.80e3"),
    ("resnet152", "B", {"stride_in": "3x3"}, "11.51e3"),
    ("vgg16", None, {}, "15.47e3"),
    ("vgg19", None, {}, "19.63e3"),
]


@pytest.mark.parametrize(("name", "option"), COUNTS)
def test_parameters_are_the_papers(name, option):
    assert complexity(name, shortcut=option)["parameters"].sum() == COUNTS[name, option]


@pytest.mark.parametrize(("name", "option", "options", "millions"), MULTIPLY_ADDS)
def test_multiply_adds_are_the_papers(name, option, options, millions):
    digits, _, power = millions.partition("e")
    rounding = 0.5 * 10 ** (int(power or 0) - len(digits.partition(".")[2]))
    found = complexity(name, shortcut=option, **options)["multiply_adds"].sum() / 1e6
    assert abs(found - float(millions)) <= rounding * 1.0001


@pytest.mark.parametrize(("name", "millions"), [("vgg16", 15.35e3), ("vgg19", 19.51e3)])
def test_convolutions_of_vgg_alone(name, millions):
    table = complexity(name)
    assert abs(table.loc[table["kind"] == "conv", "multiply_adds"].sum() / 1e6 - millions) <= 5


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet20", {"shortcut": "C"}),
        ("resnet18", {"include_top": False, "pooling": "avg"}),
        ("resnet50", {"features": ["conv3"]}),
        ("vgg16", {"batch_norm": True, "input_shape": (32, 32, 3), "classes": 5}),
        ("plain20", {"batch_norm": False}),
    ],
)
def test_parameters_are_those_of_the_variables(name, options):
    net = build(name, **options)
    table = complexity(net)
    for row in table.itertuples():
        below = [v for v in net.trainable_variables if v.path.startswith(f"{net.name}/{row.layer}/")]
        assert sum(int(np.prod(v.shape)) for v in below) == row.parameters, row.layer
    assert table["parameters"].sum() == sum(int(np.prod(v.shape)) for v in net.trainable_variables)
    assert table.equals(complexity(name, **options))


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow's profiler sees TensorFlow's graphs")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet20", {"shortcut": "C"}),
        ("resnet34", {}),
        ("resnet50", {"shortcut": "C"}),
        ("resnet50", {"stride_in": "3x3", "input_shape": (160, 192, 3)}),
        ("vgg16", {"input_shape": (64, 64, 3)}),
    ],
)
def test_multiply_adds_are_the_profilers(name, options):
    import tensorflow as tf
    from tensorflow.compat.v1.profiler import ProfileOptionBuilder, profile

    net = build(name, **options)
    pictures = tf.TensorSpec((1, *net.arguments["input_shape"]), "float32")
    graph = tf.function(lambda x: net(x, training=False)).get_concrete_function(pictures).graph
    settings = {
        **ProfileOptionBuilder.float_operation(),
        "output": "none",
        "account_type_regexes": ["Conv2D", "MatMul"],
    }
    operations = profile(graph, options=settings).total_float_ops  # a multiply-add is two
    np.testing.assert_allclose(complexity(net)["multiply_adds"].sum(), operations / 2, rtol=0.02)


def test_by_stage():
    table = complexity("resnet50", by="stage").set_index("stage")
    assert list(table.index) == ["conv1", "conv2", "conv3", "conv4", "conv5", "top"]
    assert table.loc["conv4", "output"] == (14, 14, 1024)
    whole = complexity("resnet50")
    assert (table[["parameters", "multiply_adds"]].sum() == whole[["parameters", "multiply_adds"]].sum()).all()


def test_a_name_makes_no_weights(monkeypatch):
    monkeypatch.setattr(keras.layers.Layer, "add_weight", None)
    complexity("resnet152", shortcut="C")


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("resnet21",), {}, "nearest: 20 and 26"),
        (("resnet20",), {"by": "block"}, "by='block': use 'layer' or 'stage'"),
        (("resnet50",), {"input_shape": (None, None, 3)}, "build it with an input_shape"),
    ],
)
def test_errors(arguments, options, says):
    with pytest.raises(UserError, match=says):
        complexity(*arguments, **options)


def test_table_1_of_resnet_50_reads_as_the_papers():
    lines = table1("resnet50").splitlines()
    heading = "layer name output size resnet50 (50 layers, option B) parameters mult-adds (10⁹)"
    assert " ".join(lines[0].split()) == heading
    cells = [line.split("  ") for line in lines]
    assert [row[0] for row in cells if row[0].startswith("conv")] == [
        "conv1",
        "conv2_x",
        "conv3_x",
        "conv4_x",
        "conv5_x",
    ]
    for stage, blocks in zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True):
        assert f"[1×1, {stage}; 3×3, {stage}; 1×1, {4 * stage}] × {blocks}" in "\n".join(lines)
    assert "7×7, 64, stride 2" in lines[2] and "112 × 112" in lines[2]
    assert lines[-1].split() == ["total", "25,557,032", "3.858"]


@pytest.mark.parametrize("name", [name for name in names() if name != "resnet1202"])
def test_every_network_has_a_table(name):
    assert table1(name).splitlines()[-1].split()[1] == f"{complexity(name)['parameters'].sum():,}"
