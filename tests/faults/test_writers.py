"""Every writer of the project, killed or let down by the disk at every single thing it does to the file system."""

import errno

import pytest

from resnet_keras.store import RunFolder
from resnet_keras.training.checkpoint import _read as read_checkpoint
from resnet_keras.training.checkpoint import checkpoints, load_checkpoint
from tests.faults import work
from tests.faults.conftest import length

pytestmark = pytest.mark.faults

OLD, NEW = 10, 20
DISK = {"full": errno.ENOSPC, "read-only": errno.EROFS, "failing": errno.EIO}


def content(folder):
    """What a reader sees: the names and contents of all files but hidden ones."""
    return {path.name: _content(path) for path in folder.iterdir() if not path.name.startswith(".")}


def _content(path):
    if path.suffix != ".safetensors":
        return path.read_bytes()
    tensors, state = read_checkpoint(path)  # its bytes depend on the order of a hash table
    return {name: tensor.tobytes() for name, tensor in tensors.items()}, state


@pytest.fixture(params=work.WRITERS)
def written(request, tmp_path):
    """(name of the writer, folder as it was, what readers may find afterwards)."""
    states = []
    for name, values in (("before", (5, OLD)), ("after", (5, OLD, NEW))):
        (tmp_path / name).mkdir()
        for value in values:
            work.WRITERS[request.param](tmp_path / name, value)
        states.append(content(tmp_path / name))
    return request.param, tmp_path / "before", states


def every_point(forks, name, folder, tmp_path, error=None, lasting=False):
    """Strike the writer at each point in turn; gives each point's folder, fresh, after the strike."""
    for at in range(1000):
        again = tmp_path / f"at-{at}-{lasting}"
        again.mkdir()
        for path in folder.iterdir():
            (again / path.name).write_bytes(path.read_bytes())
        code = forks.call("tests.faults.work:write", name, again, NEW, at, error, lasting, output=tmp_path / "said")
        if code == 0 and at >= int((tmp_path / "said").read_text().split()[-1]):
            return
        yield at, again, code
    raise AssertionError("the writer does not end")


def readable(folder):
    """Everything the store can read of a folder."""
    run = RunFolder(folder)
    return run.summary, run.environment, load_checkpoint(folder)


def test_killed_at_any_point_a_reader_sees_the_old_or_the_new(forks, written, tmp_path):
    name, folder, states = written
    points = 0
    for at, after, code in every_point(forks, name, folder, tmp_path):
        points += 1
        assert code == -9
        seen = content(after)
        extra = {} if name != "checkpoint" else {**states[0], **states[1]}  # both old ones, until the oldest is dropped
        assert seen in (*states, extra), f"killed at point {at} of {name}"
        readable(after)
        work.WRITERS[name](after, NEW)
        RunFolder(after).tidy()
        assert content(after) == states[1] and not list(after.glob(".*"))
    assert points >= 7  # a temporary file, two halves of a write, a flush, a close, a rename, ...


@pytest.mark.parametrize("lasting", [True, False][: length(1, 2)])
@pytest.mark.parametrize("disk", [*DISK][: length(1, 3)])
def test_on_a_bad_disk_the_error_comes_out_and_nothing_is_half_written(forks, written, tmp_path, disk, lasting):
    name, folder, states = written
    struck = 0
    for at, after, code in every_point(forks, name, folder, tmp_path, DISK[disk], lasting):
        struck += code == 3
        assert code in (0, 3), f"point {at} of {name}"  # 0: an error in clearing away, or in flushing a folder
        seen = content(after)
        extra = {} if name != "checkpoint" else {**states[0], **states[1]}
        assert seen in (*states, extra), f"{disk} at point {at} of {name}"
        readable(after)
        if not lasting and disk != "read-only":
            work.WRITERS[name](after, NEW)
            RunFolder(after).tidy()
            assert content(after) == states[1]
    assert struck >= 4


def test_a_checkpoint_is_there_at_every_point(forks, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for value in (5, OLD):
        work.checkpoint(folder, value)
    for _, after, _ in every_point(forks, "checkpoint", folder, tmp_path):
        assert len(checkpoints(after)) >= 2
        tensors, state = load_checkpoint(after, warn=pytest.fail)
        assert state["iteration"] in (OLD, NEW)
        assert (tensors["trace"] == state["iteration"]).all()
