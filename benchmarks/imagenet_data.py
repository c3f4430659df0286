"""How fast photographs become training crops, a core, beside `tf.data` with `tf.image`."""

import functools
import io
import time

import numpy as np

from benchmarks import records

CROP, AT_LEAST = 224, 1.5  # pixels a side; times the speed of the plain pipeline
OURS, PLAIN = "resnet_keras", "tf.data + tf.image"


def measure(options):
    """Yield rows: crops per second of processor time, so that other work on the machine does not bear on it."""
    environment = records.environment()
    encoded, what = photographs(options)
    makers = {OURS: ours, f"{OURS}, noise added on the host": functools.partial(ours, noise=True)}
    makers[PLAIN] = with_tensorflow

    def speed(take) -> float:
        start = time.process_time()
        assert take() == len(encoded)
        return len(encoded) / (time.process_time() - start)

    ways = {name: functools.partial(speed, make(encoded)) for name, make in makers.items()}
    speeds = records.interleaved(ways, options.rounds)
    columns = records.compared("photographs_per_core_second", speeds, {PLAIN: AT_LEAST})
    yield [{"pipeline": name, **own, "photographs": what, **environment} for name, own in columns.items()]


def photographs(options) -> tuple[list[bytes], str]:
    """Encoded JPEGs, and what they are: those of a folder, else blurred noise as large as ImageNet's usual ones."""
    from PIL import Image

    if options.photographs and not options.smoke:
        files = [p for p in sorted(options.photographs.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg")]
        return [path.read_bytes() for path in files], f"{len(files)} of {options.photographs.name}"
    random, file = np.random.default_rng(0), io.BytesIO()
    noise = Image.fromarray(random.integers(0, 256, (75, 100, 3), dtype=np.uint8))
    noise.resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG", quality=92)
    return [file.getvalue()] * (8 if options.smoke else 100), "one of blurred noise, 500x375"


def ours(encoded: list[bytes], noise: bool = False):
    """This package: the crop of a decoded image, resized; in training the device adds the colour noise."""
    from resnet_keras.data.photos import Photograph, draw_crops, training_crop
    from resnet_keras.data.views import colour_shift

    iterations = iter(range(10**9))

    def take() -> int:
        draws = draw_crops(0, next(iterations), len(encoded), len(encoded))
        batch = np.empty((len(encoded), CROP, CROP, 3), np.float32 if noise else np.uint8)
        for place, number in enumerate(draws.index):
            photograph = Photograph(encoded[number], 0, "")
            batch[place] = training_crop(photograph, *(int(field[place]) for field in draws[1:5]), CROP)
        if noise:
            batch += colour_shift(draws.noise)[:, None, None]
        return len(batch)

    return take


def with_tensorflow(encoded: list[bytes]):
    """A `tf.data` pipeline on one thread."""
    import tensorflow as tf

    from resnet_keras.data.views import EIGENVALUES, EIGENVECTORS

    def finished(content):
        draws = tf.random.normal([3], 0.0, 0.1) * tf.constant(EIGENVALUES, tf.float32)
        noise = 255.0 * tf.linalg.matvec(tf.constant(EIGENVECTORS.T, tf.float32), draws)
        return tf.image.random_flip_left_right(plain(content)) + noise

    options = tf.data.Options()
    options.threading.private_threadpool_size = options.threading.max_intra_op_parallelism = 1
    data = tf.data.Dataset.from_tensor_slices(encoded).shuffle(len(encoded)).map(finished, num_parallel_calls=1)
    data = data.with_options(options)
    return lambda: sum(1 for _ in data)


def plain(content):
    """As people write it: decode and resize the whole image, then crop."""
    import tensorflow as tf

    image = tf.io.decode_jpeg(content, channels=3)
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.cast(tf.random.uniform([], 256, 481, tf.int32), tf.float32) / tf.reduce_min(size)
    image = tf.image.resize(image, tf.cast(tf.math.ceil(size * scale), tf.int32))
    return tf.image.random_crop(image, (CROP, CROP, 3))
