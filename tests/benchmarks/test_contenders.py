"""The contenders are one network; each benchmark runs at its smallest."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks import __main__ as command
from benchmarks.contenders import Contender, make
from benchmarks.worker import Skipped, Worker
from tests.faults.conftest import TORTURE, length

PARAMETERS = 269_722  # of ResNet-20, trainable; option A has none
GPU = Path(command.__file__).with_name("gpu.sh")


def test_the_peers_are_the_same_network():
    from benchmarks.contenders.stock_keras import model

    bare = make("bare_tensorflow", "resnet20", "float32", 4)
    for weights in (bare.trainable, model("resnet20").trainable_variables):
        assert sum(int(np.prod(weight.shape)) for weight in weights) == PARAMETERS


def test_the_independent_network_is_the_papers_and_its_batches_repeat():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks import independent

    net = independent.network(20)
    assert sum(weight.numel() for weight in net.parameters()) == PARAMETERS
    images = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).float()
    assert torch.equal(independent.augmented(images, 0, 7), independent.augmented(images, 0, 7))
    epoch = torch.cat([independent.batch_places(1280, 0, iteration) for iteration in range(10)])
    assert sorted(epoch.tolist()) == list(range(1280))


def test_stock_fit_stands_still_between_turns():
    """A fit that ran on in the background would take the processor from the contender whose turn it is."""
    stock = make("stock_keras", "resnet8", "float32", 4)
    for steps, total in ((1, 1), (2, 3)):
        assert stock.take(steps) > 0
        time.sleep(0.3)
        assert int(stock.model.optimizer.iterations) == total


def test_a_contender_that_cannot_run_says_why():
    with pytest.raises(Skipped, match=r"No module named 'benchmarks\.contenders\.abacus'"):
        Worker(Contender("abacus", "float32", "abacus", {}, {}), "resnet8", 4)


@pytest.mark.slow
@pytest.mark.faults
def test_each_benchmark_runs_at_its_smallest_and_writes_nothing(capsys, tmp_path):
    names = length(["evaluation", "imagenet_data"], [])  # the others start a dozen processes
    command.main([*names, "--smoke", "--output", str(tmp_path / "out")])
    out = capsys.readouterr().out
    slow = ("Keras fit", "tf.function", "PyTorch compiled", "first_step")
    names = ("resnet_keras", "Keras evaluate", "tf.data", *length((), slow))
    assert all(name in out for name in names) and not list(tmp_path.iterdir())


@pytest.mark.faults
@pytest.mark.skipif(not TORTURE, reason="a minute of compiling; `make torture` runs it")
def test_the_gpu_script_runs_at_its_smallest_on_this_machine(tmp_path):
    pytest.importorskip("jax", reason="the extra `jax` is not installed")
    variables = {**os.environ, "PYTHON": sys.executable, "WORK": str(tmp_path)}
    run = [GPU, "--smoke", "--torch-python", "/bin/false"]
    asked = subprocess.run(run, env=variables, capture_output=True, text=True, timeout=560)
    assert asked.returncode == 0 and "jax=" in asked.stdout, asked.stderr[-2000:]
