"""Local files as parts of a message: `{"type": "image_url", "image_url": {"url": "file:photos/1.jpg"}}`.

A path is relative to the job file. It is checked when its row is read, and stays a path in the row, the journal and the
output; what is in the file takes its place when the request is sent: as a data URL, of sounds as base64.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from batchchat.core.bad import Bad, BadReason
from batchchat.core.conversation import Message
from batchchat.lossless_json import dumps, loads, scrub

__all__ = ["MAX_FILE_BYTES", "LocalFiles"]

MAX_FILE_BYTES = 20 << 20
"""A larger file is refused; OpenAI takes 20 MB an image, others less."""
_PREFIX = "file:"
_EMPTY = "it is empty"
_MAGIC_BYTES = 16
_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
# The type of a part -> the field that a file may stand in, and whether it takes a data URL.
_FIELDS = {"image_url": ("url", True), "input_audio": ("data", False), "file": ("file_data", True)}


class _Reference(NamedTuple):
    """A file that is named in `holder[field]`; `where` is the place of that in the messages."""

    holder: dict[str, Any]
    field: str
    where: str
    is_url: bool

    @property
    def name(self) -> str:
        """The path as it is written."""
        written: str = self.holder[self.field].removeprefix(_PREFIX)
        return written.removeprefix("//")


class LocalFiles:
    """The files that rows of a job in `folder` may name: those in it, and all others too where `outside` allows it."""

    def __init__(self, folder: Path, *, outside: bool = False) -> None:
        self._folder = folder
        self._outside = outside
        self.used = False
        """Whether a message named a file."""

    def problem_in(self, messages: list[Message]) -> Bad | None:
        """What is wrong with the first file that can't be sent; None where there is no such file."""
        for message in messages:
            if type(message.get("content")) is list:
                return self._first_problem(messages)
        return None

    def _first_problem(self, messages: list[Message]) -> Bad | None:
        for reference in _references(messages):
            self.used = True
            path = self._path(reference)
            problem = path if isinstance(path, Bad) else _content_type(path, reference)
            if isinstance(problem, Bad):
                return problem
        return None

    def size(self, body: bytes) -> int:
        """About how many bytes the request `body` has with what is in its files; it blocks."""
        size = len(body)
        for reference in _references(loads(body)["messages"]):
            path = self._path(reference)
            if not isinstance(path, Bad):
                with suppress(OSError):
                    size += 3 * path.stat().st_size  # the bytes, their base64, and the body with that in it
        return size

    def expand(self, body: bytes) -> bytes | Bad | None:
        """The request `body` with what is in its files; `Bad` where one can't be read. It blocks while it reads.

        None where the body names no file.
        """
        content: dict[str, Any] = loads(body)
        references = list(_references(content["messages"]))
        for reference in references:
            path = self._path(reference)
            if isinstance(path, Bad):
                return path
            content_type = _content_type(path, reference)
            if isinstance(content_type, Bad):
                return content_type
            try:
                with open(path, "rb", opener=_open) as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            except OSError as error:
                return _bad(reference, f"it can't be read: {error.strerror}")
            if not data or len(data) > MAX_FILE_BYTES:
                return _bad(reference, _TOO_LARGE if data else _EMPTY)
            encoded = b64encode(data).decode()
            reference.holder[reference.field] = f"data:{content_type};base64,{encoded}" if reference.is_url else encoded
        return dumps(content) if references else None

    def _path(self, reference: _Reference) -> Path | Bad:
        """The path of a file that is there, may be read and is not too large."""
        try:
            path = (self._folder / reference.name).resolve()
            if not self._outside and not path.is_relative_to(self._folder.resolve()):
                return _bad(
                    reference,
                    "it is outside of the job file's folder. `input.allow_outside_files: true` allows that",
                )
            status = path.stat()
        except FileNotFoundError:
            return _bad(reference, "there is no such file")
        except (OSError, ValueError, RuntimeError) as error:  # no path, or links in a circle
            return _bad(reference, f"it can't be read: {getattr(error, 'strerror', None) or 'not a path'}")
        if not stat.S_ISREG(status.st_mode):
            return _bad(reference, "it is no file")
        if not status.st_size:
            return _bad(reference, _EMPTY)
        return _bad(reference, _TOO_LARGE) if status.st_size > MAX_FILE_BYTES else path


_TOO_LARGE = f"it is larger than {MAX_FILE_BYTES >> 20} MiB"


def _bad(reference: _Reference, reason: str) -> Bad:
    return Bad(f"`{reference.where}` is {scrub(reference.holder[reference.field])}: {reason}.", BadReason.FILE)


def _references(messages: list[Message]) -> Iterator[_Reference]:
    """The files that the parts of `messages` name."""
    for at, message in enumerate(messages):
        content = message.get("content")
        if type(content) is not list:
            continue
        for number, part in enumerate(content):
            kind = part.get("type") if isinstance(part, dict) else None
            if not isinstance(kind, str) or kind not in _FIELDS:
                continue
            field, is_url = _FIELDS[kind]
            where = f"messages[{at}].content[{number}].{kind}"
            # Some endpoints take the URL itself as `image_url`.
            holder, field, where = (
                (part, kind, where) if isinstance(part.get(kind), str) else (part.get(kind), field, f"{where}.{field}")
            )
            value = holder.get(field) if isinstance(holder, dict) else None
            if isinstance(holder, dict) and isinstance(value, str) and value.startswith(_PREFIX):
                yield _Reference(holder, field, where, is_url)


def _content_type(path: Path, reference: _Reference) -> str | Bad:
    """The media type of the file at `path`, by its name or its first bytes; audio needs none."""
    guessed, packing = mimetypes.guess_type(path.name)
    if not reference.is_url or (guessed is not None and packing is None):
        return guessed or ""
    try:
        with path.open("rb") as file:
            head = file.read(_MAGIC_BYTES)
    except OSError as error:
        return _bad(reference, f"it can't be read: {error.strerror}")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    media_type = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    return media_type or _bad(reference, "its kind is not known, neither by its name nor by its first bytes")


def _open(path: str, flags: int) -> int:
    """A pipe in the place of a file that was checked must not make its reader wait: it is opened, and has no bytes."""
    return os.open(path, flags | os.O_NONBLOCK)
