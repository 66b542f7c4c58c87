"""A file that is written whole or not at all: built beside its place, synced, and swapped in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchchat.errors import MachineError

__all__ = ["replacing", "sync_folder"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path to build at; on leaving, it takes the place of `path`, which no reader ever sees half of.

    Raises `MachineError` where the disk refuses; `path` is then as it was before. What a kill leaves behind is built
    over the next time.
    """
    building = path.with_name(f".{path.name}.building")
    try:
        yield building
        with building.open("rb") as file:
            os.fsync(file.fileno())
        building.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        building.unlink(missing_ok=True)
        raise MachineError(
            f"{path} can't be written: {error.strerror or error}. The journal has every row;"
            " make room or mend the disk, then start the same command again."
        ) from error
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
