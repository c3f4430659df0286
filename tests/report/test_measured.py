"""Single numbers of measurements, against sums by hand."""

import numpy as np
import pandas
import pytest

from resnet_keras.report import measured
from resnet_keras.store import MEASUREMENTS, Store

GRADIENTS = pandas.DataFrame(
    [
        # iteration, layer, gradient_norm, weight_norm
        (0, 1, 8.0, 5.0),
        (0, 2, 6.0, 5.0),
        (0, 3, 2.0, 5.0),
        (0, 4, 9.0, 1.0),  # the classifier
        (16, 1, 100.0, 5.0),
        (64, 4, 9.0, 1.0),
        (64, 3, 4.0, 2.0),
        (64, 2, 3.0, 2.0),
        (64, 1, 1.0, 40.0),
    ],
    columns=["iteration", "layer", "gradient_norm", "weight_norm"],
)
LESIONS = pandas.DataFrame(
    [("none", 10.0), ("delete", 12.0), ("delete", 90.0), ("delete", 14.0), ("swap", 11.0), ("swap", 13.0)],
    columns=["lesion", "error"],
)


@pytest.fixture
def folder(tmp_path):
    folder = Store(tmp_path).run("run")
    folder.begin({})
    folder.write_measurement("responses", [{"layer": i, "std": std} for i, std in enumerate((1.0, 2.0, 6.0))])
    folder.write_measurement("gradients", GRADIENTS.to_dict("records"))
    folder.write_measurement("lesion", LESIONS.to_dict("records"))
    errors = {"1": (30.0, 10.0), "10": (28.0, 9.0), "multiscale": (25.0, 7.0)}
    views = [{"views": mode, "top1_error": one, "top5_error": five} for mode, (one, five) in errors.items()]
    folder.write_measurement("views", views)
    return folder


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("responses.std", 3.0), ("responses.median", 2.0),
        ("gradients.start", 4.0), ("gradients.end", 0.25), ("gradients.end_scaled", 5.0),
        ("lesion.whole", 10.0), ("lesion.deleted", 14.0), ("lesion.added", 4.0), ("lesion.swapped", 12.0),
        ("views.top1_1", 30.0), ("views.top5_1", 10.0), ("views.top1_10", 28.0), ("views.top5_10", 9.0),
        ("views.top1_multiscale", 25.0), ("views.top5_multiscale", 7.0),
    ],
)  # fmt: skip
def test_numbers(folder, name, value):
    assert measured.number(folder, name) == pytest.approx(value)


def test_every_measurement_has_numbers_and_every_number_a_test_above():
    assert set(measured.NUMBERS) == set(MEASUREMENTS)


@pytest.mark.parametrize("name", ["responses.none", "nothing.std", "responses."])
def test_a_number_that_does_not_exist_is_none(folder, name):
    assert measured.number(folder, name) is None


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "std\nhigh\n", "std\n", "std\ninf\n"])
def test_a_file_of_another_making_gives_none(folder, content):
    (folder.path / "responses.csv").write_text(content)
    assert measured.number(folder, "responses.std") is None


def test_what_has_not_been_measured_is_none(tmp_path):
    assert measured.number(Store(tmp_path).run("other"), "lesion.added") is None


def test_a_dead_network_has_no_spread_of_gradients(recwarn):
    """All norms are zero: there is no ratio to tell, and nothing to warn of in the middle of a notebook."""
    table = pandas.DataFrame({"iteration": [8, 8, 8], "layer": [1, 2, 3], "gradient_norm": 0.0, "weight_norm": 1.0})
    assert np.isnan(measured.spread_of_gradient("max")(table))
    assert not recwarn.list
