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
    if keras.config.backend() == "tensorflow":
        # Pooling single pixels takes the same ones. A strided slice costs eight times that in training, because its
        # gradient has no fast kernel on a CPU; XLA, which JAX has, fuses the slice with what stands beside it.
        taken = ops.average_pool(x, 1, stride, data_format="channels_last")
    else:
        taken = x[:, ::stride, ::stride, :]
    return ops.pad(taken, ((0, 0), (0, 0), (0, 0), (0, missing)))
