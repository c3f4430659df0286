"""A trained network as a file that runs without this package, checked against the network before it takes its name.

In every format: input ``pictures``, uint8 [batch, height, width, 3], raw RGB in 0..255, the batch of any size; output
float32 logits [batch, classes], whose softmax are the probabilities. Beside the file lies FILE.json, which says so,
names the classes, and holds the largest difference from the network's own logits, as a share of the largest of them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_keras.errors import UserError
from resnet_keras.files import write_json
from resnet_keras.inference.trained import Trained
from resnet_keras.quiet import held_back

INPUT = "pictures"
TOLERANCE = 1e-3  # of the largest logit: other libraries add up in another order


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        ending: of the file's name; "" for a folder.
        write: (network, path) -> nothing.
        read: path -> a function of pictures uint8 [b, h, w, 3], to logits.
        packages: modules that both need, by the name to install them by.
        backends: Keras' backends that it can be written on.
        own_precision: whether it keeps the network's precision; the others hold float32.
    """

    ending: str
    write: Callable
    read: Callable
    packages: dict[str, str]
    backends: tuple[str, ...]
    own_precision: bool = False


def export(trained: Trained, form: str, target: str | os.PathLike | None = None, replace: bool = False) -> Path:
    """Write a trained network in another format.

    Args:
        trained: See `resnet_keras.inference.trained.find`.
        form: A key of `FORMATS`.
        target: The file, or the folder of a SavedModel; default: the network's name, here.
        replace: Whether a file that is there may go.

    Returns:
        The path written.

    Raises:
        UserError: There is no such format, a package for it is missing, the backend cannot write it, something lies at
            `target`, or the file does not compute what the network computes; then there is no file.
    """
    check(form)
    target = destination(trained.name, form, target, replace)
    chosen = FORMATS[form]
    _check_backend(form)
    network = trained.network if chosen.own_precision else float32(trained.network)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-", suffix=".tmp") as folder:
        part = Path(folder) / f"network{chosen.ending}"
        with _quiet():
            chosen.write(network, part)
            worst = difference(network, chosen.read(part), trained.input_shape)
        if not worst <= TOLERANCE:
            raise UserError(
                f"the {form} file of {trained.name} gives other logits than the network (by {worst:.1e} of the "
                f"largest, {TOLERANCE:.0e} allowed), so it was not kept: try another format."
            )
        _put(part, target)
    write_json(Path(f"{target}.json"), {**_contract(trained, form, network), "largest_difference": worst})
    return target


def check(form: str) -> None:
    """Refuse a format that does not exist or cannot be written here.

    Raises:
        UserError: Naming what is allowed, or what to install.
    """
    if form not in FORMATS:
        raise UserError(f"format={form!r}: use one of {', '.join(FORMATS)}.")
    chosen = FORMATS[form]
    missing = [name for module, name in chosen.packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"the format {form} needs {' and '.join(missing)}: pip install 'resnet-keras[export]', "
            f"or pip install {' '.join(missing)}."
        )


def _check_backend(form: str) -> None:
    import keras

    backend, allowed = keras.config.backend(), FORMATS[form].backends
    if backend not in allowed:
        raise UserError(f"the format {form} is written with Keras on {' or '.join(allowed)}: set KERAS_BACKEND to it.")


def destination(name: str, form: str, target: str | os.PathLike | None, replace: bool) -> Path:
    """Where a network's file goes: `target`, or the network's name with the format's ending, here.

    Raises:
        UserError: The ending is another format's, the folder is not there, or something is in the way.
    """
    ending = FORMATS[form].ending
    path = Path(target) if target else Path(f"{name}{ending}")
    if ending and path.suffix != ending:
        raise UserError(f"{path}: a file of the format {form} ends in {ending}.")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}: make it first.")
    if path.exists() and not replace:
        raise UserError(f"{path} is there already: add --force to replace it, or name another with --output.")
    return path


def float32(network):
    """The network itself where it is float32 throughout, else a copy that is, with the same weights."""
    if network.dtype_policy.name == "float32":
        return network
    copy = type(network).from_config({**network.get_config(), "dtype": "float32"})
    copy.build()
    for mine, its in zip(copy.variables, network.variables, strict=True):
        mine.assign(its)
    return copy


def difference(network, other: Callable, shape: tuple[int, int, int]) -> float:
    """The largest difference of another form's logits from the network's, as a share of the largest logit.

    On drawn pictures, once one alone and once three at a time, since the size of the batch must not be fixed.
    """
    drawn = np.random.default_rng(0)
    worst = 0.0
    for count in (1, 3):
        coarse = drawn.integers(0, 256, (count, 4, 4, shape[2]))  # patches of one colour, with noise upon them
        rows, columns = (np.arange(side) * 4 // side for side in shape[:2])
        pictures = coarse[:, rows][:, :, columns] + drawn.integers(-30, 31, (count, *shape))
        pictures = pictures.clip(0, 255).astype(np.uint8)
        wanted = np.asarray(_own(network)(pictures), np.float64)
        found = np.asarray(other(pictures), np.float64)
        if found.shape != wanted.shape or not np.isfinite(found).all():
            return float("inf")
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    return worst


def _contract(trained: Trained, form: str, network) -> dict:
    """What whoever runs the file has to know."""
    return {
        "network": trained.network.name,
        "made_from": trained.name,
        "format": form,
        "precision": network.dtype_policy.name,
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": ["batch", *trained.input_shape],
            "meaning": "raw RGB pixels in 0..255; the mean is subtracted inside",
        },
        "output": {
            "dtype": "float32",
            "shape": ["batch", len(trained.classes)],
            "meaning": "logits; their softmax are the probabilities",
        },
        "classes": list(trained.classes),
    }


def _put(part: Path, target: Path) -> None:
    """Give what is finished its name, in place of what may have had it."""
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(part, target)


@contextlib.contextmanager
def _quiet():
    """Without the converters' own reports: what matters is checked here."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), held_back():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _signature(network) -> list:
    import keras

    height, width, channels = network.arguments["input_shape"]
    shape = (None, height or 224, width or 224, channels)
    return [keras.InputSpec(shape=shape, dtype="uint8", name=INPUT)]


# ---- Writing and reading, format by format -----------------------------------------------------------------------


def _write_keras(network, path: Path) -> None:
    network.save(path)


def _read_keras(path: Path) -> Callable:
    import keras

    return _own(keras.saving.load_model(path, compile=False, safe_mode=True))


def _own(network) -> Callable:
    """A Keras network as a function of arrays, without compiling it for the few pictures that it gets."""
    from keras import ops

    return lambda pictures: ops.convert_to_numpy(network(pictures, training=False))


def _write_litert(network, path: Path) -> None:
    """By way of a SavedModel: Keras' own way is younger than the oldest Keras that we take."""
    import tensorflow as tf

    between = path.with_name("savedmodel")
    _write_with_keras("tf_saved_model")(network, between)
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(between)).convert())


def _write_with_keras(form: str) -> Callable:
    def write(network, path: Path) -> None:
        from resnet_keras.models.repeat import unrolled

        with unrolled():  # the converters do not know our loops over equal blocks
            network.export(path, format=form, verbose=False, input_signature=_signature(network))

    return write


def _read_savedmodel(path: Path) -> Callable:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda pictures: loaded.serve(pictures).numpy()


def _read_onnx(path: Path) -> Callable:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pictures: session.run(None, {INPUT: pictures})[0]


def _read_litert(path: Path) -> Callable:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner()
    return lambda pictures: next(iter(runner(**{INPUT: pictures}).values()))


FORMATS = {
    "keras": Format(".keras", _write_keras, _read_keras, {}, ("tensorflow", "jax"), own_precision=True),
    "savedmodel": Format(
        "", _write_with_keras("tf_saved_model"), _read_savedmodel, {"tensorflow": "tensorflow"}, ("tensorflow",)
    ),
    "onnx": Format(
        ".onnx",
        _write_with_keras("onnx"),
        _read_onnx,
        {"tensorflow": "tensorflow", "tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"},
        ("tensorflow",),
    ),
    "litert": Format(".tflite", _write_litert, _read_litert, {"tensorflow": "tensorflow"}, ("tensorflow",)),
}
