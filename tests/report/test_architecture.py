"""The drawings show the networks that they are given."""

import io

import pytest
from PIL import Image

from resnet_keras import build
from resnet_keras.report import architecture as drawings
from resnet_keras.report import style


def test_figure_3_and_the_bottlenecks_of_resnet_50():
    boxes, arcs = drawings.boxes_and_arcs(build("resnet34", weights=False))
    assert [box.text for box in boxes[:3]] == ["7×7 conv, 64, /2", "pool, /2", "3×3 conv, 64"]
    assert [box.text for box in boxes[-2:]] == ["average pool", "fc 1000"]
    assert len(boxes) == 34 + 2  # two poolings have no weights
    assert len(arcs) == 16 and all(arc.last == arc.first + 1 for arc in arcs)
    assert [boxes[arc.first].text for arc in arcs if arc.grows] == [f"3×3 conv, {w}, /2" for w in (128, 256, 512)]
    assert {box.side for box in boxes if box.width == 256} == {14}
    assert drawings.boxes_and_arcs(build("plain34", weights=False)) == (boxes, [])
    boxes, arcs = drawings.boxes_and_arcs(build("vgg19", weights=False))
    assert arcs == [] and sum("conv" in box.text for box in boxes) == 16 and boxes[-1].text == "fc 1000"
    assert [box.side for box in boxes if box.text.startswith("pool")] == [112, 56, 28, 14, 7]
    _, arcs = drawings.boxes_and_arcs(build("resnet50", weights=False))
    assert all(arc.last == arc.first + 2 for arc in arcs)
    assert sum(arc.grows for arc in arcs) == 4  # conv2_1 widens its map from 64 to 256 channels


def test_pictures_are_small_and_the_same_every_time():
    figures = [drawings.side_by_side([build(n, weights=False) for n in ("vgg19", "plain34")], "ab") for _ in range(2)]
    first, second = map(style.png, figures)
    assert first == second and len(first) < 150_000
    assert Image.open(io.BytesIO(first)).convert("L").getextrema() == pytest.approx((0, 255), abs=60)
    assert {text.get_text() for text in figures[0].axes[0].texts} >= {"VGG-19", "34-layer plain"}
