"""The same bits every time on an accelerator too, for the speed that costs. On a CPU runs are so without it."""

from __future__ import annotations

import os

XLA_FLAG = "--xla_gpu_deterministic_ops=true"
enabled = False  # whether `enable` has been called in this process


def enable() -> None:
    """Have TensorFlow take deterministic kernels, and XLA (and so JAX) too; to be called before anything is computed.

    An operation that has no deterministic kernel then fails instead of giving other bits. Which runs these are is
    no different: the setting decides bits, not what is trained, so that it is no part of the recipe.
    """
    global enabled
    flags = os.environ.get("XLA_FLAGS", "").split()
    if XLA_FLAG not in flags:
        os.environ["XLA_FLAGS"] = " ".join([*flags, XLA_FLAG])  # read when the first device is looked up
    from resnet_keras.quiet import load_keras

    load_keras()
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    enabled = True
