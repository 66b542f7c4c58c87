"""The run folder `<stem>.run/` next to an output: its path, checks before a run, setting an old run aside.

Nothing here deletes: an output that is in the way is refused with a way out, or renamed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from batchchat.errors import OutputError
from batchchat.store.parquet import files_of, is_ours, metadata_of
from batchchat.store.segments import end_of

__all__ = ["check_output", "folder_of", "make_folder", "set_aside"]


def folder_of(output: Path) -> Path:
    """The run folder of `output`."""
    return output.with_name(f"{output.stem}.run")


def check_output(output: Path, as_given: str, inputs: Iterable[Path], *, fresh: bool) -> None:
    """Refuse an output that is an input, is not ours, or can't be continued. `as_given`: its path in the job."""
    if not output.exists():
        return
    if output.is_dir() and output.suffix:
        raise OutputError(
            f"{as_given} is a folder. Name a file in it, for example {as_given.rstrip('/')}/output.parquet."
        )
    if not output.is_dir() and not output.suffix:
        raise OutputError(
            f"{as_given} is a file, and a path without a suffix names a folder. Name another `output.path`."
        )
    own = [output, *files_of(output)]
    if any(path.samefile(file) for path in inputs for file in own):
        raise OutputError(f"{as_given} is both the input and the output. Give `output.path` another name.")
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
    journal_end = (metadata_of(output) or {}).get("journal_end")
    if type(journal_end) is int and end < journal_end:
        return f"the journal in {folder.name} is shorter than it was when the output was written"
    return None


def make_folder(output: Path, as_given: str) -> Path:
    """The run folder of `output`, created if missing. Raises `OutputError` where it can't be written."""
    folder = folder_of(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for parent in (output.parent, folder):
            probe = parent / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{as_given} can't be written: {error.strerror} ({error.filename})."
            " Name another `output.path`, or fix that."
        ) from error
    return folder


def set_aside(output: Path) -> list[Path]:
    """Rename `output` and its run folder to a new dated name, which `export` still reads; return the new paths."""
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
    number = 0
    while True:
        dated = output.with_name(f"{output.stem}.{stamp}{f'-{number}' if number else ''}{output.suffix}")
        if not dated.exists() and not folder_of(dated).exists():
            break
        number += 1
    moved = []
    for old, new in ((folder_of(output), folder_of(dated)), (output, dated)):
        if old.exists():
            old.rename(new)
            moved.append(new)
    return moved
