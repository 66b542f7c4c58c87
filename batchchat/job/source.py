"""Where a job's text comes from: a file, or the keys that a Python program gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.errors import JobError, refuse_pipe
from batchchat.job.diagnostics import SourceLocation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JobSource", "source_of_file", "source_of_keys"]

MAX_BYTES = 1 << 20
# Files that people pass by mistake: the input, or the output.
_OTHER_SUFFIXES = {".parquet", ".jsonl", ".ndjson", ".csv", ".gz", ".zst"}
_TOO_LARGE = "is over 1 MiB, which is no job file. The job comes here; the rows are named in its `input.path`."


class JobSource(NamedTuple):
    """The YAML `text` of a job; relative paths in it are relative to `folder`.

    `path` is None where it is no file, and `name` is "" then: the job is called after its output.
    """

    text: str
    path: Path | None
    folder: Path
    name: str

    def location_at(self, line: int, column: int) -> SourceLocation:
        """Where in the job a line and column are, counted from 0; a job that is no file has no lines to be named."""
        if self.path is None:
            return SourceLocation("job", (0, line, column))
        return SourceLocation.in_file(str(self.path), line, column)


def source_of_keys(keys: Mapping[str, Any], folder: Path) -> JobSource:
    """The job whose keys and values are `keys`, as a job file would have them; `${` has no meaning in them.

    Raises `JobError` for a value that a job file can't hold.
    """
    from batchchat.job.python_values import yaml_text

    text = yaml_text(keys)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise JobError(["job: is over 1 MiB. The rows are named in its `input.path`."])
    return JobSource(text, None, folder, "")


def source_of_file(path: Path) -> JobSource:
    """The job file at `path`. Raises `JobError` if it can't be read as text."""
    return JobSource(_text(path), path, path.parent, path.stem)


def _text(path: Path) -> str:
    if path.suffix.lower() in _OTHER_SUFFIXES:
        raise JobError([f"{path}: {path.suffix} is no job file. A job is YAML, and names its rows and its output."])
    try:
        if path.is_dir():
            raise JobError([f"{path}: is a folder. Name the job file in it."])
        if not path.is_relative_to("/dev"):  # a shell gives what a command writes as /dev/fd/N
            refuse_pipe(path)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise JobError([f"{path}: there is no such file."]) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "not a path"
        raise JobError([f"{path}: can't be read: {reason}."]) from None
    if len(data) > MAX_BYTES:
        raise JobError([f"{path}: {_TOO_LARGE}"])
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise JobError(
            [f"{path}:{line}: this is not UTF-8 (byte 0x{data[exc.start]:02x}). Save the file as UTF-8."]
        ) from None
