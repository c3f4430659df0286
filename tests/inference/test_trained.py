"""Networks by name: a run's, a published one, and weights from elsewhere; and every way not to find one."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras import build  # noqa: E402
from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.inference.trained import find  # noqa: E402
from resnet_keras.models import weights  # noqa: E402
from resnet_keras.store import Store  # noqa: E402


def test_the_names_of_the_classes_travel_with_a_run(trained_store, run_name):
    found = find(run_name, store=trained_store)
    assert found.classes == ("a", "b", "c", "d")
    assert (found.network.name, found.family, found.input_shape) == ("resnet8", "cifar", (8, 8, 3))


def test_a_users_names_come_first(trained_store, run_name, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\n\ncat\ndog\n")
    assert find(run_name, classes=tmp_path / "names.txt", store=trained_store).classes == ("ant", "bee", "cat", "dog")
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    with pytest.raises(UserError, match=r"names.txt names 2 classes, resnet8 has 4"):
        find(run_name, classes=tmp_path / "names.txt", store=trained_store)


def test_an_older_run_has_numbers_for_names(trained_store, run_name, tmp_path):
    import json
    import shutil

    old = tmp_path / "runs" / run_name
    shutil.copytree(trained_store.run(run_name).path, old)
    config = json.loads((old / "config.json").read_text())
    del config["classes"]
    (old / "config.json").write_text(json.dumps(config))
    assert find(run_name, store=Store(tmp_path)).classes == ("class 0", "class 1", "class 2", "class 3")


@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
def test_a_catalogue_name_with_weights(tmp_path, ending):
    network = build("resnet18", classes=3, shortcut="B", pool_padding="both", input_shape=(64, 64, 3))
    network.set_mean(np.float32([123.675, 116.28, 103.53]))
    path = tmp_path / f"w{ending}"
    network.save(path) if ending == ".keras" else weights.save(network, path, "torchvision")
    found = find("resnet18", path, store=Store(tmp_path))
    pictures = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    wanted, logits = (keras.ops.convert_to_numpy(net(pictures)) for net in (network, found.network))
    np.testing.assert_allclose(logits, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    assert found.classes == ("class 0", "class 1", "class 2") and found.folder is None


@pytest.mark.parametrize(
    ("name", "says"),
    [("resnet50", "--weights FILE"), ("nothing", "resnet-keras list"), ("../up", "not a run's name")],
)
def test_what_is_not_there(trained_store, name, says):
    with pytest.raises(UserError, match=says):
        find(name, store=trained_store)


def test_a_near_name_is_told(trained_store, run_name):
    with pytest.raises(UserError, match=f"did you mean {run_name}"):
        find(run_name[:-1], store=trained_store)


def test_weights_that_do_not_fit(trained_store, run_name, tmp_path):
    file = trained_store.run(run_name).network_file
    with pytest.raises(UserError, match="holds resnet8, not resnet14"):
        find("resnet14", file, store=trained_store)
    with pytest.raises(UserError, match="no file"):
        find("resnet50", tmp_path / "gone.safetensors", store=trained_store)
    with pytest.raises(UserError, match="unknown network"):
        find(run_name, file, store=trained_store)
    (tmp_path / "torn.keras").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"torn\.keras cannot be read"):
        find("resnet8", tmp_path / "torn.keras", store=trained_store)


def test_a_run_without_its_network(trained_store, run_name, tmp_path):
    folder = Store(tmp_path).run(run_name)
    folder.begin(trained_store.run(run_name).config)
    with pytest.raises(UserError, match=r"no network\.keras"):
        find(run_name, store=Store(tmp_path))
