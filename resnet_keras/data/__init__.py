"""Where images come from: `load("cifar10")` gives splits, `augment` batches of them. Loads NumPy and Pillow alone."""

from resnet_keras.data.datasets import Dataset, Identity, Split, identify, load

__all__ = ["Dataset", "Identity", "Split", "identify", "load"]
