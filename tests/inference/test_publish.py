"""Published networks: the same weights in a smaller file, and a card that says what they are."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras import cli, paths  # noqa: E402
from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.evaluation.predict import find  # noqa: E402
from resnet_keras.inference.publish import publish, short_name  # noqa: E402
from resnet_keras.store import Store  # noqa: E402


@pytest.fixture(scope="module")
def published(trained_store, run_name):
    return publish(trained_store, run_name)


def test_the_weights_are_the_runs_in_a_smaller_file(published, trained_store, run_name):
    run = trained_store.run(run_name)
    pairs = zip(published.load_network().variables, run.load_network().variables, strict=True)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
    assert published.network_file.stat().st_size < run.network_file.stat().st_size


def test_it_is_found_by_its_short_name(published, trained_store):
    assert published.name == "resnet8-tiny"
    assert trained_store.models()[0].name == "resnet8-tiny"
    assert find("resnet8-tiny", store=trained_store).classes == ("a", "b", "c", "d")
    assert [folder.name for folder in trained_store.runs()] != ["resnet8-tiny"]  # and is no run


def test_those_of_the_checkout_serve_every_results_folder(published, trained_store, tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "results").symlink_to(trained_store.root, target_is_directory=True)
    monkeypatch.setattr("resnet_keras.store.checkout", lambda: root)
    assert Store(tmp_path / "elsewhere").find("resnet8-tiny").classes == ("a", "b", "c", "d")


def test_the_card_says_what_it_is(published, run_name, trained_store):
    summary = trained_store.run(run_name).summary
    text = (published.path / "README.md").read_text()
    for fact in (
        f"{summary['parameters']:,}",
        f"{summary['test_error']:.2f} %",
        "tiny, version 1",
        "a, b, c, d",
        "bfloat16",
        run_name,
        "MIT",
    ):
        assert fact in text
    assert "custom: 8 iterations of batch 32" in text and "above the paper's" in text


def test_short_names_tell_networks_apart():
    config = {"network": "resnet56", "shortcut": "A", "data": "cifar10", "recipe": {}}
    assert short_name(config) == "resnet56-cifar10"
    assert short_name({**config, "shortcut": "B"}) == "resnet56-B-cifar10"
    assert short_name({**config, "recipe": {"batch_norm": False}}) == "resnet56-nobn-cifar10"


def test_what_cannot_be_published(published, trained_store, run_name, tmp_path):
    with pytest.raises(UserError, match="--force"):
        publish(trained_store, run_name)
    with pytest.raises(UserError, match="no run"):
        publish(trained_store, "gone")
    other = Store(tmp_path)
    folder = other.run(run_name)
    folder.begin(trained_store.run(run_name).config)
    with pytest.raises(UserError, match="interrupted"):
        publish(other, run_name)
    assert not (tmp_path / "models").exists()


def test_the_commands_know_it(published, trained_store, run_name, capsys):
    for arguments, says in (
        (["list"], "resnet8-tiny"),
        (["publish", run_name, "--name", "mine"], "models/mine"),
        (["export", "resnet8-tiny", "--format", "keras", "--output", str(trained_store.root / "x.keras")], "x.keras"),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main([*arguments, "--results", str(trained_store.root)])
        out, err = capsys.readouterr()
        assert end.value.code == 0 and says in out and not err


MODELS = sorted((paths.checkout() or paths.PACKAGE).glob("results/models/*/config.json"))


@pytest.mark.skipif(not MODELS, reason="no network is published")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_each_published_network_loads_and_is_what_its_card_says(path, tmp_path):
    found = find(path.parent.name, store=Store(tmp_path))
    assert found.folder.path == path.parent and found.network.name == found.folder.config["network"]
    drawn = np.random.default_rng(0).integers(0, 256, (2, *found.input_shape), dtype=np.uint8)
    assert np.isfinite(keras.ops.convert_to_numpy(found.network(drawn))).all()
    assert len(found.classes) == 10 and not found.classes[0].startswith("class ")
    assert f"{found.folder.summary['test_error']:.2f} %" in (path.parent / "README.md").read_text()
