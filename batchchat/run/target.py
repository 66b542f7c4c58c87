"""Where a person wants a file: never over an output or a folder, and there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from batchchat.errors import OutputError
from batchchat.store.atomic import replacing
from batchchat.store.parquet import files_of

__all__ = ["check_target", "write_target"]


def check_target(outputs: Iterable[Path], target: Path) -> None:
    """Raises `OutputError` where `target` is no place for a file, or one of the outputs itself."""
    if target.is_dir():
        raise OutputError(f"{target} is a folder. Name a file in it.")
    for output in outputs:
        if target.exists() and output.exists() and any(target.samefile(file) for file in files_of(output)):
            raise OutputError(f"{target} is the run's own output. Name another file.")
    if not target.parent.is_dir():
        raise OutputError(f"{target} can't be written: {target.parent} is no folder.")


def write_target(target: Path, content: bytes) -> None:
    """Put `content` in the place of what was there. Raises `MachineError` where the disk refuses."""
    with replacing(target) as building:
        building.write_bytes(content)
