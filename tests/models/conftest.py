"""What the networks' tests share."""

import pytest


@pytest.fixture
def thin(monkeypatch):
    """Networks of ImageNet and VGG with a few channels each, and the fully-connected layers of VGG as narrow."""
    from resnet_keras.models import catalogue, complexity, resnet

    for family, filters in {"imagenet": (64, 64, 64, 64), "vgg": (4, 4, 4, 4, 4)}.items():
        narrow = catalogue.FAMILIES[family]._replace(filters=filters)
        monkeypatch.setitem(catalogue.FAMILIES, family, narrow)
    for module in (complexity, resnet):
        monkeypatch.setattr(module, "VGG_WIDTH", 8)
