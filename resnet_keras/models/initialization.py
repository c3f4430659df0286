"""Initial weights as a function of the seed and a variable's place: the same on every backend.

A plain network and its residual twin have the same paths below their own names, so a shared seed pairs them.
"""

import zlib

import numpy as np


def he_normal(shape: tuple[int, ...], seed: int, place: str) -> np.ndarray:
    """A He-initialised kernel, float32: a plain Gaussian of variance 2 / fan-in ([13] of the paper, Sec. 3.4).

    Of shape [height, width, in, out] or [in, out]; `place` is the variable's path below the network's name, such as
    ``stage1_block1/conv1/kernel``.
    """
    key = np.array([seed, zlib.crc32(place.encode())], np.uint64)
    draws = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape)
    return (draws * np.sqrt(2.0 / np.prod(shape[:-1]))).astype(np.float32)


def initialize(network, seed: int) -> None:
    """Draw every kernel of a built network; BN and biases already start at their constants (gamma at 1)."""
    for variable in network.trainable_variables:
        if variable.path.endswith("/kernel"):
            place = variable.path.split("/", 1)[1]
            variable.assign(he_normal(tuple(variable.shape), seed, place))
