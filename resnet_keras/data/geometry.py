"""Plane geometry for drawn pictures, with the same bits on every machine.

Only + - * / and square roots touch floating point, element by element: IEEE 754 fixes their last bit. Sines
and cosines, whose last bit differs between mathematical libraries, come from a table rounded to whole
ten-thousandths; sums over an axis, whose order differs between processors, are not used.
"""

from __future__ import annotations

import math

import numpy as np

# No entry lies near a rounding border (a test sees to that), so every library rounds to the same whole
# number.
COSINES = np.array([round(10_000 * math.cos(math.radians(degree))) for degree in range(360)]) / 10_000


def direction(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of whole degrees."""
    return COSINES[degrees % 360], COSINES[(degrees - 90) % 360]


def arc(first: int, last: int, points: int, radius: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """`points` points `[points, 2]` on a circle around (x, y), from `first` to `last` degrees, both in."""
    degrees = np.array([first + (last - first) * i // (points - 1) for i in range(points)])
    cosine, sine = direction(degrees)
    return np.stack([x + radius * cosine, y + radius * sine], axis=1)


def segment_distance_squared(
    x: np.ndarray, y: np.ndarray, start: tuple[np.ndarray, np.ndarray], end: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Squared distance of the points (x, y) from the segment `start`-`end`; all arguments broadcast."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    from_x, from_y = x - start[0], y - start[1]
    length = np.maximum(along_x * along_x + along_y * along_y, 1e-12)
    place = np.clip((from_x * along_x + from_y * along_y) / length, 0.0, 1.0)
    off_x, off_y = from_x - along_x * place, from_y - along_y * place
    return off_x * off_x + off_y * off_y


def polygon_distance(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance of each pixel from a polygon's edge, negative inside.

    Args:
        x: `[1, 1, W]` pixel columns.
        y: `[1, H, 1]` pixel rows.
        corners: `[m, V, 2]`, a polygon for each of m pictures.

    Returns:
        `[m, H, W]`, in pixels.
    """
    nearest = np.full((len(corners), y.shape[1], x.shape[2]), np.inf)
    inside = np.zeros(nearest.shape, bool)
    for i in range(corners.shape[1]):
        start = tuple(corners[:, i - 1, axis, None, None] for axis in (0, 1))
        end = tuple(corners[:, i, axis, None, None] for axis in (0, 1))
        np.minimum(nearest, segment_distance_squared(x, y, start, end), out=nearest)
        # A ray to the right of the point crosses this edge: inside is an odd number of crossings.
        rise = end[1] - start[1]
        crosses = (start[1] > y) != (end[1] > y)
        reach = start[0] + (y - start[1]) * (end[0] - start[0]) / np.where(rise == 0, 1.0, rise)
        inside ^= crosses & (x < reach)
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance)
