"""Initial weights: He's distribution, a function of seed and place, the same on every backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet_keras import build
from resnet_keras.models.initialization import he_normal
from tests.models.reference import array

ROOT = Path(__file__).parents[2]
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


@pytest.mark.parametrize("shape", [(3, 3, 64, 64), (1, 1, 256, 128), (2048, 50)])
def test_variance_is_two_over_fan_in(shape):
    draws = he_normal(shape, 0, "conv1/kernel")
    assert draws.dtype == "float32"
    fan_in = np.prod(shape[:-1])
    assert abs(draws.mean()) < 5 * np.sqrt(2 / fan_in / draws.size)
    np.testing.assert_allclose(draws.var(), 2 / fan_in, rtol=0.05)
    assert abs(draws).max() > 3 * draws.std()  # a plain Gaussian, not the truncated one of Keras' he_normal


def test_weights_depend_on_seed_and_place_alone():
    first = he_normal((3, 3, 4, 4), 0, "a/kernel")
    np.testing.assert_array_equal(first, he_normal((3, 3, 4, 4), 0, "a/kernel"))
    assert not np.array_equal(first, he_normal((3, 3, 4, 4), 1, "a/kernel"))
    assert not np.array_equal(first, he_normal((3, 3, 4, 4), 0, "b/kernel"))


def test_plain_and_residual_twins_start_alike():
    plain, residual = build("plain20", seed=5), build("resnet20", seed=5)
    for mine, other in zip(plain.weights, residual.weights, strict=True):
        assert mine.path.split("/", 1)[1] == other.path.split("/", 1)[1]
        np.testing.assert_array_equal(array(mine), array(other))


def test_other_constants():
    for variable in build("resnet8", shortcut="B").weights:
        kind = variable.path.rsplit("/", 1)[-1]
        if kind != "kernel":
            expected = 1 if kind in ("gamma", "moving_variance") else 0  # trap 8: the last gamma is 1 too
            assert (array(variable) == expected).all(), variable.path


ON_JAX = """
import json, sys
import numpy as np
import keras
import resnet_keras
assert keras.config.backend() == "jax" and "tensorflow" not in sys.modules
pictures = np.load(sys.argv[1])["pictures"]
found = {}
for name, options in json.loads(sys.argv[2]):
    net = resnet_keras.build(name, **options)
    found[name] = np.asarray(net(pictures))
    found |= {f"{name}:{v.path}": np.asarray(v.value) for v in net.weights}
np.savez(sys.argv[3], **found)
"""


def test_jax_starts_from_the_same_weights_and_makes_the_same_logits(tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed")
    networks = [
        ("resnet20", {"input_shape": [64, 64, 3], "seed": 7}),
        ("resnet50", {"input_shape": [64, 64, 3], "classes": 9}),
        ("vgg16", {"include_top": False, "pooling": "avg"}),
    ]
    np.savez(tmp_path / "in.npz", pictures=PICTURES)
    arguments = [str(tmp_path / "in.npz"), json.dumps(networks), str(tmp_path / "out.npz")]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", ON_JAX, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    found = np.load(tmp_path / "out.npz")
    for name, options in networks:
        net = build(name, **options)
        for variable in net.weights:
            np.testing.assert_array_equal(array(variable), found[f"{name}:{variable.path}"])
        logits = array(net(PICTURES))
        np.testing.assert_allclose(logits, found[name], rtol=1e-4, atol=1e-4 * np.abs(logits).max())
