"""Every writer of the project, killed or let down by the disk at every single thing it does to the file system."""

import errno
import os
import shutil
import signal

import pytest

from resnet_keras.store import RunFolder
from tests.faults import work
from tests.faults.conftest import length

pytestmark = pytest.mark.faults

OLD, NEW = 10, 20
DISK = {"full": errno.ENOSPC, "read-only": errno.EROFS, "failing": errno.EIO}


def content(folder):
    """What a reader sees: the names and contents of all files but hidden ones."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
    # The bytes of a checkpoint depend on the order of a hash table; what it holds does not.
    return {name: sorted(file) if name.endswith(".safetensors") else file for name, file in files.items()}


@pytest.fixture(params=work.WRITERS)
def written(request, tmp_path):
    """(name of the writer, folder as it was, what readers may find afterwards)."""
    states = []
    for name, values in (("before", (5, OLD)), ("after", (5, OLD, NEW))):
        (tmp_path / name).mkdir()
        for value in values:
            work.WRITERS[request.param](tmp_path / name, value)
        states.append(content(tmp_path / name))
    if request.param == "checkpoint":  # both old ones, until the oldest is dropped
        states.append({**states[0], **states[1]})
    return request.param, tmp_path / "before", states


def every_point(name, folder, tmp_path, error=None, lasting=False):
    """Strike the writer at each point in turn, in a fork; gives each point's folder, fresh, after the strike."""
    for at in range(1000):
        again = tmp_path / f"at-{at}-{lasting}"
        shutil.copytree(folder, again)
        child = os.fork()
        if not child:
            code = 1
            try:
                code = work.write(name, again, NEW, at, error, lasting)
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == work.NOT_REACHED:
            return
        yield again, code


def test_killed_at_any_point_a_reader_sees_the_old_or_the_new(written, tmp_path):
    name, folder, states = written
    points = 0
    for after, code in every_point(name, folder, tmp_path):
        points += 1
        assert code == -signal.SIGKILL and content(after) in states, f"{after.name} of {name}"
        if name == "checkpoint":
            assert len(RunFolder(after).checkpoints) >= 2
            tensors, state = RunFolder(after).load_checkpoint(warn=pytest.fail)
            assert state["iteration"] in (OLD, NEW) and (tensors["trace"] == state["iteration"]).all()
        work.WRITERS[name](after, NEW)
        RunFolder(after).tidy()
        assert content(after) == states[1] and not list(after.glob(".*"))
    assert points >= 7  # a temporary file, two halves of a write, a flush, a close, a rename, ...


@pytest.mark.parametrize("lasting", [True, False][: length(1, 2)])
@pytest.mark.parametrize("disk", [*DISK][: length(1, 3)])
def test_on_a_bad_disk_the_error_comes_out_and_nothing_is_half_written(written, tmp_path, disk, lasting):
    name, folder, states = written
    codes = []
    for after, code in every_point(name, folder, tmp_path, DISK[disk], lasting):
        codes.append(code)
        assert content(after) in states, f"{disk} at {after.name} of {name}"
    assert set(codes) <= {0, work.LET_THROUGH} and codes.count(work.LET_THROUGH) >= 4  # 0: an error in clearing away
