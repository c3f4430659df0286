"""Shortcut options A, B and C of Section 4.1, and none."""

from __future__ import annotations

OPTIONS = {
    "A": "identity; where dimensions grow, every second pixel and zeros for the new channels: no parameters",
    "B": "1x1 projection where dimensions grow, identity elsewhere",
    "C": "1x1 projection on every shortcut",
    "none": "no shortcut: the plain network",
}


def projects(option: str, grows: bool) -> bool:
    """Whether a block's shortcut is a 1x1 projection.

    Args:
        option: A key of `OPTIONS`.
        grows: Whether the block changes the number of channels or the size of the map.
    """
    return option == "C" or (option == "B" and grows)


def identity(x, stride: int, channels: int):
    """The parameter-free shortcut of option A: [b, h, w, c] -> [b, ceil(h / stride), ceil(w / stride), channels].

    Takes every `stride`-th pixel, starting with the first, and appends zero channels. The paper leaves open where the
    zeros go; appended or split over both sides, the networks differ by a permutation of channels alone.
    """
    import keras
    from keras import ops

    missing = channels - x.shape[-1]
    if stride == 1 and not missing:
        return x
    if keras.config.backend() == "tensorflow" and x.dtype == "bfloat16":
        return _identity_convolution(x, stride, channels)
    return ops.pad(x[:, ::stride, ::stride, :], ((0, 0), (0, 0), (0, 0), (0, missing)))


def _identity_convolution(x, stride: int, channels: int):
    """The same as one convolution with a fixed kernel, a tenth faster over a whole training step on a CPU.

    TensorFlow has no fast kernel for the gradient of a strided slice. Only for bfloat16, where it is exact on every
    device: a float32 convolution may round its inputs on a GPU.
    """
    import tensorflow as tf

    kernel = tf.eye(x.shape[-1], channels, dtype=x.dtype)
    return tf.nn.conv2d(x, kernel[None, None], stride, "VALID")
