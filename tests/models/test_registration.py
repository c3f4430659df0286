"""A saved network loads in a fresh process that has imported `resnet_keras` and nothing else of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet_keras import build
from tests.models.reference import array, randomize

ROOT = Path(__file__).parents[2]

LOAD = """
import sys
{imports}
import keras, numpy as np
network = keras.saving.load_model(sys.argv[1], safe_mode=True)
np.save(sys.argv[2], keras.ops.convert_to_numpy(network(np.load(sys.argv[3]))))
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import resnet_keras; assert 'keras' not in sys.modules",
        "import resnet_keras.models.normalization",  # one of our modules is what brings Keras in
        "import keras, resnet_keras",
    ],
    ids=["package first", "a module of ours first", "Keras first"],
)
def test_fresh_process_loads_a_network(imports, tmp_path):
    net = build("resnet8", shortcut="B", classes=4, dtype="mixed_bfloat16")
    randomize(net)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    net.save(tmp_path / "network.keras")
    np.save(tmp_path / "pictures.npy", pictures)
    paths = [str(tmp_path / name) for name in ("network.keras", "logits.npy", "pictures.npy")]
    command = [sys.executable, "-c", LOAD.format(imports=imports), *paths]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), array(net(pictures)))
