"""The files that an output consists of; without importing pyarrow."""

from __future__ import annotations

from pathlib import Path

__all__ = ["files_of"]


def files_of(path: Path) -> list[Path]:
    """The files of an output, in order: itself, or the parts in it."""
    return sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
