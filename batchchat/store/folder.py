"""The run folder `<stem>.run/` beside an output: where it stands, whose it is, how an old run is set aside.

Nothing here deletes: what stands in the way is refused with the way out, or renamed.
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


def check_output(output: Path, typed: str, inputs: Iterable[Path], *, fresh: bool) -> None:
    """Refuse an output that is an input, is not ours, or can't be extended. `typed`: the path as the user wrote it."""
    if not output.exists():
        return
    if output.is_dir() and output.suffix:
        raise OutputError(f"{typed} is a folder. Name a file in it, for example {typed.rstrip('/')}/output.parquet.")
    if not output.is_dir() and not output.suffix:
        raise OutputError(f"{typed} is a file, and a path without a suffix names a folder. Name another `output.path`.")
    own = [output, *files_of(output)]
    if any(path.samefile(file) for path in inputs for file in own):
        raise OutputError(f"{typed} is both the input and the output. Give `output.path` another name.")
    if not is_ours(output):
        what = "holds files that were not" if output.is_dir() else "is there already and was not"
        raise OutputError(
            f"{typed} {what} written by batchchat. Move {'them' if output.is_dir() else 'it'} away, or name another"
            " `output.path`."
        )
    if output.is_dir() and not files_of(output):
        return  # an empty folder that somebody made
    if not fresh and (lacks := _lacks(output)):
        raise OutputError(
            f"{typed} is there, but {lacks}, so what it holds can't be continued and would be paid for again."
            " Name another `output.path`, or set it aside with --fresh."
        )


def _lacks(output: Path) -> str | None:
    """What a run would need to go on from `output` and is not there."""
    folder = folder_of(output)
    end = end_of(folder)
    if end is None:
        return f"its run folder {folder.name} is not" if not folder.exists() else f"{folder.name} holds no journal"
    made_of = (metadata_of(output) or {}).get("journal_end")
    if type(made_of) is int and end < made_of:
        return f"the journal in {folder.name} is shorter than it was when that was written"
    return None


def make_folder(output: Path, typed: str) -> Path:
    """The run folder, made where it is missing. Raises `OutputError` where it can't be written."""
    folder = folder_of(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (output.parent, folder):
            probe = place / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{typed} can't be written: {error.strerror} ({error.filename}). Name another `output.path`, or fix that."
        ) from error
    return folder


def set_aside(output: Path) -> list[Path]:
    """Rename the output and its run folder to a dated name of their own, which `export` still reads; the new names."""
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
