"""Deep Residual Learning for Image Recognition, reproduced in Keras.

    import resnet_keras
    network = resnet_keras.build("resnet56", shortcut="A")

Importing the package loads neither Keras nor a backend; what needs them imports them when called.
"""

from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import build, names
from resnet_keras.models.complexity import complexity
from resnet_keras.models.pretrained import load

__version__ = "0.2.0"
__all__ = ["UserError", "build", "complexity", "load", "names"]
