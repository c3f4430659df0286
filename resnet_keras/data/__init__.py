"""Where pictures come from: `load("cifar10")` gives train and test splits, `augment` makes batches of them.

Importing this loads NumPy alone.
"""

from resnet_keras.data.dataset import Dataset, Identity, Split
from resnet_keras.data.sources import identify, load

__all__ = ["Dataset", "Identity", "Split", "identify", "load"]
