"""Names in a folder that are not input, on this machine and in a store."""

from __future__ import annotations

from batchchat.errors import InputError
from batchchat.sources.file_types import READS

__all__ = ["folder_description", "is_ignored", "is_in_run_folder"]


def is_ignored(name: str, *, is_folder: bool) -> bool:
    """True if an entry `name` of a folder is not input: a hidden or `_` name, or the journal folder of a run."""
    return name.startswith((".", "_")) or (is_folder and name.endswith(".run"))


def is_in_run_folder(name: str, pattern: str) -> bool:
    """True if `name` is below the journal folder of a run, which `**` in a `pattern` finds and does not mean."""
    return ".run/" not in pattern and any(part.endswith(".run") for part in name.split("/")[:-1])


def folder_description(folder: str, noun: str, read: int, unread: int, *, empty: str) -> str:
    """The description of a `folder` with so many files that are `read`, each a `noun`, and others that are not.

    Raises `InputError` where none is read; a folder without any is `empty`.
    """
    note = f"{unread:,} of {'another kind is' if unread == 1 else 'other kinds are'} not read"
    if not read:
        raise InputError(f"{folder} {f'has no {noun} to read ({note})' if unread else empty}. {READS}")
    return f"{folder} ({read:,} {noun}{'s' if read > 1 else ''}{f'; {note}' if unread else ''})"
