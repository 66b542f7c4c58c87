"""Names in a folder that are not input."""

from __future__ import annotations

__all__ = ["is_ignored"]


def is_ignored(name: str, *, is_folder: bool) -> bool:
    """True if an entry `name` of a folder is not input: a hidden or `_` name, or the journal folder of a run."""
    return name.startswith((".", "_")) or (is_folder and name.endswith(".run"))
