"""A file or a folder that is written whole or not at all: built beside its place, synced, and swapped in."""

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
_NOT_THERE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path to build a file at; on leaving, it takes the place of `path`, which no reader ever sees half of.

    Raises `MachineError` where the disk refuses; `path` is then as it was before. What a kill leaves behind is built
    over the next time.
    """
    building = _beside(path, "building")
    with _undone(path, lambda: building.unlink(missing_ok=True)):
        yield building
        _sync_file(building)
        building.replace(path)
        sync_folder(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder of files: give an empty folder to build in.

    rename(2) does not replace a folder that holds anything, so the two are exchanged; where the file system can't do
    that, the old one is renamed aside for the moment between.
    """
    building = _beside(path, "building")
    with _undone(path, lambda: shutil.rmtree(building, ignore_errors=True)):
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
def _undone(path: Path, undo: Callable[[], None]) -> Iterator[None]:
    """`undo` what was built of `path` whatever goes wrong; what the disk refuses is told as that."""
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


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")


def _swap_in(building: Path, path: Path) -> None:
    """`building` takes the place of `path`; what stood there stands at `building` afterwards, or is gone."""
    if not path.exists():
        building.rename(path)
    elif not _exchanged(building, path):
        aside = _beside(path, "aside")
        path.rename(aside)
        building.rename(path)
        shutil.rmtree(aside, ignore_errors=True)


def _restore(path: Path) -> None:
    """A kill in the moment between two renames left the old folder aside."""
    aside = _beside(path, "aside")
    if aside.exists():
        if path.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(path)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether renameat2(2) exchanged the two; Python has no name for it. False where this system can't."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_THERE:
        return False
    raise OSError(number, os.strerror(number))


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
