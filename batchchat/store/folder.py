"""The run folder `<stem>.run/` next to an output: its path, checks before a run, setting an old run aside.

Nothing here deletes: an output that is in the way is refused with a way out, or renamed. Links are followed: an output
or a run folder that is a link is written where it leads, and set aside there.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batchchat.errors import OutputError
from batchchat.job.paths import PUBLISHED
from batchchat.store.atomic import building_name, followed, remove_leftovers
from batchchat.store.durable import sync_folder
from batchchat.store.output_files import files_of
from batchchat.store.segments import end_of, segment_path, segments

__all__ = ["check_output", "check_writable", "folder_of", "is_there", "make_folder", "set_aside"]

_SUFFIX = ".parquet"
_MAX_NAME_BYTES = 255
_EARLIER_PROBES = (".probe-*", ".run.json.*")
"""Files with a process's number in their names, as versions up to 0.1 left them behind when killed."""


def folder_of(output: Path) -> Path:
    """The run folder of `output`. What goes to an object store is published in it, other outputs beside it."""
    if _is_inside(output):
        return output.parent
    return output.with_name(f"{output.name.removesuffix(_SUFFIX)}.run")


def _is_inside(output: Path) -> bool:
    """Whether `output` is in its run folder."""
    return output.parent.suffix == ".run" and output.name.removesuffix(_SUFFIX) == PUBLISHED


def is_there(path: Path) -> bool:
    """Whether there is anything at `path`. Raises `OSError` where that can't be seen, unlike `Path.exists` of 3.14."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_output(output: Path, as_given: str, inputs: Iterable[Path], *, fresh: bool) -> None:
    """Refuse an output that is an input, is not ours, or can't be continued. `as_given`: its path in the job."""
    with _refusing(as_given):
        _check_names(output, as_given)
        try:
            mode = output.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return  # nothing is there, or a link to a name that is free
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OutputError(f"{as_given} is a pipe, socket or device. Name a file or a folder.")
        _check_existing(output, as_given, inputs, fresh=fresh)


@contextmanager
def _refusing(as_given: str) -> Iterator[None]:
    """Turn an `OSError` into an `OutputError` about the output `as_given`."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{as_given} can't be written: {error.strerror} ({error.filename})."
            " Name another `output.path`, or fix that."
        ) from error


def _check_names(output: Path, as_given: str) -> None:
    """Refuse a name so long that those made of it are over what the file system takes."""
    target = followed(output)
    dated = _dated(output, "0000-00-00T00-00-00-00")
    names = (building_name(target, 10), target.name, dated.name, folder_of(dated).name)
    longest = max(len(os.fsencode(name)) for name in names)
    allowed = _max_name_bytes(target.parent)
    if longest > allowed:
        room = allowed - (longest - len(os.fsencode(target.name)))
        raise OutputError(
            f"{as_given} can't be written: its name is too long. The files beside it have longer names, of up to"
            f" {longest} bytes, and this file system allows {allowed}. Give it a name of at most {room} bytes."
        )


def _max_name_bytes(folder: Path) -> int:
    for parent in (folder, *folder.parents):
        with suppress(OSError, ValueError, AttributeError):
            return os.pathconf(parent, "PC_NAME_MAX")
    return _MAX_NAME_BYTES


def _check_existing(output: Path, as_given: str, inputs: Iterable[Path], *, fresh: bool) -> None:
    if output.is_dir() and output.suffix:
        raise OutputError(
            f"{as_given} is a folder. Name a file in it, for example {as_given.rstrip('/')}/output.parquet."
        )
    if not output.is_dir() and not output.suffix:
        raise OutputError(
            f"{as_given} is a file, and a path without a suffix names a folder. Name another `output.path`."
        )
    if os.path.ismount(followed(output)):
        raise OutputError(
            f"{as_given} is a mount point, which can't be replaced whole. Name a folder in it, for example"
            f" {as_given.rstrip('/')}/parts."
        )
    for file in files_of(output):
        file.open("rb").close()
    own = [output, *files_of(output)]
    if any(path.samefile(file) for path in inputs for file in own):
        raise OutputError(f"{as_given} is both the input and the output. Give `output.path` another name.")
    from batchchat.store.parquet import is_ours  # pyarrow, which a run without an output can wait for

    if not is_ours(output):
        state = "holds files that were not" if output.is_dir() else "already exists and was not"
        raise OutputError(
            f"{as_given} {state} written by batchchat. Move {'them' if output.is_dir() else 'it'} away, or name another"
            " `output.path`."
        )
    if output.is_dir() and not files_of(output):
        return  # an empty folder is free to use
    if not fresh and (obstacle := _obstacle_to_resume(output)):
        raise OutputError(
            f"{as_given} exists, but {obstacle}, so it can't be continued and its rows would be paid for again."
            " Name another `output.path`, or set it aside with --fresh."
        )


def _obstacle_to_resume(output: Path) -> str | None:
    """Why a run can't continue from `output`; None where it can."""
    folder = folder_of(output)
    end = end_of(folder)
    if end is None:
        return f"its run folder {folder.name} does not" if not folder.exists() else f"{folder.name} has no journal"
    from batchchat.store.parquet import metadata_of

    journal_end = (metadata_of(output) or {}).get("journal_end")
    if type(journal_end) is int and end < journal_end:
        return f"the journal in {folder.name} is shorter than it was when the output was written"
    return None


def make_folder(output: Path, as_given: str) -> Path:
    """The run folder of `output`, created if missing. Raises `OutputError` where it can't be."""
    folder = folder_of(output)
    with _refusing(as_given):
        followed(folder).mkdir(parents=True, exist_ok=True)
        followed(output).parent.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            # Opening a pipe waits for its other end. A log may go to /dev/null.
            mode = path.stat().st_mode if path.exists() else stat.S_IFREG
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and path.name != "run.log"):
                raise OutputError(f"{as_given} can't be written: {path} is a pipe, socket or device. Remove it.")
    return folder


def check_writable(output: Path, as_given: str) -> None:
    """Refuse an output that could not be published or journaled at the end. The run's lock is held."""
    folder, target = folder_of(output), followed(output)
    with _refusing(as_given):
        for pattern in _EARLIER_PROBES:
            for leftover in (*folder.glob(pattern), *output.parent.glob(pattern)):
                leftover.unlink(missing_ok=True)
        remove_leftovers(target)
        for path in (target, folder / "run.json"):
            _try_to_create(path.with_name(building_name(path)))
        _check_replaceable(target)
        if numbers := segments(folder):
            os.close(os.open(segment_path(folder, numbers[-1]), os.O_RDWR | os.O_CLOEXEC))


def _try_to_create(path: Path) -> None:
    """Create and remove the file `path`; what is there already shows that it can be."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.unlink()


def _check_replaceable(path: Path) -> None:
    """Raise the `PermissionError` that a rename onto `path` would: in a folder like /tmp, of another user's file."""
    if not path.exists() or os.geteuid() == 0:
        return
    parent = path.parent.stat()
    if parent.st_mode & stat.S_ISVTX and os.geteuid() not in {parent.st_uid, path.stat().st_uid}:
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))


def set_aside(output: Path) -> list[Path]:
    """Rename `output` and its run folder to a new dated name, which `export` still reads; return the new paths.

    The output goes first: after a kill between the two the run folder is still in its place, and a run picks up there.
    """
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
    number = 0
    while True:
        dated = _dated(output, f"{stamp}{f'-{number}' if number else ''}")
        folders = (folder_of(output), folder_of(dated))
        pairs = (folders,) if _is_inside(output) else ((output, dated), folders)
        if not any(os.path.lexists(path) for old, new in pairs for path in (new, followed(old).with_name(new.name))):
            break
        number += 1
    moved = [new for old, new in pairs if old.exists() and _move(old, new)]
    sync_folder(folders[0].parent)
    return moved[::-1]


def _dated(output: Path, stamp: str) -> Path:
    """The name of `output` with `stamp`, or that of its run folder, where it is in that."""
    if _is_inside(output):
        return output.parent.with_name(f"{output.parent.stem}.{stamp}.run") / output.name
    stem = output.name.removesuffix(_SUFFIX)
    return output.with_name(f"{stem}.{stamp}{output.name[len(stem) :]}")


def _move(old: Path, new: Path) -> bool:
    """Rename `old` to `new`. Of a link what it leads to is renamed, so that the next output goes where it leads too."""
    if not old.is_symlink():
        old.rename(new)
        return True
    target = followed(old)
    moved = target.with_name(new.name)
    target.rename(moved)
    new.symlink_to(os.path.relpath(moved, os.path.realpath(new.parent)))
    return True
