"""Drawings, all unlike, of classes that CIFAR-10 has; sheets with names that could be taken for mathematics."""

import io
import warnings

import numpy as np
from PIL import Image

from resnet_keras.evaluation.predict import DRAWINGS, Prediction, draw, sheet


def test_every_drawing_is_an_image_of_its_own_of_a_class_of_cifar_10():
    assert set(DRAWINGS) <= {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
    assert len({np.asarray(draw(name)).tobytes() for name in DRAWINGS}) == len(DRAWINGS)


def test_names_are_text_and_no_mathematics_and_missing_glyphs_are_no_warning():
    view = np.zeros((8, 8, 3), np.uint8)
    names = ["$", "$x^{$", "a_b$c$", "猫 고양이 🐈", "\udce9", "x" * 300, "&<b>"]
    predictions = [Prediction(f"{name}.png", view, ((0, name, 0.7), (1, "b", 0.3))) for name in names]
    predictions.append(Prediction("grey.png", view[..., :1], ((0, "a", 1.0),)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = sheet(predictions)
    with Image.open(io.BytesIO(png)) as image:
        assert image.width > image.height > 300
    assert sheet(predictions) == png
