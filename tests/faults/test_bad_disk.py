"""A disk that is full, read-only, or gone in mid-run: an error, exit code 1, nothing half written, and on it goes."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.faults.results import assert_same, only_run

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TRAIN = "tests.faults.work:train"


@pytest.fixture(scope="module")
def unbroken(tensorflow_forks, tmp_path_factory):
    root = tmp_path_factory.mktemp("unbroken")
    assert tensorflow_forks.call(TRAIN, root, output=root / "said") == 0, (root / "said").read_text()
    return only_run(root)


def test_a_full_disk_in_mid_run_ends_it_and_room_lets_it_go_on(tensorflow_forks, unbroken, tmp_path):
    """A limit on the size of files stands for the full disk: the kernel breaks off the write in its middle."""
    job = ("tests.faults.work:train_without_room", tmp_path, 20_000)
    assert tensorflow_forks.call(*job, output=tmp_path / "said") == 3
    folder = only_run(tmp_path)
    assert not list(folder.glob("checkpoint-*")) and not (folder / "network.keras").exists()
    assert not list(folder.glob(".*"))
    assert tensorflow_forks.call(TRAIN, tmp_path, output=tmp_path / "said") == 0
    assert_same(folder, unbroken)


def test_a_disk_that_is_gone_in_mid_run_ends_it(tensorflow_forks, unbroken, tmp_path):
    root = tmp_path / "disk"
    root.mkdir()
    assert tensorflow_forks.call("tests.faults.work:train_on_a_disk_that_goes", root, output=tmp_path / "said") == 3
    assert "No such file or directory" in (tmp_path / "said").read_text() and not root.exists()
    shutil.move(tmp_path / "gone", root)  # it comes back
    assert tensorflow_forks.call(TRAIN, root, output=tmp_path / "said") == 0
    assert_same(only_run(root), unbroken)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of one megabyte, where the tests may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.name == "posix" and os.geteuid() == 0 and shutil.which("mount")
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def cli(*arguments, **environment):
    command = [sys.executable, "-m", "resnet_keras", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600)


def test_a_full_file_system_is_one_line_and_exit_code_1(small_disk):
    (small_disk / "ballast").write_bytes(bytes(2**20 - 8192))
    recipe = ["--iterations", "4", "--batch-size", "8", "--log-interval", "2", "--test-interval", "4"]
    ended = cli("train", "plain8", "--data", "shapes16", *recipe, "--results", small_disk)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1 and "No space left on device" in ended.stderr


def test_a_read_only_file_system_is_one_line_and_exit_code_1(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ended = cli("train", "plain8", "--data", "shapes16", "--iterations", "4", "--results", small_disk)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert "Read-only file system" in ended.stderr
    assert cli("report", "--results", small_disk).returncode in (1, 2)
