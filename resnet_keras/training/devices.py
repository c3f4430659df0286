"""One network over several devices, of one process or of several: data parallel, on JAX.

Every device holds the network, laid out by `keras.distribution.DataParallel`, and takes its share of each batch; XLA
adds up the gradients, and BN's sums where its group of images lies on several devices. The arithmetic is that of one
device but for the order of sums. Several processes, on one machine or many, are one such training: each runs the same
program on the same numbers, and what all but the first write goes into a folder that is thrown away.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from resnet_keras import quiet
from resnet_keras.errors import ProcessLost, UserError, first_line
from resnet_keras.store import RunFolder
from resnet_keras.training import device

PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


def join() -> None:
    """Become one of the processes that Keras' `KERAS_DISTRIBUTION_*` variables describe, where they are set.

    To be called once, after Keras is imported and before anything is computed. Raises UserError if the variables cannot
    be used, or the backend is not JAX.
    """
    count = os.environ.get(PROCESSES, "1")
    if count == "1":
        return
    import keras

    if quiet.backend() != "jax":
        raise UserError(f"{PROCESSES}={count}: several processes train one network on JAX only; set KERAS_BACKEND=jax.")
    try:
        keras.distribution.initialize()
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{PROCESSES}={count} cannot be used ({error}): set KERAS_DISTRIBUTION_JOB_ADDRESSES to host:port of the "
            f"first process, {PROCESSES} to their number, and KERAS_DISTRIBUTION_PROCESS_ID to 0, 1, ... in each."
        ) from None


def check_devices(wanted: int | str, batch_size: int) -> int:
    """How many devices share each batch of so many images, `wanted` being a number or "all".

    Raises UserError if the machine has fewer, the backend or the batch cannot be spread, or a process would be idle.
    """
    names = device.all_names()
    count = len(names) if wanted == "all" else wanted
    if type(count) is not int or not 1 <= count <= len(names):
        kinds = ", ".join(sorted(set(names)))
        raise UserError(f"devices={wanted!r}: give a whole number from 1 to {len(names)} ({kinds}), or 'all'.")
    if count > 1 and quiet.backend() != "jax":
        raise UserError(
            f"devices={wanted}: one network trains over several devices on JAX only; set KERAS_BACKEND=jax, "
            "or train one run per device (CUDA_VISIBLE_DEVICES=0, 1, ...)."
        )
    if processes() > 1 and count != len(names):
        raise UserError(f"devices={wanted}: {processes()} processes use all devices that they have: give all.")
    if batch_size % count:
        raise UserError(f"batch of {batch_size} images: {count} devices need a multiple of {count}, to share it.")
    return count


def data_parallel(count: int):
    """Keras' layout of a network over the first `count` devices, every variable on each; None for one device."""
    if count == 1:
        return None
    import keras

    return keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:count], auto_shard_dataset=False)


def processes() -> int:
    """Processes of this training."""
    if quiet.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def is_first() -> bool:
    """Whether this process is the one whose files and words are kept."""
    if processes() == 1:
        return True
    import jax

    return jax.process_index() == 0


@contextlib.contextmanager
def kept_of_first(folder: RunFolder):
    """The run's folder in the first process; in the others one that is thrown away."""
    with contextlib.nullcontext(folder.path.parent) if is_first() else tempfile.TemporaryDirectory() as place:
        yield RunFolder(Path(place) / folder.name)


def from_first(tree):
    """The first process's numbers and arrays, in every process; the others give a tree of the same shapes."""
    if processes() == 1:
        return tree
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return broadcast_one_to_all(tree)


@contextlib.contextmanager
def together():
    """Turn JAX' error about another process that is gone into a ProcessLost of one line."""
    try:
        yield
    except Exception as error:
        if processes() == 1 or type(error).__name__ != "JaxRuntimeError":
            raise
        raise ProcessLost(
            f"another process of this training is gone ({first_line(error, 120)}): start all of them again with the "
            "same command, and they go on from the last checkpoint."
        ) from None
