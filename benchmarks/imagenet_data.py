"""How fast photographs become training crops, a core, beside `tf.data` with `tf.image`."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np

from benchmarks import records

CROP = 224
TARGET = 1.5  # times the plain pipeline
DRAWN = 8  # pictures of the smoke scale


def measure(options):
    """Yield rows: crops per second of processor time, and of one thread's clock; ratios within a round."""
    environment = records.environment()
    encoded, what = photographs(options)
    contenders = {name: make(encoded) for name, make in CONTENDERS.items()}
    times: dict[str, list] = {name: [] for name in contenders}
    for number in range(options.rounds + 1):  # the first is a warm-up
        for name, take in contenders.items():
            clock, processor = time.perf_counter(), time.process_time()
            assert take() == len(encoded)
            if number:
                times[name].append((time.process_time() - processor, time.perf_counter() - clock))
    yield [_row(name, times, len(encoded), what) | environment for name in contenders]


def _row(name: str, times: dict, count: int, what: str) -> dict:
    processor = [seconds for seconds, _ in times[name]]
    ours = [seconds for seconds, _ in times[OURS]]
    speed = records.spread([count / seconds for seconds in processor])
    faster = records.spread([theirs / own for theirs, own in zip(processor, ours, strict=True)])
    return {
        "pipeline": name,
        "photographs_per_core_second": records.rounded(speed["median"]),
        "lower_quartile": records.rounded(speed["low"]),
        "upper_quartile": records.rounded(speed["high"]),
        "ours_faster": records.rounded(faster["median"], 3),
        "target": TARGET if name == PLAIN else "",
        "photographs_per_second": records.rounded(
            records.spread([count / seconds for _, seconds in times[name]])["median"]
        ),
        "photographs": what,
        "rounds": len(processor),
    }


def photographs(options) -> tuple[list[bytes], str]:
    """Encoded JPEGs, and what they are: those of a folder, else drawn ones of ImageNet's usual size."""
    folder: Path | None = options.photographs
    if folder is None or options.smoke:
        found = [drawn(seed) for seed in range(DRAWN if options.smoke else 100)]
        return found, f"{len(found)} drawn, 500x375"
    found = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    if not found:
        raise SystemExit(f"{folder} holds no JPEG photographs")
    return found, f"{len(found)} of {folder.name}"


def drawn(seed: int) -> bytes:
    """A JPEG with as much detail as a photograph: noise of several sizes."""
    from PIL import Image

    random, picture = np.random.default_rng(seed), np.zeros((375, 500, 3))
    for size in (5, 20, 80, 300):
        noise = Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8))
        picture += np.asarray(noise.resize((500, 375), Image.Resampling.BICUBIC)) / 4.0
    file = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def ours(encoded: list[bytes], noise_here: bool = False):
    """This package: a crop of the decoded picture, resized on its own. The device adds the noise, in the step.

    With `noise_here` the host does, so that both sides do the same work.
    """
    from resnet_keras.data.encoded import Photograph
    from resnet_keras.data.imagenet import draw, training_crop
    from resnet_keras.data.views import colour_shift

    iteration = iter(range(10**9))
    noisy = np.empty((len(encoded), CROP, CROP, 3), np.float32)

    def take() -> int:
        drawn = draw(0, next(iteration), len(encoded), len(encoded))
        batch, shift = np.empty((len(encoded), CROP, CROP, 3), np.uint8), colour_shift(drawn.noise)
        for place in range(len(encoded)):
            photograph = Photograph(encoded[drawn.index[place]], 0, "")
            batch[place] = training_crop(photograph, *(int(field[place]) for field in drawn[1:5]), CROP)
            if noise_here:
                noisy[place] = batch[place] + shift[place]
        return len(batch)

    return take


def with_tensorflow(one):
    """`tf.data` on one thread; `one` makes a crop of a JPEG."""

    def make(encoded: list[bytes]):
        import tensorflow as tf

        options = tf.data.Options()
        options.threading.private_threadpool_size = 1
        options.threading.max_intra_op_parallelism = 1
        data = tf.data.Dataset.from_tensor_slices(encoded).shuffle(len(encoded)).map(one, num_parallel_calls=1)
        data = data.with_options(options)
        return lambda: sum(1 for _ in data)

    return make


def _plain(content, antialias: bool = False):
    """As people write it: decode and resize the whole picture, then crop."""
    import tensorflow as tf

    image = tf.io.decode_jpeg(content, channels=3)
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    side = tf.random.uniform([], 256, 481, tf.int32)
    scale = tf.cast(side, tf.float32) / tf.reduce_min(size)
    image = tf.image.resize(image, tf.cast(tf.math.ceil(size * scale), tf.int32), antialias=antialias)
    return _finished(tf.image.random_crop(image, (CROP, CROP, 3)))


def _antialiased(content):
    """The same with pixels like those of this package."""
    return _plain(content, antialias=True)


def _cropped_decode(content):
    """Decode the crop's pixels alone, and resize them."""
    import tensorflow as tf

    size = tf.io.extract_jpeg_shape(content)[:2]
    side = tf.random.uniform([], 256, 481, tf.int32)
    window = tf.cast(CROP * tf.reduce_min(size) / side, tf.int32)
    place = [tf.random.uniform([], 0, size[axis] - window + 1, tf.int32) for axis in (0, 1)]
    image = tf.io.decode_and_crop_jpeg(content, [*place, window, window], channels=3)
    return _finished(tf.image.resize(image, (CROP, CROP)))


def _finished(image):
    """Flip and colour noise."""
    import tensorflow as tf

    from resnet_keras.data.views import EIGENVALUES, EIGENVECTORS

    image = tf.image.random_flip_left_right(image)
    draws = tf.random.normal([3], 0.0, 0.1) * tf.constant(EIGENVALUES, tf.float32)
    return image + 255.0 * tf.linalg.matvec(tf.constant(EIGENVECTORS.T, tf.float32), draws)


def _ours_noise_here(encoded: list[bytes]):
    return ours(encoded, noise_here=True)


OURS, PLAIN = "ours", "tf.data + tf.image"
CONTENDERS = {
    OURS: ours,
    "ours, noise added on the host": _ours_noise_here,
    PLAIN: with_tensorflow(_plain),
    f"{PLAIN}, antialiased": with_tensorflow(_antialiased),
    "tf.data, decode_and_crop_jpeg": with_tensorflow(_cropped_decode),
}
