"""Drawings: one for each name, all unlike, of classes that CIFAR-10 has."""

import numpy as np

from resnet_keras.inference.drawings import DRAWINGS, SIDE, draw

CIFAR = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}


def test_every_drawing_is_a_picture_of_its_own():
    assert set(DRAWINGS) <= CIFAR
    pictures = {name: np.asarray(draw(name)) for name in DRAWINGS}
    assert {picture.shape for picture in pictures.values()} == {(SIDE, SIDE, 3)}
    assert len({picture.tobytes() for picture in pictures.values()}) == len(DRAWINGS)
    for name, picture in pictures.items():
        colours = len(np.unique(picture.reshape(-1, 3), axis=0))
        used = {part[2] for part in DRAWINGS[name][1:]} | {DRAWINGS[name][0]}
        assert colours == len(used), name  # nothing is drawn over entirely, or outside
