"""Write a file or a folder whole or not at all: build it as a sibling, sync it, and swap it in. Links are followed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batchchat.errors import MachineError
from batchchat.store.durable import sync_file, sync_folder

__all__ = [
    "Replacement",
    "building_name",
    "followed",
    "remove_leftovers",
    "replacing",
    "replacing_folder",
    "write_errors",
]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # RENAME_SWAP on macOS


def followed(path: Path) -> Path:
    """The path that a link at `path` leads to, whether there is anything yet; `path` where there is no link."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114 (says no where it cannot look)


def building_name(path: Path, number: int = 1) -> str:
    """The name of the sibling at which `path` is built; a higher `number` where that name can't be cleared."""
    return f".{path.name}.building{'' if number == 1 else f'-{number}'}"


class Replacement:
    """What is built at `building` to take the place of `path`: a file, or with `is_folder` a folder of files.

    It is open until `commit` or `abandon`. Raises `OSError` where the folder can't be made.
    """

    def __init__(self, path: Path, *, is_folder: bool = False) -> None:
        self._path = path = followed(path)
        self._is_folder = is_folder
        if is_folder:
            _restore(path)
        self.building = _cleared(path)
        if is_folder:
            self.building.mkdir(parents=True)

    def commit(self) -> None:
        """Sync what was built, and swap it in. Raises `OSError`; the former `path` is then unchanged.

        rename(2) does not replace a folder that is not empty, so the two are exchanged; where the file system can't do
        that, the old one is renamed aside in between.
        """
        building, path = self.building, self._path
        if not self._is_folder:
            sync_file(building)
            building.replace(path)
            sync_folder(path.parent)
            return
        for file in building.iterdir():
            sync_file(file)
        sync_folder(building)
        _swap_in(building, path)
        sync_folder(path.parent)
        _remove(building)

    def abandon(self) -> None:
        """Remove what was built."""
        _remove(self.building)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path to build a file at; on leaving, it replaces `path`, which no reader ever sees half-written.

    Raises `MachineError` where the disk refuses; `path` is then unchanged. A file that a kill leaves behind is
    removed by the next call.
    """
    with _replacing(path, is_folder=False) as building:
        yield building


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder of files: yield an empty folder to build in."""
    with _replacing(path, is_folder=True) as building:
        yield building


@contextmanager
def _replacing(path: Path, *, is_folder: bool) -> Iterator[Path]:
    with write_errors(path):
        replacement = Replacement(path, is_folder=is_folder)
        try:
            yield replacement.building
            replacement.commit()
        except BaseException:
            replacement.abandon()
            raise


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` as a `MachineError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{path} can't be written: {error.strerror or error}. The journal has every row."
            " Free space or repair the disk, then run the same command again."
        ) from error


def remove_leftovers(path: Path) -> None:
    """Remove what a killed run has built to take the place of `path`, as far as this system lets us."""
    _remove(followed(path).with_name(building_name(followed(path))))


def _cleared(path: Path) -> Path:
    """A sibling of `path` at which nothing is: what an earlier run left is removed, or passed over if it can't be."""
    number = 1
    while True:
        building = path.with_name(building_name(path, number))
        _remove(building)
        if not os.path.lexists(building):
            return building
        number += 1


def _remove(path: Path) -> None:
    """Remove the file, link or folder at `path`, as far as this system lets us."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


def _swap_in(building: Path, path: Path) -> None:
    """Replace `path` by `building`; the former `path` is at `building` afterwards, or deleted."""
    if not path.exists():
        building.rename(path)
    elif not _exchanged(building, path):
        aside = _aside(path)
        path.rename(aside)
        try:
            building.rename(path)
        except OSError:
            aside.rename(path)
            raise
        _remove(aside)


def _restore(path: Path) -> None:
    """Put back the old folder if a kill between two renames left it aside."""
    aside = _aside(path)
    if aside.exists():
        if path.exists():
            _remove(aside)
        else:
            aside.rename(path)


def _exchanged(left: Path, right: Path) -> bool:
    """Exchange two paths by renameat2(2) or macOS's renamex_np(2), which Python lacks. False where this system can't.

    Whatever the reason is: the two renames that follow then say what is wrong, if anything is.
    """
    from_path, to_path = os.fsencode(left), os.fsencode(right)
    try:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return bool(library.renamex_np(from_path, to_path, _RENAME_EXCHANGE) == 0)
        return bool(library.renameat2(_AT_FDCWD, from_path, _AT_FDCWD, to_path, _RENAME_EXCHANGE) == 0)
    except (ImportError, AttributeError, OSError):
        return False
