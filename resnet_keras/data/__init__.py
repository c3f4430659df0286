"""Where images come from: `load("cifar10")` gives train and test splits, `augment` makes batches of them.

Importing this loads NumPy and Pillow alone.
"""

from resnet_keras.data.datasets import Dataset, Identity, Split, identify, load

__all__ = ["Dataset", "Identity", "Split", "identify", "load"]
