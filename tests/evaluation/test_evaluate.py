"""Errors against counts by hand; tests on sets in memory and on photographs; classes by name; the data of a run."""

import dataclasses
import itertools
import types

import numpy as np
import pytest

from resnet_keras import build
from resnet_keras import data as datasets
from resnet_keras.data import views as geometry
from resnet_keras.data.photos import MEAN
from resnet_keras.errors import UserError
from resnet_keras.evaluation.accuracy import Tally, evaluate, softmax, top_error
from resnet_keras.evaluation.predict import Trained, find, image_files, predict
from tests.data.conftest import noise, write
from tests.test_cli import call


def test_top_error_is_a_percentage_and_softmax_does_not_overflow():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [0.0, 1.0, 5.0], [2.0, 1.0, 0.0]], np.float32)
    for labels, k, error in (([0, 1, 2, 0], 1, 0), ([1, 2, 1, 1], 1, 100), ([1, 2, 1, 1], 2, 0), ([2, 0, 0, 0], 2, 75)):
        assert top_error(scores, np.array(labels), k) == error
    exact = [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0.0]
    np.testing.assert_allclose(softmax(np.array([[1000.0, 999.0, 0.0]], np.float32)), [exact])


def test_a_tally_of_batches_is_that_of_all_at_once():
    draw = np.random.default_rng(0)
    scores, labels = draw.normal(size=(103, 9)).astype(np.float32), draw.integers(0, 9, 103)
    tally = Tally()
    for start in range(0, 103, 10):
        tally.add(softmax(scores[start : start + 10]), labels[start : start + 10])
    assert tally.images == 103 and tally.error(1) == pytest.approx(top_error(scores, labels))
    assert tally.error(5) == pytest.approx(top_error(scores, labels, 5))
    right = np.exp(scores.astype(float))[np.arange(103), labels] / np.exp(scores.astype(float)).sum(1)
    assert tally.entropy == pytest.approx(-np.log(right).sum())
    assert str(tally).startswith("top-1 error ") and ", top-5 error " in str(tally)

    five = Tally()  # a class of probability 0 costs much, but not everything
    five.add(np.array([[1.0, 0.0, 0.0, 0.0, 0.0]]), np.array([1]))
    assert five.error(5) is None and str(five).startswith("top-1 error ") and 100 < five.entropy < 1000


@pytest.fixture
def trained(trained_store, run_name):
    return find(run_name, store=trained_store)


@pytest.fixture
def loaded(monkeypatch, tiny):
    """What `data.load` gives or raises, which the test may change, and what it was asked for."""
    box = types.SimpleNamespace(dataset=tiny, asked=[])

    def load(name, data_dir, crop):
        box.asked.append((name, crop))
        if isinstance(box.dataset, UserError):
            raise box.dataset
        return box.dataset

    monkeypatch.setattr(datasets, "load", load)
    return box


def test_a_run_is_tested_on_its_own_data(trained, trained_store, run_name, loaded):
    counted, title = evaluate(trained)
    summary = trained_store.run(run_name).summary
    assert title == "tiny" and counted.images == 90 and loaded.asked == [("tiny", 8)]
    assert counted.error() == pytest.approx(summary["test_error"], abs=1e-3)
    assert counted.entropy / 90 == pytest.approx(summary["test_cross_entropy"], rel=1e-3)


def test_classes_are_matched_by_name_unless_taken_by_their_order(trained, tiny, loaded):
    error = evaluate(trained)[0].error()
    swapped = datasets.Split(tiny.test.images, np.array([1, 0, 3, 2], np.int32)[tiny.test.labels])
    other = dataclasses.replace(tiny, identity=dataclasses.replace(tiny.identity, name="other"))
    loaded.dataset = dataclasses.replace(other, classes=tuple("badc"), test=swapped)
    assert evaluate(trained, "other")[0].error() == error
    loaded.dataset = dataclasses.replace(other, classes=("a", "bee", "cow", "d"))
    with pytest.raises(UserError, match=r"does not know \(bee, cow\).*lacks others \(b, c\).*--classes-as-they-are"):
        evaluate(trained, "other")
    assert evaluate(trained, "other", by_order=True)[0].error() == error
    older = dataclasses.replace(trained, classes=("class 0", "class 1", "class 2", "class 3"))  # kept no names
    loaded.dataset = tiny
    assert evaluate(older)[0].error() == error
    loaded.dataset = dataclasses.replace(tiny, classes=(*tiny.classes, "e"))
    with pytest.raises(UserError, match="has 4 classes, tiny has 5"):
        evaluate(trained, "tiny")


def test_the_runs_data_are_looked_for_where_they_were(trained, tiny, loaded):
    trained = dataclasses.replace(trained, config={**trained.config, "source": "/pets/tiny"})
    evaluate(trained)
    assert loaded.asked == [("/pets/tiny", 8)]
    loaded.dataset = dataclasses.replace(tiny, identity=dataclasses.replace(tiny.identity, version="2"))
    with pytest.raises(UserError, match=r"/pets/tiny is not what .* version 1, and this is version 2; say with --data"):
        evaluate(trained)
    assert evaluate(trained, "/pets/tiny")  # asked for by name
    loaded.dataset = UserError("there is no folder /pets/tiny")
    with pytest.raises(UserError, match=r"data of tiny-resnet8.*cannot be read now: say with --data.*no folder"):
        evaluate(trained)
    with pytest.raises(UserError, match="not trained here: say with --data"):
        evaluate(dataclasses.replace(trained, config={}))


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A folder of photographs of two sizes: noise, so that a network's answer hangs on what exactly it is shown."""
    monkeypatch.setenv("RESNET_KERAS_DATA", str(tmp_path / "data"))
    heights, splits = {"cat": 150, "dog": 170}, itertools.product(range(6), ("train", "test"))
    images = {f"{split}/{k}/{i}.png": noise(i, h, 200) for i, split in splits for k, h in heights.items()}
    return write(tmp_path / "pets", images)


@pytest.mark.parametrize("mean", [MEAN, [120.0, 120.0, 120.0]], ids=["crops", "as they are"])
def test_predict_and_evaluate_show_the_network_the_same(pets, mean):
    network = build("resnet8", classes=2, input_shape=(32, 32, 3))
    network.set_mean(mean)
    trained = Trained("resnet8", network, ("cat", "dog"))
    predictions = list(predict(trained, image_files([pets / "test" / "cat", pets / "test" / "dog"]), top=2))
    right = [{name: share for _, name, share in each.top}[each.picture.split("/")[-2]] for each in predictions]
    counted, _ = evaluate(trained, str(pets))
    assert counted.images == 12
    assert counted.entropy == pytest.approx(-np.log(right).sum(), rel=1e-5)


def test_the_command_tests_weights_from_elsewhere_in_every_way(pets, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(geometry, "SIDES", (224, 256))
    build("resnet18", classes=2).save(tmp_path / "weights.keras")
    command = ["evaluate", "resnet18", "--weights", str(tmp_path / "weights.keras"), "--data", str(pets)]
    code, _, err = call(capsys, *command)
    assert code == 2 and "--classes-as-they-are" in err
    for views, *options in (("1", "--precise-bn", "1"), ("10",), ("multiscale",)):
        code, out, _ = call(capsys, *command, "--classes-as-they-are", "--views", views, *options)
        assert code == 0 and f"12 test images, views {views}" in out and "error" in out
