"""The `evaluate` verb on sets in memory and on photographs, and what it refuses."""

import io

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras")

from resnet_keras import build, cli  # noqa: E402
from resnet_keras import data as datasets  # noqa: E402
from resnet_keras.errors import UserError  # noqa: E402
from resnet_keras.inference import evaluate as module  # noqa: E402
from resnet_keras.inference.evaluate import evaluate  # noqa: E402
from resnet_keras.inference.trained import find  # noqa: E402


@pytest.fixture
def trained(trained_store, run_name, tiny, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda name, data_dir, crop: tiny)
    return find(run_name, store=trained_store)


def values(network):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in network.variables]


def test_a_run_is_tested_on_its_own_data(trained, trained_store, run_name):
    seen = []
    counted, title = evaluate(trained, progress=lambda so_far, total: seen.append((so_far.pictures, total)))
    summary = trained_store.run(run_name).summary
    assert title == "tiny" and seen == [(90, 90)]
    assert counted.error() == pytest.approx(summary["test_error"], abs=1e-3)
    assert counted.cross_entropy == pytest.approx(summary["test_cross_entropy"], rel=1e-3)


def test_precise_bn_changes_statistics_alone_and_nothing_on_disk(trained, trained_store, run_name):
    file = trained_store.run(run_name).network_file
    before, content = values(trained.network), file.read_bytes()
    plain, _ = evaluate(trained)
    precise, _ = evaluate(trained, precise=3)
    changed = [
        variable.path.rsplit("/", 1)[1]
        for variable, old, new in zip(trained.network.variables, before, values(trained.network), strict=True)
        if not np.array_equal(old, new)
    ]
    assert set(changed) == {"moving_mean", "moving_variance"}
    assert precise.cross_entropy != plain.cross_entropy and file.read_bytes() == content


def test_precise_bn_sees_the_runs_own_training_batches(trained, tiny):
    from resnet_keras.data.augment import apply, draw

    batches = module.training_batches(trained, tiny)
    found = [keras.ops.convert_to_numpy(next(batches)) for _ in range(2)]
    plan = draw(0, 1, 1, 32, len(tiny.train))
    wanted, _ = apply(tiny.train.images, tiny.train.labels, plan.at(0))
    assert found[0].shape == (32, 8, 8, 3) and np.array_equal(found[1], keras.ops.convert_to_numpy(wanted))


def test_photographs_are_cropped_to_the_networks_own_size(trained, tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "load", lambda name, data_dir, crop: (asked.append(crop), tiny)[1])
    evaluate(trained)
    assert asked == [8]


def test_what_does_not_fit_is_refused(trained, tiny, monkeypatch):
    with pytest.raises(UserError, match=r"Sec\. 4\.2"):
        evaluate(trained, mode="10")
    other = datasets.Dataset(tiny.identity, (*tiny.classes, "e"), tiny.train, tiny.test)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir, crop: other)
    with pytest.raises(UserError, match="4 classes apart, tiny has 5"):
        evaluate(trained, "tiny")
    small = datasets.Split(tiny.test.images[:, :4, :4], tiny.test.labels)
    other = datasets.Dataset(tiny.identity, tiny.classes, small, small)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir, crop: other)
    with pytest.raises(UserError, match="takes pictures of 8x8, those of tiny are 4x4"):
        evaluate(trained, "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("views", ["1", "10", "multiscale"])
def test_weights_from_elsewhere_on_a_folder_of_photographs(views, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RESNET_KERAS_DATA", str(tmp_path / "data"))
    from resnet_keras.data import views as geometry
    from resnet_keras.evaluation import views as ways

    shrunk = ways.MODES["multiscale"]._replace(prepare=lambda picture: geometry.scales(picture, (224, 256)))
    monkeypatch.setitem(ways.MODES, "multiscale", shrunk)
    network = build("resnet18", classes=2)
    network.save(tmp_path / "weights.keras")
    draw = np.random.default_rng(0)
    for split, name in ((split, name) for split in ("train", "val") for name in ("cat", "dog")):
        folder = tmp_path / "pets" / split / name
        folder.mkdir(parents=True)
        file = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (150 if name == "cat" else 170, 200, 3), dtype=np.uint8)).save(
            file, "PNG"
        )
        (folder / "1.png").write_bytes(file.getvalue())
    command = ["evaluate", "resnet18", "--weights", str(tmp_path / "weights.keras"), "--data", str(tmp_path / "pets")]
    options = ["--precise-bn", "1"] if views == "1" else []
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--views", views, *options])
    out, _ = capsys.readouterr()
    assert end.value.code == 0 and f"2 test images, views {views}" in out and "error" in out
