"""shapes32: ten classes of 32x32 RGB images, drawn by the package, the same bits on every machine.

The outline of one figure tells the classes apart and nothing else: its colour, place, size, tilt, stretch and pattern
vary, and so do the background, the light and the noise. No class becomes another when it is mirrored or turned.

Version 2 tilts a figure by 30 degrees at most and leaves out the strokes and the hollow figures of version 1, so that a
network of 20 layers learns the set within a few hundred small batches.

Only + - * / and square roots touch floating point, element by element: IEEE 754 fixes their last bit. Sines and
cosines, whose last bit differs between mathematical libraries, come from a table rounded to ten-thousandths; sums over
an axis, whose order differs between processors, are not used.
"""

from __future__ import annotations

import math

import numpy as np

VERSION = "2"  # a new one for any change of a single bit; a test holds the SHA-256 of all images
SIZE = 32
COUNTS = {"train": 10_000, "test": 2_000}
TILT = 30  # degrees to either side of upright, at most
BLOCK = 500  # images drawn at once; each block has its own random numbers

# No entry lies near a rounding border (a test checks that), so every library rounds to the same number.
COSINES = np.array([round(10_000 * math.cos(math.radians(degree))) for degree in range(360)]) / 10_000


def direction(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of whole degrees."""
    return COSINES[degrees % 360], COSINES[(degrees - 90) % 360]


def arc(first: int, last: int, points: int, radius: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """`points` points `[points, 2]` on a circle around (x, y), from `first` to `last` degrees, both in."""
    cosine, sine = direction(np.array([first + (last - first) * i // (points - 1) for i in range(points)]))
    return np.stack([x + radius * cosine, y + radius * sine], axis=1)


_CROSS = [(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3)]
_CROSS = [*_CROSS, *((-x, -y) for x, y in _CROSS)]
_ARROW = [(0, -100), (85, -5), (32, -5), (32, 95), (-32, 95), (-32, -5), (-85, -5)]
_HEART = [(0, 95), (-60, 42), (-92, 0), (-98, -38), (-78, -72), (-42, -80), (-14, -64), (0, -38)]
_HEART = [*_HEART, *((-x, y) for x, y in _HEART[:0:-1] if x)]
_STAR = np.stack([arc(-90, 198, 5), arc(-54, 234, 5, radius=0.42)], axis=1).reshape(10, 2)
_CRESCENT = np.concatenate([arc(50, 310, 18), arc(281, 79, 11, radius=0.78, x=0.5)[1:-1]])

# Outlines as corners `[V, 2]`, about as large as the unit circle.
OUTLINES = {
    "arrow": np.array(_ARROW) / 100,
    "circle": arc(0, 345, 24, radius=0.9),
    "crescent": _CRESCENT + np.array([0.2, 0.0]),
    "cross": np.array(_CROSS) / 3.1,
    "drop": np.concatenate([arc(-28, 208, 16, radius=0.66, y=0.32), [[0.0, -1.1]]]),
    "heart": np.array(_HEART) / 95,
    "hexagon": arc(0, 300, 6),
    "square": arc(45, 315, 4, radius=1.1),
    "star": _STAR * 1.15,
    "triangle": arc(-90, 150, 3, radius=1.2),
}
CLASSES = tuple(OUTLINES)

_X = np.arange(SIZE, dtype=np.float64)[None, None, :] + 0.5
_Y = np.arange(SIZE, dtype=np.float64)[None, :, None] + 0.5


def draw_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 32, 32, 3]` and labels int32 `[N]` of "train" (N = 10,000) or "test" (2,000).

    Image i is of class i mod 10.
    """
    labels = np.arange(COUNTS[split], dtype=np.int32) % len(CLASSES)
    number = list(COUNTS).index(split)
    blocks = [
        _draw_block(_Random(number, i, BLOCK), labels[i * BLOCK : (i + 1) * BLOCK]) for i in range(len(labels) // BLOCK)
    ]
    return np.concatenate(blocks), labels


class _Random:
    """Random numbers of one block of m images: raw words of Philox, whose stream NumPy keeps fixed."""

    def __init__(self, split: int, block: int, images: int):
        self.key, self.draws, self.images = np.array([split, block], np.uint64), 0, images

    def words(self, *each: int) -> np.ndarray:
        """Fresh 64-bit words `[m, *each]`."""
        self.draws += 1  # counters of their own, so that no draw depends on how much another took
        counter = np.array([0, 0, 0, self.draws], np.uint64)
        count = self.images * int(np.prod(each, dtype=int))
        return np.random.Philox(key=self.key, counter=counter).random_raw(count).reshape(self.images, *each)

    def uniform(self, low: float, high: float, *each: int) -> np.ndarray:
        """Numbers in [low, high), float64 `[m, *each]`."""
        return low + (high - low) * ((self.words(*each) >> np.uint64(11)) * 2.0**-53)

    def integers(self, below: int) -> np.ndarray:
        """0 .. below - 1, int64 `[m]`."""
        return ((self.words() >> np.uint64(32)) * np.uint64(below) >> np.uint64(32)).astype(np.int64)

    def direction(self) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of any direction, each `[m, 1, 1]`."""
        return tuple(part[:, None, None] for part in direction(self.integers(360)))


def _draw_block(random: _Random, labels: np.ndarray) -> np.ndarray:
    """Background, the figure, light, noise: uint8 `[m, 32, 32, 3]`."""
    ground, ink = _colours(random)
    canvas = _mix(ground, _pattern(random))
    fill = _mix(ink, _pattern(random))
    canvas = canvas + (fill - canvas) * _figure(random, labels)[..., None]
    canvas = canvas * _light(random) + _noise(random)
    return np.rint(np.clip(canvas, 0.0, 255.0)).astype(np.uint8)


def _colours(random: _Random) -> tuple[np.ndarray, np.ndarray]:
    """Two background colours and two of the figure, `[m, 2, 3]` each, in 0..255.

    The figure's is the first of eight that is far enough from both of the background's, or else the farthest.
    """
    ground = _hue(random, 2)
    ground[:, 1] = ground[:, 0] + (ground[:, 1] - ground[:, 0]) * random.uniform(0.0, 0.15)[:, None]
    colours = _hue(random, 8)
    apart = np.abs(colours[:, :, None] - ground[:, None])  # [m, 8, 2, 3]
    apart = (apart[..., 0] * 3 + apart[..., 1] * 6 + apart[..., 2]) / 10  # the weights of luminance, nearly
    apart = np.minimum(apart.min(axis=2), random.uniform(60, 100)[:, None])  # the first that is far enough wins
    ink = colours[np.arange(len(colours)), np.argmax(apart, axis=1)]
    shade = _hue(random, 1)[:, 0]
    shade = ink + (shade - ink) * random.uniform(0.0, 0.3)[:, None]
    return ground, np.stack([ink, shade], axis=1)


def _hue(random: _Random, each: int) -> np.ndarray:
    """Colours `[m, each, 3]` of any hue, from pale to full and from dark to bright."""
    sixth = random.uniform(0, 6, each)[..., None]
    full = np.clip(np.abs((sixth + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0, 0.0, 1.0)
    strength = random.uniform(0.1, 0.85, each)[..., None]
    return random.uniform(50, 245, each)[..., None] * (1.0 - strength * (1.0 - full))


def _pattern(random: _Random) -> np.ndarray:
    """How much of the second colour each pixel has, `[m, 32, 32]` in 0..1: gradient, stripes, checks, blobs, clouds."""
    cosine, sine = random.direction()
    along = (_X - 16) * cosine + (_Y - 16) * sine
    across = (_Y - 16) * cosine - (_X - 16) * sine
    period = random.uniform(4, 12)[:, None, None]
    start = random.uniform(0, 12, 2)[:, :, None, None]
    stripes, others = (_wave(place / period + start[:, i]) for i, place in enumerate((along, across)))
    clouds = _clouds(random)
    blobs = np.clip((clouds - 0.5) * 8.0 + 0.5, 0.0, 1.0)
    kinds = np.stack([along / 44 + 0.5, stripes, stripes + others - 2 * stripes * others, blobs, clouds])
    return kinds[random.integers(len(kinds)), np.arange(len(clouds))]


def _wave(turns: np.ndarray) -> np.ndarray:
    """A square wave of period 1 with soft flanks, in 0..1."""
    return np.clip(np.abs(turns % 1.0 - 0.5) * 6.0 - 1.0, 0.0, 1.0)


def _clouds(random: _Random) -> np.ndarray:
    """Smooth noise `[m, 32, 32]` in 0..1: random values six pixels apart, blended in between."""
    lattice = random.uniform(0, 1, 7, 7)
    place = np.arange(SIZE) / 6.0
    cell = place.astype(int)
    part = place - cell
    part = part * part * (3.0 - 2.0 * part)
    rows = lattice[:, cell] * (1.0 - part[:, None]) + lattice[:, cell + 1] * part[:, None]
    return rows[:, :, cell] * (1.0 - part) + rows[:, :, cell + 1] * part


def _figure(random: _Random, labels: np.ndarray) -> np.ndarray:
    """Coverage `[m, 32, 32]` in 0..1 of the figure that gives the image its class."""
    size = random.uniform(9.5, 13.0)
    place = 16.0 + random.uniform(-1, 1, 2) * (17.0 - size)[:, None] * 0.7
    stretch = random.uniform(0.8, 1.0)
    tilt, lean = random.integers(2 * TILT + 1) - TILT, random.integers(360)
    distance = np.empty((len(labels), SIZE, SIZE))
    for number, outline in enumerate(OUTLINES.values()):
        rows = np.flatnonzero(labels == number)
        corners = _placed(outline, tilt[rows], lean[rows], stretch[rows], size[rows], place[rows])
        distance[rows] = polygon_distance(_X, _Y, corners)
    softness = random.uniform(0.8, 1.8)[:, None, None]  # width of the edge
    return np.clip(0.5 - distance / softness, 0.0, 1.0)


def _placed(outline, turn, lean, stretch, size, place) -> np.ndarray:
    """Corners `[m, V, 2]` of an outline turned, stretched along a second direction, sized and moved."""
    cosine, sine = (part[:, None] for part in direction(turn))
    x, y = outline[:, 0] * cosine - outline[:, 1] * sine, outline[:, 0] * sine + outline[:, 1] * cosine
    cosine, sine = (part[:, None] for part in direction(lean))
    less = (x * cosine + y * sine) * (stretch - 1.0)[:, None]
    x, y = x + less * cosine, y + less * sine
    return np.stack([x, y], axis=2) * size[:, None, None] + place[:, None]


def polygon_distance(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance `[m, H, W]` of each pixel from a polygon's edge in pixels, negative inside.

    Args:
        x: `[1, 1, W]` pixel columns.
        y: `[1, H, 1]` pixel rows.
        corners: `[m, V, 2]`, a polygon for each of m images.
    """
    nearest = np.full((len(corners), y.shape[1], x.shape[2]), np.inf)
    inside = np.zeros(nearest.shape, bool)
    for i in range(corners.shape[1]):
        (start_x, start_y), (end_x, end_y) = (corners[:, j, :, None, None].swapaxes(0, 1) for j in (i - 1, i))
        along_x, along_y, from_x, from_y = end_x - start_x, end_y - start_y, x - start_x, y - start_y
        length = np.maximum(along_x * along_x + along_y * along_y, 1e-12)
        place = np.clip((from_x * along_x + from_y * along_y) / length, 0.0, 1.0)  # of the edge's nearest point
        off_x, off_y = from_x - along_x * place, from_y - along_y * place
        np.minimum(nearest, off_x * off_x + off_y * off_y, out=nearest)
        # A ray to the right of the point crosses this edge: inside is an odd number of crossings.
        crosses = (start_y > y) != (end_y > y)
        reach = start_x + from_y * along_x / np.where(along_y == 0, 1.0, along_y)
        inside ^= crosses & (x < reach)
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance)


def _light(random: _Random) -> np.ndarray:
    """Brightness `[m, 32, 32, 1]` around 1 that falls off in one direction."""
    cosine, sine = random.direction()
    fall = random.uniform(0.0, 0.2)[:, None, None] / 16
    return (1.0 + ((_X - 16) * cosine + (_Y - 16) * sine) * fall)[..., None]


def _noise(random: _Random) -> np.ndarray:
    """Nearly Gaussian noise `[m, 32, 32, 3]` of a strength that varies from image to image."""
    octets = random.words(SIZE * SIZE * 3 // 2).astype("<u8").view(np.uint8).reshape(-1, 4, SIZE, SIZE, 3)
    total = octets[:, 0].astype(np.int64) + octets[:, 1] + octets[:, 2] + octets[:, 3]  # deviation 148
    return (total - 510) * (random.uniform(0, 6) / 148)[:, None, None, None]


def _mix(colours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours `[m, 32, 32, 3]` between the two of `[m, 2, 3]`."""
    return colours[:, 0, None, None] + (colours[:, 1] - colours[:, 0])[:, None, None] * share[..., None]
