"""Distances against points sampled by hand, and the rounded cosines."""

import math

import numpy as np
import pytest
from matplotlib.path import Path

from resnet_keras.data import geometry, shapes32


def test_no_cosine_lies_where_libraries_could_round_it_differently():
    exact = [10_000 * math.cos(math.radians(degree)) for degree in range(360)]
    assert min(abs(value % 1.0 - 0.5) for value in exact) > 1e-6
    assert np.abs(geometry.COSINES * 10_000 - exact).max() <= 0.5


def test_directions_are_cosine_and_sine():
    degrees = np.arange(-400, 400, 7)
    cosine, sine = geometry.direction(degrees)
    assert np.allclose(cosine, np.cos(np.radians(degrees)), atol=1e-4)
    assert np.allclose(sine, np.sin(np.radians(degrees)), atol=1e-4)


@pytest.mark.parametrize("name", shapes32.CLASSES)
def test_distance_from_an_outline(name):
    """Inside as matplotlib has it; distance to the nearest of many points laid along the edge."""
    corners = shapes32.OUTLINES[name] * 10 + [16, 15]
    x, y = np.arange(32) + 0.5, np.arange(30) + 0.5
    found = geometry.polygon_distance(x[None, None, :], y[None, :, None], corners[None])[0]
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    share = np.linspace(0, 1, 2000)[:, None]
    edge = np.concatenate([a + (b - a) * share for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    nearest = np.array([np.hypot(*(edge - point).T).min() for point in points])
    signed = np.where(Path(corners).contains_points(points), -nearest, nearest)
    clear = nearest > 0.02
    assert np.allclose(found.ravel()[clear], signed[clear], atol=0.01)
