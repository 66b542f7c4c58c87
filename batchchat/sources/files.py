"""What `input.path` names, as files to read, each of which is what its suffix says.

Rules: an absolute pattern's matches, and the files in a folder, come in sorted order; a file named twice is
read once; a path that exists is a file even where it holds `*`. A file found by a pattern or in a folder is
called by the folder as typed and its path below it. A folder is read through and through, but for names
that begin with `.` or `_` and what stands in a `*.run` folder; its files of other kinds are counted, not
read. Whatever can't be read is one `InputError` that names it as typed.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.errors import InputError
from batchchat.sources.file_types import LONGEST_MAGIC, READS, FileKind, Packing, check_head, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["InputFile", "InputFiles", "Record", "find_files", "is_passed_over", "unescaped", "unreadable"]

Record = tuple[int, dict[str, Any] | str]
"""Line or row number from 1, and its columns or the sentence that says why it can't be read."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read.

    `typed` is its name as `input.path` gives it, `label` the same or its base name if unique.
    """

    path: Path
    typed: str
    label: str
    kind: FileKind
    packing: Packing
    size: int


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The files of an input in the order they are read, and each entry of `input.path` in words."""

    files: tuple[InputFile, ...]
    told: tuple[str, ...]


def find_files(paths: Iterable[str], typed: Iterable[str]) -> InputFiles:
    """The files that `paths` (absolute, patterns kept) name.

    Raises `InputError`.
    """
    found: dict[str, tuple[Path, str]] = {}
    told: list[str] = []
    for path, said in zip(paths, typed, strict=True):
        matches, words = _matches(path, said)
        told.append(words)
        for file, name in matches:
            found.setdefault(os.path.realpath(file), (Path(file), name))
    bases = Counter(file.name for file, _ in found.values())
    files = (_checked(file, name, file.name if bases[file.name] == 1 else name) for file, name in found.values())
    return InputFiles(tuple(files), tuple(told))


def _matches(path: str, typed: str) -> tuple[list[tuple[str, str]], str]:
    """Absolute path and name of each file that one entry of `input.path` names, and that entry in words."""
    if "://" in typed:
        scheme = typed.partition("://")[0]
        raise InputError(f"`input.path` is a URL ({scheme}://), which is not read by this version yet. {READS}")
    literal = unescaped(path)
    if Path(literal).is_dir():
        return _in_folder(literal, typed)
    if os.path.lexists(literal) or not glob.has_magic(typed):
        return [(literal, typed)], typed
    matches = sorted(match for match in glob.glob(path, recursive=True) if not Path(match).is_dir())  # noqa: PTH207
    parts = typed.split("/")
    wild = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    typed_folder = "".join(f"{part}/" for part in parts[:wild])
    folder = unescaped("".join(f"{part}/" for part in path.split("/")[: wild - len(parts)]))
    below = [match.removeprefix(folder) for match in matches]
    if ".run/" not in typed:
        # `**` would find the journal of an earlier run.
        below = [name for name in below if not any(part.endswith(".run") for part in name.split("/")[:-1])]
    if not below:
        raise InputError(f"{typed}: no file matches. Check the pattern, or name the files.")
    return [(folder + name, typed_folder + name) for name in below], typed


def _in_folder(folder: str, typed: str) -> tuple[list[tuple[str, str]], str]:
    head = f"{typed.rstrip('/')}/" if typed.rstrip("/") else "/"
    found, others = [], 0
    for name in sorted(_below(folder, set())):
        if kind_of(name) is None:
            others += 1
        else:
            found.append((os.path.join(folder, name), head + name))  # noqa: PTH118
    rest = f"{others:,} of {'another kind is' if others == 1 else 'other kinds are'} not read"
    if not found:
        state = f"has no file to read ({rest})" if others else "is an empty folder"
        raise InputError(f"{typed} {state}. {READS}")
    words = f"{len(found):,} file{'s' if len(found) > 1 else ''}{f'; {rest}' if others else ''}"
    return found, f"{typed} ({words})"


def _below(folder: str, seen: set[str]) -> Iterator[str]:
    """The files in `folder` by their paths below it; links to folders are followed, but never in a circle."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_passed_over(entry.name, is_folder=entry.is_dir()):
                    continue
                if not entry.is_dir():
                    yield entry.name
                else:
                    yield from (f"{entry.name}/{name}" for name in _below(entry.path, seen | {real}))
    except OSError as error:
        raise unreadable(folder, error) from error


def is_passed_over(name: str, *, is_folder: bool) -> bool:
    """Whether a folder's file or folder `name` is no input: hidden, set aside, or the journal of a run."""
    return name.startswith((".", "_")) or (is_folder and name.endswith(".run"))


def unescaped(pattern: str) -> str:
    """The job's own folder is escaped in `paths`, so that its brackets are no pattern."""
    return re.sub(r"\[([*?[])\]", r"\1", pattern)


def _checked(path: Path, typed: str, label: str) -> InputFile:
    found = kind_of(path.name)
    if found is None and path.exists():
        raise InputError(f"{typed}: its suffix says no format that is read. {READS}")
    try:
        if not path.is_file():
            path.stat()
            raise InputError(f"{typed} is not a file: it can't be read twice, as a resume has to.")
        with path.open("rb") as stream:
            head = stream.read(LONGEST_MAGIC)
            size = stream.seek(0, os.SEEK_END)
    except OSError as error:
        raise unreadable(typed, error) from error
    assert found is not None, "a file of no kind was refused above, or wasn't there to be opened"
    check_head(typed, *found, head)
    return InputFile(path, typed, label, *found, size)


def unreadable(typed: str, error: OSError) -> InputError:
    """The sentence for a file that the system doesn't give."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError(f"{typed} is not there. Relative paths are relative to the job file.")
    if isinstance(error, PermissionError):
        return InputError(f"{typed} can't be read: permission denied. Give this user the right to read it.")
    return InputError(f"{typed} can't be read: {error.strerror or error}.")
