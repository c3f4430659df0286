"""What the networks are. Knows nothing of data, training or results."""

from resnet_keras.models.catalogue import build, names

__all__ = ["build", "names"]
