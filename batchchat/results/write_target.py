"""Writes a file that the user named: never over a file that a run needs, and completely or not at all.

Links are followed. A pipe or a device (`/dev/stdout`) is written to, since it can't be replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from batchchat.errors import OutputError
from batchchat.job import InputSpec
from batchchat.sources import overlapping_entry
from batchchat.store.atomic import replacing
from batchchat.store.output_files import files_of
from batchchat.store.segments import segments

__all__ = ["check_target", "is_stream", "refuse_named_pipe", "write_target", "writing"]


def check_target(
    outputs: Iterable[Path], target: Path, *, jobs: Iterable[Path] = (), inputs: Sequence[str] = ()
) -> None:
    """Refuse a `target` that can't be a file, or that a run needs: its output, journal, job or input.

    `inputs` are a job's `input.path`, absolute. Raises `OutputError`.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        target.stat()  # what the system refuses is refused before anything is read for it
    if target.is_dir():
        raise OutputError(f"{target} is a folder. Name a file in it.")
    if not target.parent.is_dir():
        raise OutputError(f"{target} can't be written: {target.parent} is no folder.")
    for output in outputs:
        if output.exists() and any(_same(target, file) for file in files_of(output)):
            raise OutputError(f"{target} is the run's own output. Name another file.")
    if any(_same(target, job) for job in jobs):
        raise OutputError(f"{target} is the job file. Name another file.")
    folder = next((folder for folder in target.resolve().parents if folder.suffix == ".run" and segments(folder)), None)
    if folder is not None:
        raise OutputError(f"{target} is in {folder.name}, where a run keeps its journal. Name a file elsewhere.")
    if _is_input(target, inputs):
        raise OutputError(f"{target} is where the job reads its input. Name a file elsewhere.")


def refuse_named_pipe(target: Path) -> None:
    """Raise `OutputError` where `target` is one, other than `/dev/stdout`: without a reader, it is never opened."""
    if target.is_fifo() and not target.is_relative_to("/dev"):
        raise OutputError(f"{target} is a pipe. Name a file, or /dev/stdout to write to a pipe.")


def _same(left: Path, right: Path) -> bool:
    return left.exists() and right.exists() and left.samefile(right)


def _is_input(target: Path, inputs: Sequence[str]) -> bool:
    if any(_same(target, Path(path)) for path in inputs):
        return True
    spec = InputSpec(tuple(inputs), tuple(inputs))
    return not is_stream(target) and overlapping_entry(spec, target.absolute()) is not None


def is_stream(target: Path) -> bool:
    """True if `target` exists and is no regular file, so that it can't be replaced."""
    return target.exists() and (not target.is_file() or target.is_relative_to("/dev"))


@contextmanager
def writing(target: Path) -> Iterator[BinaryIO]:
    """A file whose content replaces `target` when the block ends. Raises `MachineError` where it can't be written."""
    if is_stream(target):
        with target.open("ab") as stream:
            yield stream
        return
    with replacing(target.resolve()) as building, building.open("wb") as file:
        yield file


def write_target(target: Path, content: bytes) -> None:
    """Replace the content of `target`."""
    with writing(target) as file:
        file.write(content)
