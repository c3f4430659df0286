"""Runs on streamed photographs: they learn, they go on to the same bits, and a bad picture costs nothing."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from resnet_keras.data import load
from resnet_keras.data.photos import draw_crops
from resnet_keras.errors import UserError
from resnet_keras.store import Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.run import Run
from resnet_keras.training.trainer import Trainer, train
from tests.faults.conftest import length, torture
from tests.faults.results import assert_same


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """32 photographs of various sizes to train on in 4 classes, that are told apart by nothing, and 8 to test on."""
    folder, random = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        for label in range(4):
            (folder / split / f"class{label}").mkdir(parents=True)
            for i in range(count):
                coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
                size = [int(side) for side in random.integers(90, 200, 2)]
                coarse.resize(size, Image.Resampling.BICUBIC).save(folder / split / f"class{label}" / f"{i}.jpg")
    return folder


@torture("trains ResNet-18 for a minute")
def test_a_network_of_table_1_learns_32_photographs_by_heart(folder, tmp_path):
    """Labels, pictures and network fit together: nothing but memory can lead to an error of zero."""
    recipe = Recipe(
        iterations=24, batch_size=32, crop=32, augment=False, learning_rate=0.01, drops=(18,), log_interval=6,
        test_interval=24, checkpoint_interval=24, steps_per_call=1,
    )  # fmt: skip
    history = train(Run("resnet18", str(folder), recipe), store=Store(tmp_path)).history
    assert history.train_cross_entropy.iloc[0] > 0.3
    assert history.train_cross_entropy.iloc[-1] < 0.02 and history.train_error.iloc[-1] == 0


@pytest.fixture(scope="module")
def unbroken(folder, tmp_path_factory):
    """(A run, its data set, its folder once it is trained)."""
    recipe = Recipe(
        iterations=8, batch_size=8, bn_batch=4, crop=32, drops=(6,), log_interval=2, test_interval=4,
        checkpoint_interval=3, steps_per_call=1,
    )  # fmt: skip
    run, dataset = Run("resnet8", str(folder), recipe), load(str(folder), crop=32)
    return run, dataset, train(run, store=Store(tmp_path_factory.mktemp("unbroken")), dataset=dataset).path


@contextlib.contextmanager
def broken(path):
    """A photograph that is cut short, and whole again afterwards; yields what its refusal says."""
    content = path.read_bytes()
    path.write_bytes(content[:-300])
    try:
        yield f"{path.parent.name}/{path.name} is a broken image"
    finally:
        path.write_bytes(content)


def test_a_photograph_that_breaks_stops_a_run_that_goes_on_when_it_is_put_back(unbroken, tmp_path):
    run, dataset, expected = unbroken
    drawn = [set(draw_crops(run.seed, iteration, 8, 32, 32).index.tolist()) for iteration in range(4)]
    bad = min((drawn[2] | drawn[3]) - drawn[0] - drawn[1])
    with broken(dataset.train.read(bad).source) as refusal:
        with pytest.raises(UserError, match=f"{refusal}.*saved at iteration [23]: with the file as it was"):
            train(run, store=Store(tmp_path / "broken"), dataset=dataset)
        assert list((tmp_path / "broken" / "runs").glob("*/checkpoint-0000000[23].safetensors"))
        with pytest.raises(UserError, match=refusal):  # begun anew it is noticed before anything is trained
            train(run, store=Store(tmp_path / "elsewhere"))
    assert not list((tmp_path / "elsewhere").rglob("*.safetensors"))
    assert_same(train(run, store=Store(tmp_path / "broken")).path, expected)


@pytest.mark.faults
@pytest.mark.parametrize("at", length([8], [4, 8]))
def test_halted_and_with_a_bad_test_photograph_it_ends_in_the_same_bits(unbroken, tmp_path, at):
    """At a test on the way and at the last one: what was trained is saved, and the rest is made up for."""
    run, dataset, expected = unbroken
    folder = Store(tmp_path).run(run.name(dataset.identity))
    halted = Trainer(run, folder, dataset, "halted")
    folder.begin(run.config(dataset.identity))
    halted.advance(at - 1)
    halted.feed.close()
    with broken(dataset.test.read(3).source) as refusal, pytest.raises(UserError, match=refusal):
        train(run, store=Store(tmp_path), dataset=dataset)
    assert list(folder.path.glob(f"checkpoint-0000000{at}.safetensors"))
    assert_same(train(run, store=Store(tmp_path), dataset=dataset).path, expected)
