"""One network over several devices, of one process or of several: data parallel, on JAX.

Every device holds the whole network, its variables laid out by `keras.distribution.DataParallel`, and takes its share
of each batch; XLA adds up the gradients, and BN's sums where its group of images lies on several devices. The
arithmetic is that of one device but for the order of sums. Several processes, on one machine or many, are one such
training: each runs the same program on the same numbers, and only the first one writes.
"""

from __future__ import annotations

import contextlib
import json
import os

import numpy as np

from resnet_keras.errors import UserError
from resnet_keras.training import device

PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


class ProcessLost(ConnectionError):
    """Another process of this training is gone; a normal exit would wait for it."""


def join() -> None:
    """Become one of the processes that Keras' `KERAS_DISTRIBUTION_*` variables describe, where they are set.

    To be called once, after Keras is imported and before anything is computed.

    Raises:
        UserError: The variables cannot be used, or the backend is not JAX.
    """
    count = os.environ.get(PROCESSES, "1")
    if count == "1":
        return
    import keras

    if keras.config.backend() != "jax":
        raise UserError(f"{PROCESSES}={count}: several processes train one network on JAX only; set KERAS_BACKEND=jax.")
    try:
        keras.distribution.initialize()
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{PROCESSES}={count} cannot be used ({error}): set KERAS_DISTRIBUTION_JOB_ADDRESSES to host:port of the "
            f"first process, {PROCESSES} to how many there are, and KERAS_DISTRIBUTION_PROCESS_ID to 0, 1, ... in each."
        ) from None


def check_devices(wanted: int | str, batch_size: int) -> int:
    """How many devices a training takes.

    Args:
        wanted: A number, or "all".
        batch_size: Images of an iteration.

    Raises:
        UserError: There are not so many, the backend or the batch cannot be spread, or a process would be idle.
    """
    import keras

    here = len(device.all_names())
    count = here if wanted == "all" else wanted
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UserError(f"devices={wanted!r}: give a whole number, 1 or more, or 'all'.")
    if count > 1 and keras.config.backend() != "jax":
        raise UserError(
            f"devices={wanted}: one network trains over several devices on JAX only; set KERAS_BACKEND=jax, "
            "or train one run per device (CUDA_VISIBLE_DEVICES=0, 1, ...)."
        )
    if count > here:
        raise UserError(f"devices={wanted}: there are {here} here ({', '.join(sorted(set(device.all_names())))}).")
    if processes() > 1 and count != here:
        raise UserError(
            f"devices={wanted}: {processes()} processes use all devices that they have: give --devices all."
        )
    if batch_size % count:
        raise UserError(
            f"batch of {batch_size} images: {count} devices need a multiple of {count}, so that each has its share."
        )
    return count


def idle_devices(count: int) -> str:
    """One line that says which of several GPUs a training uses, and how to use them all."""
    names = device.all_names()
    used = "the first" if count == 1 else f"the first {count}"
    return (
        f"Training uses {used} of {len(names)} devices ({names[0]}). All for one network: KERAS_BACKEND=jax and "
        "--devices all. One run for each: CUDA_VISIBLE_DEVICES=0, 1, ..."
    )


def distribution(count: int):
    """Keras' layout of a network over the first `count` devices: every variable whole on each. None for one device."""
    if count == 1:
        return None
    import keras

    return keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:count], auto_shard_dataset=False)


def laid_out(layout):
    """A context in which variables are made as `distribution` says."""
    return layout.scope() if layout else contextlib.nullcontext()


def describe(count: int) -> dict:
    """What `environment.json` holds of it: nothing for one device."""
    if count == 1:
        return {}
    return {"devices": count, **({"processes": processes()} if processes() > 1 else {})}


def processes() -> int:
    """Processes of this training."""
    import keras

    if os.environ.get(PROCESSES, "1") == "1" or keras.config.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def is_first() -> bool:
    """Whether this process is the one that reads and writes files and speaks."""
    if processes() == 1:
        return True
    import jax

    return jax.process_index() == 0


def from_first(make):
    """`make()` of the first process, in every process; the others do not call it.

    Args:
        make: Returns what JSON can hold, or a pair of arrays by name and what JSON can hold, as a checkpoint is.
    """
    if processes() == 1:
        return make()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    text = np.frombuffer(_packed(make()), np.uint8) if is_first() else np.zeros(0, np.uint8)
    size = int(broadcast_one_to_all(np.int64(len(text))))
    return _unpacked(bytes(np.asarray(broadcast_one_to_all(text if is_first() else np.zeros(size, np.uint8)))))


def _packed(value) -> bytes:
    """A value of `from_first` as safetensors: what another process sends is read, and never run as a pickle is."""
    from safetensors.numpy import save

    kind, tensors, rest = ("pair", *value) if isinstance(value, tuple) else ("single", {}, value)
    return save(tensors, {"kind": kind, "value": json.dumps(rest)})


def _unpacked(content: bytes):
    from safetensors.numpy import load

    length = int.from_bytes(content[:8], "little")  # safetensors reads metadata from files alone
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    value = json.loads(metadata["value"])
    return (load(content), value) if metadata["kind"] == "pair" else value


def any_of(*numbers: int) -> tuple[int, ...]:
    """The largest of each number in any process, so that all processes do the same after the same iteration."""
    if processes() == 1:
        return numbers
    from jax.experimental.multihost_utils import process_allgather

    return tuple(int(number) for number in process_allgather(np.array(numbers, np.int32)).max(axis=0))


@contextlib.contextmanager
def together():
    """Say what has happened, in one line, where another process is lost.

    Raises:
        ProcessLost: Another process is gone.
    """
    if processes() == 1:
        yield
        return
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0][:120]
        raise ProcessLost(
            f"another process of this training is gone ({reason}): start all of them again with the same command, and "
            "they go on from the last checkpoint."
        ) from None
