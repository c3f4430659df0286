"""A disk that is full or gone in mid-run: an error, nothing half written, and on it goes."""

import shutil

import pytest

from tests.faults import work
from tests.faults.results import assert_same, only_run

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_a_full_or_lost_disk_in_mid_run_ends_it_and_room_lets_it_go_on(forks, tmp_path):
    """A limit on the size of files stands for the full disk: the kernel breaks off the write in its middle."""
    root, full, lost = (tmp_path / name for name in ("root", "full", "lost"))
    said = tmp_path / "said"
    assert forks.call(work.train, root, output=said) == 0, said.read_text()

    assert forks.call(work.train, full, work.without_room, 20_000, output=said) == work.LET_THROUGH
    assert not list(only_run(full).glob("checkpoint-*")) and not list(only_run(full).glob(".*"))
    assert not (only_run(full) / "network.keras").exists()

    assert forks.call(work.train, lost, work.on_a_disk_that_goes, output=said) == work.LET_THROUGH
    assert "No such file or directory" in said.read_text() and not lost.exists()
    shutil.move(tmp_path / "gone", lost)  # it comes back

    for again in (full, lost):
        assert forks.call(work.train, again, output=said) == 0, said.read_text()
        assert_same(only_run(again), only_run(root))
