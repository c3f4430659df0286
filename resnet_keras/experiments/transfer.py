"""Runs from one results folder to another: packed into a tar, checked, and added whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Container, Iterable, Iterator
from pathlib import Path, PurePosixPath

from resnet_keras.errors import UserError
from resnet_keras.experiments.inspection import inspect
from resnet_keras.files import write_atomically
from resnet_keras.store import RunFolder, Store, is_file_of_a_run
from resnet_keras.training.checkpoint import checkpoints

ENDINGS = {".tar": "w", ".tar.gz": "w:gz", ".tar.xz": "w:xz"}
SUMS = "SHA256SUMS"
LARGEST = 2**31  # bytes of one file; the largest network's weights are a seventh of it
BROKEN = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)


def export(store: Store, names: Iterable[str], file: Path, *, weights=False, with_checkpoints=False) -> list[RunFolder]:
    """Pack runs into a tar: `runs/<run>/<file>`, and SHA256SUMS as `sha256sum --check` reads it.

    Args:
        store: Where the runs are.
        names: Which; none for all that are done and, with checkpoints, all that can be gone on with.
        file: Ends in .tar, .tar.gz or .tar.xz; replaced when it is there.
        weights: Pack `network.keras` as well.
        with_checkpoints: Pack the newest checkpoint of interrupted runs, so that they can be gone on with elsewhere.

    Returns:
        What was packed.

    Raises:
        UserError: The file's name is of no known kind, or a run is not there, broken or not done.
    """
    file = Path(file)
    mode = next((mode for ending, mode in ENDINGS.items() if file.name.endswith(ending)), None)
    if mode is None or file.is_dir():
        raise UserError(f"{file} is no file to write to: the last argument is one that ends in {', '.join(ENDINGS)}.")
    if not file.parent.is_dir():
        raise UserError(f"there is no folder {file.parent}: make it first.")
    folders = _chosen(store, list(names), with_checkpoints)
    contents = {
        f"runs/{folder.name}/{path.name}": path
        for folder in folders
        for path in folder.files(weights=weights, checkpoints=with_checkpoints)
    }
    part = file.with_name(f".{file.name}.tmp")
    try:
        with tarfile.open(part, mode) as tar:
            _add(tar, SUMS, "".join(f"{_digest(path)}  {name}\n" for name, path in contents.items()).encode())
            for name, path in contents.items():
                _add(tar, name, path.read_bytes())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
    return folders


def _chosen(store: Store, names: list[str], with_checkpoints: bool) -> list[RunFolder]:
    folders = [store.run(name) for name in dict.fromkeys(names)]
    for folder in folders:
        if folder.status == "not run":
            raise UserError(f"no run {folder.name!r}: `resnet-keras list` prints those there are.")
        if not folder.done and not with_checkpoints:
            raise UserError(f"{folder.name} is {folder.status}: --checkpoints packs it, to be gone on with elsewhere.")
    if not names:
        going = [folder for folder in store.runs() if not folder.done and checkpoints(folder.path)]
        folders = [folder for folder in store.runs() if folder.done] + (going if with_checkpoints else [])
    if not folders:
        raise UserError(f"there is no run to export in {store.root}.")
    for folder in folders:
        inspect(folder)
    return folders


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file that says nothing of who packed it, where and when."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def import_runs(store: Store, source: Path, held: Container[str] = ()) -> list[tuple[RunFolder, str]]:
    """Check runs made elsewhere and add them: all of them, or none when one is not as it should be.

    Args:
        store: Where to.
        source: A run's folder, a results folder, or a tar of either.
        held: Names of runs that the caller has locked here already.

    Returns:
        For each run, its folder here and what was done, in words.

    Raises:
        UserError: There is no run there, one is broken or unfinished, or another finished run has its name here.
        Held: A process is at work on one of them here.
    """
    with _found(Path(source), store) as folders:
        if not folders:
            raise UserError(f"{source} holds no run: give a run's folder, a results folder, or a tar of either.")
        ready = [folder for folder in folders if folder.done or checkpoints(folder.path)]
        states = [inspect(folder) for folder in ready or folders]  # says of the first one what it lacks
        without = [(folder, "left out: unfinished, and no checkpoint came with it") for folder in folders]
        without = [(folder, said) for folder, said in without if folder not in ready]
        with contextlib.ExitStack() as locks:
            for folder in (folder for folder in ready if folder.name not in held):
                locks.enter_context(store.run(folder.name).lock(wait=False))
            acts = [_act(store.run(f.name), f, state) for f, state in zip(ready, states, strict=True)]
            return [(store.run(f.name), act(store, f)) for f, act in zip(ready, acts, strict=True)] + without


@contextlib.contextmanager
def _found(source: Path, store: Store) -> Iterator[list[RunFolder]]:
    """The runs of a source that is a folder or a tar."""
    if source.is_dir():
        yield _runs_in(source)
        return
    if not source.is_file():
        raise UserError(f"there is no {source}: give a run's folder, a results folder, or a tar of either.")
    with tempfile.TemporaryDirectory(prefix="resnet-keras-") as place:
        _unpack(source, Path(place))
        yield _runs_in(Path(place))


def _runs_in(folder: Path) -> list[RunFolder]:
    if (folder / "config.json").is_file():
        return [RunFolder(folder.resolve())]
    return [RunFolder(path) for path in sorted(folder.glob("runs/*")) if path.is_dir() and path.name[0] != "."]


def _unpack(archive: Path, place: Path) -> None:
    """Write the runs' files of a tar to `place`/runs/<run>/, whatever lies above them in it, and nothing else.

    Raises:
        UserError: The tar is damaged, fails its checksums, or holds a link, a device, or a way out of it.
    """
    sums, found = {}, {}
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                path = _checked(archive, member)
                if path is None:
                    continue
                content = tar.extractfile(member).read()
                if path.name == SUMS:
                    sums = dict(line.split("  ", 1)[::-1] for line in content.decode().splitlines())
                elif len(path.parts) > 1 and is_file_of_a_run(path.name):
                    run, name = path.parts[-2:]
                    if (run, name) in found:
                        raise UserError(f"{archive} holds {run}/{name} twice; pack it again.")
                    found[run, name] = (str(path), hashlib.sha256(content).hexdigest())
                    folder = Store(place).run(run).path
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(content)
    except UserError:
        raise
    except (*BROKEN, ValueError) as error:
        raise UserError(f"{archive} is no readable tar archive ({error}); copy it again.") from None
    if sums and sums != dict(found.values()):
        differ = sorted(dict(sums.items() ^ dict(found.values()).items()))
        raise UserError(f"{archive} fails its checksums at {differ[0]}; copy it again.")


def _checked(archive: Path, member: tarfile.TarInfo) -> PurePosixPath | None:
    """A member's path; None for a folder."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise UserError(f"{archive} holds {member.name!r}, which leads out of it; it is not imported.")
    if member.isdir():
        return None
    if not member.isfile():
        raise UserError(f"{archive} holds {member.name!r}, a link or a device; it may hold only folders and files.")
    if member.size > LARGEST:
        raise UserError(f"{archive} holds {member.name!r} of {member.size} bytes; {LARGEST} are allowed.")
    return path


def _act(here: RunFolder, there: RunFolder, state: str):
    """What is to be done with a run: a function of (store, the run there) that does it and says so."""
    if here.path.is_dir() and here.path.samefile(there.path):
        return lambda *_: "is this very folder"
    if not here.done:
        ahead = _iterations(there) > _iterations(here)
        return _put if state != "interrupted" or ahead else lambda *_: "has come as far or further here"
    if state == "interrupted":
        return lambda *_: f"is {here.status} here already"
    if any(_bytes(here, name) != _bytes(there, name) for name in ("history.csv", "summary.json")):
        raise UserError(
            f"{here.name}: another {here.status} run of this name is here already, and none is overwritten: to take "
            f"the new one, first remove {here.path}."
        )
    return _complete


def _iterations(folder: RunFolder) -> int:
    saved = checkpoints(folder.path)
    return int(saved[-1].stem.rpartition("-")[2]) if saved else -1


def _bytes(folder: RunFolder, name: str) -> bytes | None:
    """A file of a run; None where there is none: what diverged before its first row has no history."""
    path = folder.path / name
    return path.read_bytes() if path.is_file() else None


def _put(store: Store, there: RunFolder) -> str:
    """Put a run in its place in one piece; what an interrupted one left there goes."""
    here = store.run(there.name)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=store.root) as aside:
        new, old = Path(aside) / "new", Path(aside) / "old"
        new.mkdir()
        for path in there.files(weights=True, checkpoints=True):
            shutil.copyfile(path, new / path.name)
        if here.path.is_dir():
            here.path.rename(old)
        new.rename(here.path)
    return f"added, {here.status}{', with its network' if here.network_file.is_file() else ''}"


def _complete(store: Store, there: RunFolder) -> str:
    """Add the files that the same run lacks here."""
    here = store.run(there.name)
    lacking = [path for path in there.files(weights=True) if not (here.path / path.name).exists()]
    for path in lacking:
        write_atomically(here.path / path.name, path.read_bytes())
    return f"is here already; added {', '.join(path.name for path in lacking)}" if lacking else "is here already"
