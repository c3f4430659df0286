"""Makes saved networks load wherever the package was imported, though importing it brings in no Keras.

Keras finds a custom class in a `.keras` file only if the class is registered, which happens when its module is
imported. So that ``import resnet_keras; keras.saving.load_model(path)`` works in a fresh process, the modules of the
networks are imported right after Keras itself is, by whomever.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys

PACKAGE = __name__.partition(".")[0]
MODULES = (f"{PACKAGE}.models.resnet", f"{PACKAGE}.models.vgg")


def register() -> None:
    """Register every network class now, by importing its module."""
    for module in MODULES:
        importlib.import_module(module)


def register_with_keras() -> None:
    """Register every network class now if Keras is loaded, else as soon as it is."""
    if "keras" in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Watches the imports of Keras and of this package; when Keras is in and nothing is half imported, registers.

    Waiting for the package's own modules matters: one of them may be what imports Keras, and must be whole before the
    networks can import it.
    """

    def __init__(self):
        self.under_way = 0

    def find_spec(self, name, path=None, target=None):
        if name != "keras" and not name.startswith(f"{PACKAGE}."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._watched(spec.loader.exec_module)
        return spec

    def _watched(self, run):
        def exec_module(module):
            self.under_way += 1
            try:
                run(module)
            finally:
                self.under_way -= 1
            if not self.under_way and "keras" in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                register()

        return exec_module
