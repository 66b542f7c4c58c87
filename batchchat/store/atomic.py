"""Write a file or a folder whole or not at all: build it as a sibling, sync it, and swap it in."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchchat.errors import MachineError

__all__ = ["replacing", "replacing_folder", "sync_folder"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path to build a file at; on leaving, it replaces `path`, which no reader ever sees half-written.

    Raises `MachineError` where the disk refuses; `path` is then unchanged. A file that a kill leaves behind is
    overwritten by the next call.
    """
    building = _sibling(path, "building")
    with _undo_on_error(path, lambda: building.unlink(missing_ok=True)):
        yield building
        _sync_file(building)
        building.replace(path)
        sync_folder(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder of files: yield an empty folder to build in.

    rename(2) does not replace a folder that is not empty, so the two are exchanged; where the file system can't do
    that, the old one is renamed aside in between.
    """
    building = _sibling(path, "building")
    with _undo_on_error(path, lambda: shutil.rmtree(building, ignore_errors=True)):
        _restore(path)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        yield building
        for file in building.iterdir():
            _sync_file(file)
        sync_folder(building)
        _swap_in(building, path)
        sync_folder(path.parent)
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def _undo_on_error(path: Path, undo: Callable[[], None]) -> Iterator[None]:
    """Call `undo` on any exception. An `OSError` becomes a `MachineError` that names `path`."""
    try:
        yield
    except OSError as error:
        undo()
        raise MachineError(
            f"{path} can't be written: {error.strerror or error}. The journal has every row."
            " Free space or repair the disk, then run the same command again."
        ) from error
    except BaseException:
        undo()
        raise


def _sibling(path: Path, purpose: str) -> Path:
    return path.with_name(f".{path.name}.{purpose}")


def _swap_in(building: Path, path: Path) -> None:
    """Replace `path` by `building`; the former `path` is at `building` afterwards, or deleted."""
    if not path.exists():
        building.rename(path)
    elif not _exchanged(building, path):
        aside = _sibling(path, "aside")
        path.rename(aside)
        building.rename(path)
        shutil.rmtree(aside, ignore_errors=True)


def _restore(path: Path) -> None:
    """Put back the old folder if a kill between two renames left it aside."""
    aside = _sibling(path, "aside")
    if aside.exists():
        if path.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(path)


def _exchanged(left: Path, right: Path) -> bool:
    """Exchange two paths by renameat2(2), which Python lacks. False where this system can't."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code))


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the directory entries of `folder` to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
