"""Names, options and their errors; every parameter count that the paper's tables imply."""

import pytest

from resnet_keras import UserError, build, names
from resnet_keras.models import initialization, network
from resnet_keras.models.catalogue import architecture, assemble, resolve_shortcut

# Trainable parameters by option A, B, C.
CIFAR = {
    20: (269_722, 272_474, 283_962),
    32: (464_154, 466_906, 489_594),
    44: (658_586, 661_338, 695_226),
    56: (853_018, 855_770, 900_858),
    110: (1_727_962, 1_730_714, 1_826_202),
    1202: (19_421_274, 19_424_026, 20_538_714),
}
IMAGENET = {
    18: (11_515_688, 11_689_512, 12_043_816),
    34: (21_623_848, 21_797_672, 22_716_840),
    50: (22_780_456, 25_557_032, 40_128_552),
    101: (41_772_584, 44_549_160, 76_981_288),
    152: (57_416_232, 60_192_808, 107_335_720),
}
VGG = {"vgg16": 138_357_544, "vgg19": 143_667_240}
COUNTS = {
    **{
        (f"resnet{d}", o): n
        for table in (CIFAR, IMAGENET)
        for d, row in table.items()
        for o, n in zip("ABC", row, strict=True)
    },
    **{(f"plain{d}", None): CIFAR[d][0] for d in (20, 32, 44, 56, 110)},
    **{(f"plain{d}", None): IMAGENET[d][0] for d in (18, 34)},
    **{(name, None): count for name, count in VGG.items()},
}
# Variables are made for these; the others are counted by `complexity`, which test_complexity holds to the variables.
BUILT = [key for key, count in COUNTS.items() if count < 30e6 and key[0] != "resnet1202"]


@pytest.fixture
def no_draws(monkeypatch):
    """Networks start from whatever Keras makes: their weights are not looked at."""
    monkeypatch.setattr(network, "initialize", lambda *_: None)


@pytest.mark.parametrize(("name", "option"), BUILT)
def test_trainable_parameters(name, option, no_draws):
    net = build(name, shortcut=option)
    assert sum(v.value.shape.num_elements() for v in net.trainable_variables) == COUNTS[name, option]


def test_names_build_and_are_as_deep_as_they_say():
    assert names() == [
        *(f"plain{d}" for d in (20, 32, 44, 56, 110)),
        *(f"resnet{d}" for d in CIFAR),
        *("plain18", "plain34"),
        *(f"resnet{d}" for d in IMAGENET),
        *VGG,
    ]
    for name in names():
        net = architecture(name)
        layers = sum(net.blocks) * {"basic": 2, "bottleneck": 3, "conv": 1}[net.block]
        assert layers + (3 if net.family == "vgg" else 2) == net.depth


@pytest.mark.parametrize(
    ("name", "option"),
    [("resnet20", "A"), ("resnet34", "A"), ("resnet50", "B"), ("plain56", "none"), ("vgg16", "none")],
)
def test_the_papers_option_is_the_default(name, option):
    assert resolve_shortcut(name, None) == option


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet5O", {}, "unknown network 'resnet5O': did you mean resnet"),
        ("ResNet-56", {}, "did you mean resnet56"),
        ("densenet", {}, "unknown network 'densenet': "),
        ("zzz", {}, "the paper's are plain20, plain32"),
        (
            "resnet57",
            {},
            "no network 'resnet57': CIFAR depths are 6n\\+2 \\(nearest: 56 and 62\\), ImageNet depths are 18",
        ),
        ("plain51", {}, "nearest: 50 and 56.*ImageNet depths are 18, 34\\."),
        ("vgg11", {}, "VGG depths are 16, 19"),
        ("resnet20", {"shortcut": "D"}, "unknown shortcut 'D': use one of A, B, C, none"),
        ("plain20", {"shortcut": "A"}, "plain20 has no shortcuts: .* build resnet20"),
        ("vgg16", {"shortcut": "A"}, "vgg16 has no shortcuts: leave shortcut='A' out.$"),
        ("resnet20", {"classes": 0}, "classes=0: give a whole number of classes from 1 to 1,000,000"),
        ("resnet20", {"classes": 2.0}, "classes=2.0"),
        ("resnet20", {"classes": True}, "classes=True"),
        (
            "resnet20",
            {"input_shape": (32, 32)},
            "give \\(height, width, channels\\) in whole pixels, sides of 4 or more",
        ),
        ("resnet20", {"input_shape": (2, 32, 3)}, "sides of 4 or more"),
        ("resnet20", {"input_shape": (32, 32, 0)}, "input_shape=\\(32, 32, 0\\)"),
        ("resnet20", {"input_shape": (None, None, 3)}, "give both sides.*mean picture"),
        ("resnet18", {"input_shape": (31, 224, 3)}, "sides of 32 or more"),
        ("resnet18", {"input_shape": (None, None, None)}, "give \\(height, width, channels\\)"),
        ("vgg16", {"input_shape": (None, None, 3)}, "give both sides.*include_top=False"),
        ("resnet50", {"stride_in": "5x5"}, "stride_in='5x5': use one of '1x1', '3x3'"),
        (
            "resnet34",
            {"stride_in": "3x3"},
            "resnet34 takes no option 'stride_in': the further options are .*pool_padding",
        ),
        ("resnet34", {"pool_padding": "same"}, "pool_padding='same': use one of 'end', 'both'"),
        ("resnet20", {"pool_padding": "end"}, "resnet20 takes no option 'pool_padding'"),
        ("vgg16", {"batch_norm": "yes"}, "batch_norm='yes': use one of True, False"),
        ("resnet50", {"batchnorm": True}, "resnet50 takes no option 'batchnorm'"),
        (
            "resnet50",
            {"features": ["conv6"]},
            "features=\\['conv6'\\]: give a list of stages out of conv1, conv2, .*conv5",
        ),
        ("resnet20", {"features": "stage1"}, "give a list of stages out of conv1, stage1, stage2, stage3"),
        ("resnet20", {"features": []}, "features=\\[\\]"),
        ("resnet20", {"features": ["stage1"], "include_top": True}, "leave one of them out"),
        ("resnet20", {"pooling": "avg"}, "add include_top=False"),
        (
            "resnet20",
            {"pooling": "sum", "include_top": False},
            "pooling='sum': use one of None, 'avg', 'max'",
        ),
    ],
)
def test_errors_say_what_is_allowed(name, options, says):
    with pytest.raises(UserError, match=says) as error:
        assemble(name, **options)
    assert "\n" not in str(error.value)


def test_initial_weights_are_drawn_by_build_alone(monkeypatch):
    drawn = []
    monkeypatch.setattr(network, "initialize", lambda net, seed: drawn.append((net.name, seed)))
    assemble("resnet8", seed=3)
    assert drawn == []
    build("resnet8", seed=3)
    assert drawn == [("resnet8", 3)]
    assert initialization.initialize is not network.initialize
