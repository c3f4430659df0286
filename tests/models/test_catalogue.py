"""Names, options and their errors."""

import pytest

from resnet_keras import UserError, build, names
from resnet_keras.models.catalogue import architecture, checked, projects, resolve_shortcut


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


REFUSED = [
    ("resnet5O", {}, "unknown network 'resnet5O': did you mean resnet"),
    ("zzz", {}, "the paper's are plain20, plain32"),
    ("resnet57", {}, r"no network 'resnet57': .* 6n\+2 \(nearest: 56 and 62\), ImageNet depths are 18"),
    ("vgg11", {}, "VGG depths are 16, 19"),
    ("resnet20", {"shortcut": "D"}, "unknown shortcut 'D': use one of A, B, C, none"),
    ("plain20", {"shortcut": "A"}, "plain20 has no shortcuts: .* build resnet20"),
    ("resnet20", {"classes": 0}, "classes=0: give a whole number of classes from 1 to 1,000,000"),
    ("resnet20", {"classes": True}, "classes=True"),
    ("resnet20", {"input_shape": (32, 32)}, r"\(height, width, channels\) in whole pixels.*; sides of 4 or more"),
    ("resnet20", {"input_shape": (32, 32.0, 3)}, "in whole pixels"),
    ("resnet20", {"input_shape": (None, None, 3)}, r"such as \(32, 32, 3\)"),
    ("resnet18", {"input_shape": (31, 224, 3)}, "sides of 32 or more, or None for any"),
    ("vgg16", {"input_shape": (None, None, 3)}, "include_top=False"),
    ("resnet34", {"stride_in": "3x3"}, "resnet34 takes no option 'stride_in': the further options are .*pool_padding"),
    ("resnet34", {"pool_padding": "same"}, "pool_padding='same': use one of 'end', 'both'"),
    ("resnet20", {"batch_norm": 1}, "batch_norm=1: use one of True, False"),
    ("resnet50", {"features": ["conv6"]}, r"features=\['conv6'\]: give a list of stages out of conv1, .*conv5"),
    ("resnet20", {"features": "stage1"}, "give a list of stages out of conv1, stage1, stage2, stage3"),
    ("resnet20", {"pooling": "avg"}, "add include_top=False"),
]


@pytest.mark.parametrize(("name", "options", "says"), REFUSED)
def test_errors_say_what_is_allowed(name, options, says):
    for refuses in (checked, build):
        with pytest.raises(UserError, match=says) as error:
            refuses(name, **options)
        assert "\n" not in str(error.value)
