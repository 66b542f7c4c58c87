"""What `input.path` names, as files to read, each of which is what its suffix says.

Rules: an absolute pattern's matches come in sorted order; a file named twice is read once; a path that
exists is a file even where it holds `*`. A file found by a pattern is called by the pattern's folder as
typed and its path below it. Whatever can't be read is one `InputError` that names it as typed.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FileKind", "InputFile", "find_files", "unreadable"]

_READ = "It reads .jsonl, .jsonl.gz and .parquet."
_LATER = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl.zst", ".ndjson.zst", ".csv.zst", ".json.zst")
_LONGEST_MAGIC = 4


class FileKind(Enum):
    """How a file is read. The value is the name to be told."""

    JSONL = "JSON lines"
    JSONL_GZ = "gzip"
    PARQUET = "Parquet"


_SUFFIXES = {
    ".jsonl": FileKind.JSONL,
    ".ndjson": FileKind.JSONL,
    ".jsonl.gz": FileKind.JSONL_GZ,
    ".ndjson.gz": FileKind.JSONL_GZ,
    ".parquet": FileKind.PARQUET,
}
# What a file's first bytes say, and what to do about it where the suffix says JSON lines.
_MAGIC = {
    b"\x1f\x8b": ("gzip", "Name it .jsonl.gz."),
    b"PAR1": ("Parquet", "Name it .parquet."),
    b"\x28\xb5\x2f\xfd": ("zstd", f"It is not read by this version yet. {_READ}"),
    b"\xff\xfe": ("UTF-16", "Save it as UTF-8."),
    b"\xfe\xff": ("UTF-16", "Save it as UTF-8."),
    b"PK\x03\x04": ("a zip archive", "Unpack it first."),
}


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read.

    `typed` is its name as `input.path` gives it, `label` the same or its base name if unique.
    """

    path: Path
    typed: str
    label: str
    kind: FileKind
    size: int


def find_files(paths: Iterable[str], typed: Iterable[str]) -> tuple[InputFile, ...]:
    """The files that `paths` (absolute, patterns kept) name, in the order they are read.

    Raises `InputError`.
    """
    found: dict[str, tuple[Path, str]] = {}
    for path, said in zip(paths, typed, strict=True):
        for file, name in _matches(path, said):
            found.setdefault(os.path.realpath(file), (Path(file), name))
    bases = Counter(file.name for file, _ in found.values())
    return tuple(_checked(file, name, file.name if bases[file.name] == 1 else name) for file, name in found.values())


def _matches(path: str, typed: str) -> Iterator[tuple[str, str]]:
    """Absolute path and name of each file that one entry of `input.path` names."""
    if "://" in typed:
        scheme = typed.partition("://")[0]
        raise InputError(f"`input.path` is a URL ({scheme}://), which is not read by this version yet. {_READ}")
    literal = _unescaped(path)
    if os.path.lexists(literal) or not glob.has_magic(typed):
        yield literal, typed
        return
    matches = sorted(match for match in glob.glob(path, recursive=True) if not Path(match).is_dir())  # noqa: PTH207
    if not matches:
        raise InputError(f"{typed}: no file matches. Check the pattern, or name the files.")
    parts = typed.split("/")
    wild = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    typed_folder = "".join(f"{part}/" for part in parts[:wild])
    folder = _unescaped("".join(f"{part}/" for part in path.split("/")[: wild - len(parts)]))
    for match in matches:
        yield match, typed_folder + match.removeprefix(folder)


def _unescaped(pattern: str) -> str:
    """The job's own folder is escaped in `paths`, so that its brackets are no pattern."""
    return re.sub(r"\[([*?[])\]", r"\1", pattern)


def _checked(path: Path, typed: str, label: str) -> InputFile:
    try:
        if path.is_dir():
            raise InputError(f"{typed}: a folder is not read by this version yet. Name {typed.rstrip('/')}/*.jsonl.")
        kind = _kind_of(typed, path.name.lower())
        if not path.is_file():
            path.stat()
            raise InputError(f"{typed} is not a file: it can't be read twice, as a resume has to.")
        with path.open("rb") as stream:
            head = stream.read(_LONGEST_MAGIC)
            size = stream.seek(0, os.SEEK_END)
    except OSError as error:
        raise unreadable(typed, error) from error
    if kind is FileKind.JSONL:
        for magic, (name, way_out) in _MAGIC.items():
            if head.startswith(magic):
                raise InputError(f"{typed} is {name}, not JSON lines. {way_out}")
    elif kind is FileKind.PARQUET and head != b"PAR1":
        raise InputError(f"{typed} is not Parquet: it doesn't begin with PAR1. Name it for what it is.")
    elif kind is FileKind.JSONL_GZ and head and not head.startswith(b"\x1f\x8b"):
        raise InputError(f"{typed} is not gzip: it doesn't begin with 1f 8b. Name it .jsonl if it is plain text.")
    return InputFile(path, typed, label, kind, size)


def _kind_of(typed: str, name: str) -> FileKind:
    for suffix, kind in _SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    later = next((suffix for suffix in _LATER if name.endswith(suffix)), None)
    if later is not None:
        raise InputError(f"{typed}: {later} is not read by this version yet. {_READ}")
    raise InputError(f"{typed}: its suffix says no format that is read. {_READ}")


def unreadable(typed: str, error: OSError) -> InputError:
    """The sentence for a file that the system doesn't give."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError(f"{typed} is not there. Relative paths are relative to the job file.")
    if isinstance(error, PermissionError):
        return InputError(f"{typed} can't be read: permission denied. Give this user the right to read it.")
    return InputError(f"{typed} can't be read: {error.strerror or error}.")
