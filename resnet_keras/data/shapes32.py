"""placeholder"""

import numpy as np
from resnet_keras.data.dataset import Split

VERSION = "0"
CLASSES = tuple("abcdefghij")


def draw(split):
    n = {"train": 10000, "test": 2000}[split]
    x = np.random.Philox(key=[1, n]).random_raw(n * 384).view(np.uint8).reshape(n, 32, 32, 3)
    return Split(x, (np.arange(n) % 10).astype(np.int32))
