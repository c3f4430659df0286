"""Import Keras without TensorFlow's start-up chatter, which no setting turns off."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile

from resnet_keras.errors import UserError


def load_keras() -> None:
    """Import Keras and its backend; what they print on the way is shown only if the import fails.

    Raises:
        UserError: $KERAS_BACKEND names no backend of Keras.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_back():
        try:
            importlib.import_module("keras")
        except ValueError as error:  # what Keras raises for a backend that it does not know
            given = os.environ.get("KERAS_BACKEND")
            raise UserError(f"Keras does not start with KERAS_BACKEND={given!r}: use tensorflow or jax.") from error
        if sys.modules["keras"].config.backend() == "tensorflow":
            # The chatter comes with the first touch of the devices, not with the import alone.
            importlib.import_module("tensorflow").config.list_physical_devices()


@contextlib.contextmanager
def held_back():
    """Send what C++ writes to standard error into a file for a while."""
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        former = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(former, kept.read())
            raise
        finally:
            os.dup2(former, 2)
            os.close(former)
