"""The cost model against the paper's numbers, the layers themselves, and a scheduler's bounds."""

import re
from pathlib import Path

import pytest

from resnet_keras.experiments import cost, program
from resnet_keras.store import Store

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("network", "shortcut", "billions", "trainable"),
    [
        ("resnet18", "A", 1.795, 11_515_688), ("resnet18", "B", 1.814, 11_689_512),
        ("resnet34", "A", 3.644, 21_623_848), ("resnet34", "B", 3.664, 21_797_672),
        ("resnet34", "C", 3.831, 22_716_840), ("resnet50", "B", 3.858, 25_557_032),
        ("resnet101", "B", 7.570, 44_549_160), ("resnet152", "B", 11.282, 60_192_808),
        ("resnet110", "C", None, 1_826_202), ("resnet1202", "A", 2.829, 19_421_274),
    ],
)  # fmt: skip
def test_the_arithmetic_is_that_of_the_papers_tables(network, shortcut, billions, trainable):
    if billions:
        assert cost.multiply_adds(network, shortcut) / 1e9 == pytest.approx(billions, abs=6e-4)
    counted = sum(conv.parameters for conv in cost.convolutions(network, shortcut)) + cost.classifier(network)
    classes = 1000 if cost.architecture(network).family == "imagenet" else 10
    assert counted + classes == trainable  # the classifier's biases


def test_memory_grows_with_the_batch_and_halves_with_the_precision():
    weights = cost.memory_gb("resnet50", 0, "float32")
    assert weights == pytest.approx(25.56e6 * 3 * 4 / 2**30, rel=1e-3)
    one, two = (cost.memory_gb("resnet50", n, "float32") - weights for n in (32, 64))
    assert two == pytest.approx(2 * one)
    assert cost.memory_gb("resnet50", 64, "bfloat16") - weights == pytest.approx(one)


def test_the_program_is_the_papers():
    found = program.items(program.ASSUMED_GPU)
    cifar, imagenet = ([item for item in found if item.family == family] for family in ("cifar", "imagenet"))
    assert {item.seeds for item in cifar} == {5} and len(cifar) == 10
    assert {item.run.recipe.iterations * item.run.recipe.batch_size for item in imagenet} == {600_000 * 256}
    hours = next(item.seconds for item in imagenet if item.run.network == "resnet50") / 3600
    assert hours == pytest.approx(600_000 * 256 / 2000 / 3600, rel=0.05)


def test_more_gpus_are_never_slower_and_never_better_than_their_number():
    found = program.items(program.ASSUMED_GPU)
    work = sum(item.seconds * item.seeds for item in found)
    spans = {gpus: program.span(found, gpus) for gpus in (1, 2, 8, 64, 512)}
    assert spans[1] == pytest.approx(work)
    assert all(work / gpus <= spans[gpus] * 1.0001 for gpus in spans)
    assert list(spans.values()) == sorted(spans.values(), reverse=True)
    assert spans[512] >= max(item.seconds for item in found if item.family == "cifar") * 0.999


def test_a_measured_speed_replaces_the_assumed_one_and_a_cpus_does_not(tmp_path):
    store = Store(tmp_path)
    for device, speed in (("GPU X", 100.0), ("2 x Y (CPU)", 9e9), ("8 x GPU X", 9e9)):
        folder = store.run(f"cifar10-resnet56-s0-{len(device):08d}")
        folder.begin({"network": "resnet56", "shortcut": "A", "recipe": {"precision": "bfloat16"}})
        folder.write_summary({"status": "interrupted", "device": device, "images_per_second": speed})
    speeds = program.gpu_speeds(store)
    assert speeds["cifar"] == (pytest.approx(100 * 125.49e6, rel=1e-3), "measured on GPU X")
    assert speeds["imagenet"] == (program.ASSUMED_GPU["imagenet"], "assumed")


def test_the_tables_of_the_docs_are_the_commands(tmp_path):
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- resnet-keras cost -->\n(.*?)\n<!-- end -->", page, re.DOTALL)[1]
    assert block.strip() == program.text(Store(tmp_path)), "put in what `resnet-keras cost --results empty/` prints"
