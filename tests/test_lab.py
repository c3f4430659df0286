"""What notebooks call: figure, table and finding, read from the results folder and written nowhere."""

import pytest

from resnet_keras import lab
from resnet_keras.errors import UserError
from resnet_keras.store import Store
from tests.report.synthetic import PAIRS, write_run


@pytest.fixture
def store(tmp_path):
    for network, end in PAIRS.items():
        write_run(tmp_path, network, data="cifar10_jpeg", end=(end, end + 1))
    return Store(tmp_path)


def test_an_experiment_is_shown_and_nothing_is_written(store, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    before = sorted(store.root.rglob("*"))
    degradation = lab.Experiment("degradation", store=store)
    assert "ResNet-32, ResNet-44. To run: resnet-keras run degradation" in capsys.readouterr().out
    degradation.figure()
    assert "| plain-56 | 1 | 70.00 | 71.00 | ≈ 13.5 |" in degradation.table().data
    assert degradation.finding().data.startswith("Plain-56 has a higher training error than plain-20")
    (image,) = shown
    assert image.alt == "More layers harm a plain network far more than a residual one" and image.data[:4] == b"\x89PNG"
    assert sorted(store.root.rglob("*")) == before


def test_what_has_not_run_says_how_to_run_it_and_stands_beside_other_peoples_numbers(store, capsys):
    responses = lab.Experiment("responses", store=store)
    responses.figure()
    assert "resnet-keras run responses --scale short" in capsys.readouterr().out
    assert responses.finding().data == "No run has finished."
    with pytest.raises(UserError, match="did you mean lesion"):
        lab.Experiment("lesoin", store=store)
    assert "| 6.97 |" in lab.reproductions("resnet20", "resnet56").data
    assert "| ResNet-34 | 25.03 | not run |" in lab.imagenet_table("Table 2", store).data
