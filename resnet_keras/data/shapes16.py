"""shapes16: ten classes of 16x16 RGB images, drawn by the package, the same bits on every machine.

The outline alone tells the classes apart: a figure's colour, place, size, tilt and stretch vary, and so do the
background's colour and the light. No class becomes another when it is mirrored or turned.

Only + - * / and square roots touch floating point: IEEE 754 fixes their last bit. Cosines come from a table rounded to
ten-thousandths, and no sum is taken over an axis: libraries and processors differ there.
"""

import math

import numpy as np

from resnet_keras.data.augment import words

VERSION = "1"  # a new one for any change of a single bit; a test holds the SHA-256 of all images
SIZE = 16
COUNTS = {"train": 10_000, "test": 2_000}
TILT = 20  # degrees to either side of upright, at most
BLOCK = 500  # images drawn at once; each block has its own random numbers

# No entry lies near a rounding border, so every library rounds to the same number.
COSINES = np.array([round(10_000 * math.cos(math.radians(degree))) for degree in range(360)]) / 10_000


def direction(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of whole degrees."""
    return COSINES[degrees % 360], COSINES[(degrees - 90) % 360]


def arc(first: int, last: int, points: int, radius: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """`points` points `[points, 2]` on a circle around (x, y), from `first` to `last` degrees, both in."""
    cosine, sine = direction(np.array([first + (last - first) * i // (points - 1) for i in range(points)]))
    return np.stack([x + radius * cosine, y + radius * sine], axis=1)


_CROSS = [(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3)]
_HEART = [(0, 95), (-60, 42), (-92, 0), (-98, -38), (-78, -72), (-42, -80), (-14, -64), (0, -38)]

# Outlines as corners `[V, 2]`, about as large as the unit circle.
OUTLINES = {
    "arrow": np.array([(0, -100), (85, -5), (32, -5), (32, 95), (-32, 95), (-32, -5), (-85, -5)]) / 100,
    "circle": arc(0, 345, 24, radius=0.9),
    "crescent": np.concatenate([arc(50, 310, 18), arc(281, 79, 11, radius=0.78, x=0.5)[1:-1]]) + np.array([0.2, 0.0]),
    "cross": np.array([*_CROSS, *((-x, -y) for x, y in _CROSS)]) / 3.1,
    "drop": np.concatenate([arc(-28, 208, 16, radius=0.66, y=0.32), [[0.0, -1.1]]]),
    "heart": np.array([*_HEART, *((-x, y) for x, y in _HEART[:0:-1] if x)]) / 95,
    "hexagon": arc(0, 300, 6),
    "square": arc(45, 315, 4, radius=1.1),
    "star": np.stack([arc(-90, 198, 5), arc(-54, 234, 5, radius=0.42)], axis=1).reshape(10, 2) * 1.15,
    "triangle": arc(-90, 150, 3, radius=1.2),
}
CLASSES = tuple(OUTLINES)

_X = np.arange(SIZE, dtype=np.float64)[None, None, :] + 0.5
_Y = np.arange(SIZE, dtype=np.float64)[None, :, None] + 0.5


def draw_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 16, 16, 3]` and labels int32 `[N]` of "train" or "test"; image i is of class i mod 10."""
    number, labels = list(COUNTS).index(split), np.arange(COUNTS[split], dtype=np.int32) % len(CLASSES)
    blocks = enumerate(labels.reshape(-1, BLOCK))
    return np.concatenate([_draw_block(_Random(number, block), part) for block, part in blocks]), labels


class _Random:
    """Random numbers of one block of m = `BLOCK` images."""

    def __init__(self, split: int, block: int):
        self.split, self.block, self.draws = split, block, 0

    def words(self, *each: int) -> np.ndarray:
        """Fresh 64-bit words `[m, *each]`."""
        self.draws += 1  # so that no draw depends on how much another took
        return words(self.split, self.block, self.draws, BLOCK * math.prod(each)).reshape(BLOCK, *each)

    def uniform(self, low: float, high: float, *each: int) -> np.ndarray:
        """Numbers in [low, high), float64 `[m, *each]`."""
        return low + (high - low) * ((self.words(*each) >> np.uint64(11)) * 2.0**-53)

    def integers(self, below: int) -> np.ndarray:
        """0 .. below - 1, int64 `[m]`."""
        return ((self.words() >> np.uint64(32)) * np.uint64(below) >> np.uint64(32)).astype(np.int64)


def _draw_block(random: _Random, labels: np.ndarray) -> np.ndarray:
    """A figure on its background in a light that falls off in one direction: uint8 `[m, 16, 16, 3]`."""
    ground, colours = _hue(random, 1), _hue(random, 8)
    apart = np.abs(colours - ground)  # [m, 8, 3]
    apart = (apart[..., 0] * 3 + apart[..., 1] * 6 + apart[..., 2]) / 10  # the weights of luminance, nearly
    apart = np.minimum(apart, random.uniform(60, 100)[:, None])  # the first that is far enough wins, or the farthest
    ground, ink = ground[:, None], colours[np.arange(len(colours)), np.argmax(apart, axis=1)][:, None, None]
    canvas = ground + (ink - ground) * _figure(random, labels)[..., None]
    cosine, sine = (part[:, None, None] for part in direction(random.integers(360)))
    fall = random.uniform(0.0, 0.2)[:, None, None] / (SIZE / 2)
    light = 1.0 + ((_X - SIZE / 2) * cosine + (_Y - SIZE / 2) * sine) * fall
    return np.rint(np.clip(canvas * light[..., None], 0.0, 255.0)).astype(np.uint8)


def _hue(random: _Random, each: int) -> np.ndarray:
    """Colours `[m, each, 3]` of any hue, from pale to full and from dark to bright."""
    sixth = random.uniform(0, 6, each)[..., None]
    full = np.clip(np.abs((sixth + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0, 0.0, 1.0)
    strength = random.uniform(0.1, 0.85, each)[..., None]
    return random.uniform(50, 245, each)[..., None] * (1.0 - strength * (1.0 - full))


def _figure(random: _Random, labels: np.ndarray) -> np.ndarray:
    """Coverage `[m, 16, 16]` in 0..1 of the figure that gives the image its class."""
    size = random.uniform(5.2, 6.7)
    place = SIZE / 2 + random.uniform(-1, 1, 2) * (8.5 - size)[:, None] * 0.7
    stretch = random.uniform(0.85, 1.0)
    tilt, lean = random.integers(2 * TILT + 1) - TILT, random.integers(360)
    distance = np.empty((len(labels), SIZE, SIZE))
    for number, outline in enumerate(OUTLINES.values()):  # turned, stretched along a second direction, sized and moved
        rows = np.flatnonzero(labels == number)
        cosine, sine = (part[:, None] for part in direction(tilt[rows]))
        x, y = outline[:, 0] * cosine - outline[:, 1] * sine, outline[:, 0] * sine + outline[:, 1] * cosine
        cosine, sine = (part[:, None] for part in direction(lean[rows]))
        less = (x * cosine + y * sine) * (stretch[rows] - 1.0)[:, None]
        corners = np.stack([x + less * cosine, y + less * sine], axis=2)
        distance[rows] = polygon_distance(corners * size[rows][:, None, None] + place[rows][:, None])
    softness = random.uniform(0.8, 1.2)[:, None, None]  # width of the edge
    return np.clip(0.5 - distance / softness, 0.0, 1.0)


def polygon_distance(corners: np.ndarray) -> np.ndarray:
    """Distance `[m, 16, 16]` of the pixels' centres from polygons with `corners` `[m, V, 2]`; negative inside."""
    end = np.moveaxis(corners, 2, 0)[..., None, None]  # [2, m, V, 1, 1], of each edge
    (start_x, start_y), (end_x, end_y) = np.roll(end, 1, axis=2), end
    along_x, along_y, from_x, from_y = end_x - start_x, end_y - start_y, _X - start_x, _Y - start_y
    length = np.maximum(along_x * along_x + along_y * along_y, 1e-12)
    place = np.clip((from_x * along_x + from_y * along_y) / length, 0.0, 1.0)  # of the edge's nearest point
    off_x, off_y = from_x - along_x * place, from_y - along_y * place
    nearest = np.sqrt((off_x * off_x + off_y * off_y).min(axis=1))
    # A ray to the right of the point crosses this edge: inside is an odd number of crossings.
    reach = start_x + from_y * along_x / np.where(along_y == 0, 1.0, along_y)
    crosses = ((start_y > _Y) != (end_y > _Y)) & (reach > _X)
    return np.where(np.logical_xor.reduce(crosses, axis=1), -nearest, nearest)
