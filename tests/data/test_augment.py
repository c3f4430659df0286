"""Augmentation: the numbers it draws, and the pictures it makes of them."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_keras.data import augment


def test_all_81_offsets_come_equally_often_and_half_of_each_is_flipped():
    plan = augment.draw_plan(0, 0, 2000, 128, 50_000)  # a quarter of a million crops
    offset = (plan.top * 9 + plan.left).ravel()
    counts, expected = np.bincount(offset, minlength=81), offset.size / 81
    assert len(counts) == 81
    assert ((counts - expected) ** 2 / expected).sum() < 144  # chi-square, 80 degrees of freedom: p = 1e-5
    assert abs(plan.flip.mean() - 0.5) < 5 * 0.5 / np.sqrt(plan.flip.size)
    assert np.abs(np.bincount(offset, plan.flip.ravel(), 81) / counts - 0.5).max() < 0.05  # 5 deviations of a rate


def test_every_epoch_shows_every_image_once_across_batch_borders():
    order = augment.draw_plan(7, 0, 30, 10, 60).index.ravel()  # five epochs of six batches
    crossing = augment.draw_plan(7, 0, 45, 7, 60).index.ravel()[:300]  # batches of seven do not fit into sixty
    assert np.array_equal(order, crossing)
    epochs = order.reshape(5, 60)
    assert np.array_equal(np.sort(epochs, axis=1), np.tile(np.arange(60), (5, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 5
    several = augment.draw_plan(0, 0, 1, 25, 10).index[0]  # a batch larger than the set
    assert np.array_equal(np.bincount(several[:20]), np.full(10, 2))


@settings(max_examples=60)
@given(*(st.integers(*bounds) for bounds in ((0, 2**40), (0, 70_000), (0, 5), (0, 5), (1, 9), (1, 20))), st.booleans())
def test_a_plan_is_the_same_drawn_at_once_or_in_parts(seed, first, n, m, batch, examples, crop):
    full = augment.draw_plan(seed, first, n + m, batch, examples, crop)
    start = augment.draw_plan(seed, first, n, batch, examples, crop)
    rest = augment.draw_plan(seed, first + n, m, batch, examples, crop)
    for field, *pieces in zip(full, start, rest, strict=True):
        assert np.array_equal(field, np.concatenate(pieces)) and field.shape == (n + m, batch)


def test_the_numbers_never_change_and_without_augmentation_only_the_order_is_left():
    """They decide every result: the same with any version of NumPy (tried with 1.26, 2.0 and 2.4)."""
    plan, bare = (augment.draw_plan(3, 390, 4, 128, 50_000, augment=flag) for flag in (True, False))
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(field).tobytes() for field in plan)).hexdigest()
    assert digest.startswith("eba35116bea6cb9f")
    assert np.array_equal(plan.index, bare.index)
    assert (bare.top == 4).all() and (bare.left == 4).all() and not bare.flip.any()


@pytest.mark.parametrize(("shape", "pad"), [((40, 32, 32, 3), 4), ((40, 17, 20, 3), 2)])
def test_pictures_are_those_of_the_plain_way_bit_for_bit(shape, pad):
    """Every crop and flip, on odd sizes too, eager and compiled; 4 pixels around 32, in proportion around others."""
    keras = pytest.importorskip("keras")
    assert augment.padding(*shape[1:3]) == pad
    random = np.random.default_rng(0)
    top, left, flip = (part.ravel() for part in np.mgrid[0 : 2 * pad + 1, 0 : 2 * pad + 1, 0:2])
    plan = augment.Plan(random.integers(0, 40, len(top)), top, left, flip.astype(bool))
    images, labels = random.integers(1, 256, shape, dtype=np.uint8), random.integers(0, 10, 40).astype(np.int32)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        ways = [augment.apply, tf.function(augment.apply), tf.function(augment.apply, jit_compile=True)]
    else:
        import jax

        ways = [augment.apply, jax.jit(augment.apply)]
        large = jax.ShapeDtypeStruct((131_080, 128, 128, 1), "uint8"), jax.ShapeDtypeStruct((131_080,), "int32")
        assert jax.eval_shape(augment.apply, *large, plan)[0].shape == (len(top), 128, 128, 1)  # over 2^31 pixels
    padded, (height, width) = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0))), shape[1:3]
    plain = [padded[i, y : y + height, x : x + width][:, :: -1 if f else 1] for i, y, x, f in zip(*plan, strict=True)]
    put = keras.ops.convert_to_tensor
    for way in ways:
        crops, classes = map(np.asarray, way(put(images), put(labels), augment.Plan(*map(put, plan))))
        assert np.array_equal(crops, plain) and crops.dtype == np.uint8
        assert np.array_equal(classes, labels[plan.index])
