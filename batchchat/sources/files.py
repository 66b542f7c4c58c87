"""The files that `input.path` names.

Rules: the matches of a pattern, and the files in a folder, are in sorted order. A file that is named twice is read
once. A path that exists is a file even if it contains `*`. The name of a file that was found by a pattern or in a
folder is the folder as given in the job, and the path below it. A folder is read recursively, except names that begin
with `.` or `_` and `*.run` folders; files of other kinds in it are counted, not read. A file that can't be read, or
whose content contradicts its suffix, raises one `InputError` with its name as given. Folders named `KEY=VALUE` are
columns of the files in them.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.object_store.url import is_url
from batchchat.sources.file_types import MAX_MAGIC_BYTES, READS, FileKind, Packing, check_head, file_kind
from batchchat.sources.ignored import folder_description, is_ignored, is_in_run_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batchchat.sources.remote_object import RemoteObject

__all__ = [
    "ByteStream",
    "InputFile",
    "InputFiles",
    "Record",
    "find_files",
    "open_file",
    "read_error",
    "unescape_pattern",
]

_DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"

Record = tuple[int, dict[str, Any] | Bad]
"""The line or row number, from 1, and the columns, or why the record can't be read."""


class InputFile(NamedTuple):
    """A file to read, on this machine or in a store.

    `as_given` is its name as given in `input.path`; `label` is its base name, or `as_given` if that is not unique or a
    URL.
    """

    path: Path | RemoteObject
    as_given: str
    label: str
    kind: FileKind
    packing: Packing
    size: int

    @property
    def partition(self) -> dict[str, str | None]:
        """The columns that the names of its folders hold, as Hive writes them: `lang=de/year=2024/`."""
        folders = (part.partition("=") for part in self.as_given.split("/")[:-1])
        return {
            unquote(name): None if value == _DEFAULT_PARTITION else unquote(value)
            for name, equals, value in folders
            if name and equals
        }


class InputFiles(NamedTuple):
    """The files of an input in reading order, and a description of each entry of `input.path`."""

    files: tuple[InputFile, ...]
    entries: tuple[str, ...]


def find_files(paths: Iterable[str], as_given: Iterable[str], environ: Mapping[str, str] = os.environ) -> InputFiles:
    """The files that `paths` name (absolute paths, patterns and URLs; `as_given`: as written in the job).

    `environ` has the credentials of stores. Raises `InputError`.
    """
    files: dict[str, tuple[Path | RemoteObject, str]] = {}
    entries: list[str] = []
    pairs = list(zip(paths, as_given, strict=True))
    remote = _remote([path for path, _ in pairs if is_url(path)], environ)
    for path, entry in pairs:
        if is_url(path):
            objects, described = next(remote)
            for item in objects:
                files.setdefault(item.url.secret.reveal(), (item, item.url.shown))
        else:
            matches, described = _matches(path, entry)
            for file, name in matches:
                files.setdefault(os.path.realpath(file), (Path(file), name))
        entries.append(described)
    bases = Counter(file.name for file, _ in files.values() if isinstance(file, Path))
    checked = (_checked(file, name, bases) for file, name in files.values())
    return InputFiles(tuple(checked), tuple(entries))


def _remote(urls: list[str], environ: Mapping[str, str]) -> Iterator[tuple[list[RemoteObject], str]]:
    """The objects that each of `urls` names, and a description of it."""
    if not urls:
        return iter(())
    from batchchat.sources.remote_files import find_remote  # obstore, of the extra `stores`

    return iter(find_remote(urls, environ))


def _matches(path: str, as_given: str) -> tuple[list[tuple[str, str]], str]:
    """The absolute path and name of each file that an entry of `input.path` names, and a description of the entry."""
    literal = unescape_pattern(path)
    if os.path.isdir(literal):  # noqa: PTH112 (`Path.is_dir` may raise)
        return _in_folder(literal, as_given)
    if os.path.lexists(literal) or not glob.has_magic(as_given):
        return [(literal, as_given)], as_given
    matches = sorted(match for match in glob.glob(path, recursive=True) if not os.path.isdir(match))  # noqa: PTH112, PTH207
    parts = as_given.split("/")
    wild = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    folder_as_given = "".join(f"{part}/" for part in parts[:wild])
    folder = unescape_pattern("".join(f"{part}/" for part in path.split("/")[: wild - len(parts)]))
    below = [match.removeprefix(folder) for match in matches]
    below = [name for name in below if not is_in_run_folder(name, as_given)]
    if not below:
        raise InputError(f"{as_given}: no file matches. Check the pattern, or name the files.")
    return [(folder + name, folder_as_given + name) for name in below], as_given


def _in_folder(folder: str, as_given: str) -> tuple[list[tuple[str, str]], str]:
    head = f"{as_given.rstrip('/')}/" if as_given.rstrip("/") else "/"
    files, unread = [], 0
    for name in sorted(_below(folder, set())):
        if file_kind(name) is None:
            unread += 1
        else:
            files.append((os.path.join(folder, name), head + name))  # noqa: PTH118
    return files, folder_description(as_given, "file", len(files), unread, empty="is an empty folder")


def _below(folder: str, parents: set[str]) -> Iterator[str]:
    """The paths, relative to `folder`, of all files below it; links to folders are followed, without looping."""
    real = os.path.realpath(folder)
    if real in parents:
        return
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_ignored(entry.name, is_folder=entry.is_dir()):
                    continue
                if not entry.is_dir():
                    yield entry.name
                else:
                    yield from (f"{entry.name}/{name}" for name in _below(entry.path, parents | {real}))
    except OSError as error:
        raise read_error(folder, error) from error


def unescape_pattern(pattern: str) -> str:
    """`pattern` without glob escapes. The job's folder is escaped in `paths`, so that its brackets are no pattern."""
    return re.sub(r"\[([*?[])\]", r"\1", pattern)


def _checked(file: Path | RemoteObject, as_given: str, bases: Counter[str]) -> InputFile:
    if not isinstance(file, Path):
        return _checked_remote(file, as_given)
    kind = file_kind(file.name)
    if kind is None and os.path.exists(file):  # noqa: PTH110
        raise InputError(f"{as_given}: its suffix says no format that is read. {READS}")
    try:
        if not os.path.isfile(file):  # noqa: PTH113
            file.stat()
            raise InputError(f"{as_given} is not a file: it can't be read twice, as a resume has to.")
        with file.open("rb") as stream:
            head = stream.read(MAX_MAGIC_BYTES)
            size = stream.seek(0, os.SEEK_END)
    except OSError as error:
        raise read_error(as_given, error) from error
    assert kind is not None, "a file of no kind was refused above, or wasn't there to be opened"
    check_head(as_given, *kind, head)
    return InputFile(file, as_given, file.name if bases[file.name] == 1 else as_given, *kind, size)


def _checked_remote(file: RemoteObject, as_given: str) -> InputFile:
    kind = file_kind(file.url.key)
    if kind is None:
        raise InputError(f"{as_given}: its suffix says no format that is read. {READS}")
    check_head(as_given, *kind, file.head[:MAX_MAGIC_BYTES])
    return InputFile(file, as_given, as_given, *kind, file.size)


class ByteStream(Protocol):
    """What readers need of an open file: `read` gives b"" at its end only, but may give less than `size` bytes."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...

    def tell(self) -> int: ...


def open_file(file: InputFile) -> AbstractContextManager[ByteStream]:
    """Open `file` wherever it is; it is read from its start to its end. Raises `OSError` and `InputError`."""
    if isinstance(file.path, Path):
        return file.path.open("rb")
    from batchchat.sources.remote_stream import RemoteStream

    return RemoteStream.of(file.path)


def read_error(as_given: str, error: OSError) -> InputError:
    """The error for a file that the operating system can't open or read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        # What an output can be called.
        by_job = " If another job writes it, run it first." if Path(as_given).suffix in {"", ".parquet"} else ""
        return InputError(f"{as_given} is not there. Relative paths are relative to the job's folder.{by_job}")
    if isinstance(error, PermissionError):
        return InputError(f"{as_given} can't be read: permission denied. Give this user the right to read it.")
    return InputError(f"{as_given} can't be read: {error.strerror or error}.")
