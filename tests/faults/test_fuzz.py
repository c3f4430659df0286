"""Readers fed what hypothesis makes of whole and of broken files give a value or a `UserError`."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from resnet_keras.errors import UserError
from resnet_keras.report.runs import frame
from resnet_keras.store import RunFolder, Store
from resnet_keras.training.recipe import Recipe
from resnet_keras.training.schedule import learning_rate
from tests.faults.conftest import length

pytestmark = pytest.mark.faults

BOUNDED = settings(
    max_examples=length(60, 3000), deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
CONFIG = ["protocol", "network", "shortcut", "data", "data_version", "data_title", "seed", "scale", "recipe"]
FIELDS = st.sampled_from((*CONFIG, "status", "train_error", "test_error", "hours", "device", "commit", "classes"))
HISTORY = b"iteration,train_error,test_error\n5,80.0,\n10,70.0,75.5\n"


@st.composite
def damaged(draw, whole):
    """Bytes of a file after some have been changed, cut off or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(content[: draw(st.integers(0, len(content))) if draw(st.booleans()) else None])


def or_refused(read):
    """The value, or None for a `UserError` of one line; anything else comes out."""
    try:
        return read()
    except UserError as error:
        assert "\n" not in str(error)
        return None


@BOUNDED
@given(config=st.dictionaries(FIELDS, VALUES), summary=st.dictionaries(FIELDS, VALUES))
def test_any_json_for_a_run(tmp_path, config, summary):
    folder = tmp_path / "runs" / "x"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "summary.json").write_text(json.dumps(summary))
    runs = frame(Store(tmp_path))
    assert len(runs) + len(runs.attrs["problems"]) == 1


@BOUNDED
@given(content=damaged(json.dumps({"network": "plain20", "seed": 0, "recipe": {}}).encode()) | st.binary(max_size=200))
def test_any_bytes_for_a_configuration(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    found = or_refused(lambda: RunFolder(tmp_path).config)
    assert found is None or isinstance(found, dict)


@BOUNDED
@given(content=damaged(HISTORY) | st.binary(max_size=200))
def test_any_bytes_for_a_history(tmp_path, content):
    (tmp_path / "history.csv").write_bytes(content)
    history = or_refused(lambda: RunFolder(tmp_path).history)
    assert history is None or len(history.columns) > 0


@BOUNDED
@given(content=damaged(save({"a": np.ones(5, np.float32)}, {"state": "{}", "sha256": "0"})) | st.binary(max_size=200))
def test_any_bytes_for_a_checkpoint(tmp_path, content):
    (tmp_path / "checkpoint-00000010.safetensors").write_bytes(content)
    said = []
    assert RunFolder(tmp_path).load_checkpoint(warn=said.append) is None
    assert len(said) == 1 and "\n" not in said[0]


@BOUNDED
@given(values=st.dictionaries(st.sampled_from(list(vars(Recipe()))), VALUES, max_size=4))
def test_a_recipe_of_anything_stands_or_is_refused(values):
    recipe = or_refused(lambda: Recipe(**values))
    if recipe is not None:
        assert json.loads(json.dumps(recipe.deciding())) is not None


@BOUNDED
@given(
    iterations=st.integers(1, 10**6),
    rate=st.floats(1e-6, 100),
    factor=st.floats(0.01, 1),
    drops=st.lists(st.integers(1, 10**6), max_size=4).map(sorted),
    at=st.integers(0, 10**6),
)
def test_the_schedule_only_falls_and_at_the_drops_alone(iterations, rate, factor, drops, at):
    recipe = Recipe(iterations=iterations, learning_rate=rate, drop_factor=factor, drops=tuple(drops))
    now, then = learning_rate(recipe, at), learning_rate(recipe, at + 1)
    assert 0 < then <= now <= rate
    assert then == now or at + 1 in drops
    assert learning_rate(recipe, at, warming_up=True) == min(now, recipe.warmup_rate)
