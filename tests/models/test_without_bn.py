"""Networks without BN: the same kernels under the same names, and nothing else."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras import build  # noqa: E402


def places(network):
    return [variable.path.split("/", 1)[1] for variable in network.trainable_variables]


@pytest.mark.parametrize(("name", "shortcut"), [("plain8", "none"), ("resnet8", "A"), ("resnet8", "C")])
def test_what_is_left_are_the_kernels_and_the_same_ones(name, shortcut):
    whole, bare = (build(name, shortcut=shortcut, input_shape=(8, 8, 3), batch_norm=bn) for bn in (True, False))
    assert places(bare) == [place for place in places(whole) if "bn" not in place.split("/")[-2]]
    kernels = {
        place: np.array(variable) for place, variable in zip(places(whole), whole.trainable_variables, strict=True)
    }
    for place, variable in zip(places(bare), bare.trainable_variables, strict=True):
        assert np.array_equal(kernels[place], np.array(variable))


def test_it_trains_as_it_tests():
    network = build("resnet8", input_shape=(8, 8, 3), batch_norm=False)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    one, other = (np.array(network(pictures, training=training)) for training in (True, False))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_saved_it_comes_back_without(tmp_path):
    network = build("plain8", input_shape=(8, 8, 3), batch_norm=False)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert places(again) == places(network) and again.arguments["batch_norm"] is False


def test_vgg_is_older_than_bn():
    assert not any("bn" in place for place in places(build("vgg16", include_top=False)))
