"""A trained network as a file for other software, from ``pictures``, raw RGB uint8 [b, h, w, 3], to float32 logits.

FILE.json beside it says what the network is, its classes, and the digests by which a later export knows its own.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np

from resnet_keras.errors import UserError, first_line
from resnet_keras.files import write_json
from resnet_keras.models.pretrained import load
from resnet_keras.quiet import held_back

FORMATS = {"keras": ".keras", "savedmodel": "", "onnx": ".onnx", "litert": ".tflite"}  # format -> ending of its file
TOLERANCE = 1e-3  # of the largest logit: other libraries add up in another order


def export(trained, form: str, target: str | os.PathLike | None = None, replace: bool = False) -> Path:
    """Write a trained network (see `predict.find`) in a format of `FORMATS`, all but ``keras`` in float32; its path.

    A UserError, and no file, where the format cannot be written here, or gives other logits on random images.
    """
    target = destination(trained.name, form, target, replace)
    network = trained.network
    if form != "keras" and network.dtype_policy.name != "float32":
        network = type(network).from_config({**network.get_config(), "dtype": "float32"})
        network.build()
        network.set_weights(trained.network.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (3, *trained.input_shape)).astype(np.uint8)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-", suffix=".tmp") as folder:
        part = Path(folder) / f"network{FORMATS[form]}"
        try:
            with held_back(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                logging.disable(logging.WARNING)  # the converters report much; what matters is checked here
                _write(network, form, part, trained.input_shape)
                logits, read = (np.array(of(images), np.float64) for of in (network, _reader(form, part)))
                difference = float(np.abs(read.reshape(logits.shape) - logits).max() / np.abs(logits).max())
        except Exception as error:  # the converters raise many kinds
            hint = "pip install 'resnet-keras[export]', or " if form == "onnx" else ""
            raise UserError(f"{form} cannot be written here ({first_line(error)}): {hint}try another.") from error
        finally:
            logging.disable(logging.NOTSET)
        if not difference <= TOLERANCE:  # nor where it is not a number
            raise UserError(f"the {form} file gives other logits, by {difference:.0e} of the largest: try another.")
        if target.exists():
            os.replace(target, Path(folder) / "former")
        os.replace(part, target)
    about = {"network": network.name, "made_from": trained.name, "format": form, "classes": list(trained.classes)}
    about |= {"input_shape": list(trained.input_shape), "largest_difference": difference, "sha256": _digests(target)}
    write_json(Path(f"{target}.json"), about)
    return target


def destination(name: str, form: str, target: str | os.PathLike | None = None, replace: bool = False) -> Path:
    """Where a network's file goes: `target`, or by default the network's name with the format's ending, here.

    A UserError where its folder is missing, or something is in the way but an export that it may `replace`.
    """
    path = Path(target or f"{name}{FORMATS[form]}")
    about = Path(f"{path}.json")
    if path.name in ("", "..") or not path.name.endswith(FORMATS[form]) or not path.parent.is_dir():
        raise UserError(f"--output {path}: give a name in a folder that exists, such as {name}{FORMATS[form]}.")
    ours = not any(map(os.path.lexists, (path, about)))
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # else as the digests in FILE.json say
        made = json.loads(about.read_text(encoding="utf-8"))["sha256"]
        ours = not os.path.lexists(path) or made == _digests(path)
    if not ours:
        raise UserError(f"{path} or {about.name} exists, and no export made it: move it, or give another --output.")
    if path.exists() and not replace:
        raise UserError(f"{path} is there already: add --force to replace it, or give another --output.")
    return path


def _digests(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of each file in a folder, by its path from there."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if not each.is_dir())
    return {each.relative_to(path).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def _write(network, form: str, path: Path, shape: tuple[int, int, int]) -> None:
    if form == "keras":
        return network.save(path)
    import keras

    signature = [keras.InputSpec(shape=(None, *shape), dtype="uint8", name="pictures")]
    scan_from, network.scan_from = network.scan_from, None  # the converters do not know our loops over equal blocks
    try:
        form = "tf_saved_model" if form == "savedmodel" else form
        network.export(path, format=form, verbose=False, input_signature=signature)
    finally:
        network.scan_from = scan_from


def _reader(form: str, path: Path):
    """The file in its own library, as a function from images to logits."""
    if form == "keras":
        return load(path)
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"pictures": images})[0]
    import tensorflow as tf

    if form == "savedmodel":
        loaded = tf.saved_model.load(str(path))  # which has to live as long as its function
        return lambda images: loaded.serve(images)
    runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
    return lambda images: next(iter(runner(pictures=images).values()))
