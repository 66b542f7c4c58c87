"""The first requests of a job as text for people, and as JSON lines for programs; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchchat.core.conversation import Message
from batchchat.lossless_json import dumps
from batchchat.preflight.preview import PreviewedRequest, RequestPreview
from batchchat.text import numbers

__all__ = ["preview_lines", "preview_text"]

_INDENT = "    "


def preview_text(preview: RequestPreview) -> str:
    """A headline, the requests with a heading for each message, and what is not sent of the rows before them."""
    count = len(preview.requests)
    first = "the first request" if count == 1 else f"the first {count:,} requests"
    lines = [f"{preview.name}: {first} to {preview.host}, {preview.source}; nothing is sent"]
    for number, request in enumerate(preview.requests, 1):
        lines += ["", *_request(request, f"{number} of {count}")]
    notes = [f"{numbers.rows(preview.left_out)} before these left out by `input.where`."] if preview.left_out else []
    if preview.invalid:
        notes += [f"{numbers.rows(preview.invalid)} before these can't be sent:"]
        notes += [f"  {sentence}" for sentence in preview.first_invalid]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def preview_lines(preview: RequestPreview) -> Iterator[str]:
    """The body of each request, as it would be sent, one a line."""
    return (request.body.decode("utf-8", "surrogateescape") for request in preview.requests)


def _request(request: PreviewedRequest, number: str) -> Iterator[str]:
    names = [f"row {request.key.id}"]
    names += [f"variant {request.key.variant}"] if request.key.variant else []
    names += [f"sample {request.key.sample}"] if request.key.sample else []
    yield f"── {number} · {' · '.join(names)} · {request.location} · {request.model}"
    for message in request.messages:
        yield from _message(message, str(message["role"]))
    for turn in request.turns:
        yield from _message(turn, f"{turn['role']}, after the reply")
    if request.params:
        yield "  params"
        yield from (f"{_INDENT}{name}: {_json(value)}" for name, value in request.params.items())


def _message(message: Message, heading: str) -> Iterator[str]:
    yield f"  {heading}"
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) and part.keys() <= {"type", "text"} else part
        if text is not None:
            shown = text if isinstance(text, str) else _json(text)
            yield from (f"{_INDENT}{line}".rstrip() for line in shown.split("\n"))
    for name, value in message.items():
        if name not in {"role", "content"}:
            yield f"{_INDENT}{name}: {_json(value)}"


def _json(value: Any) -> str:
    return dumps(value).decode("utf-8", "surrogateescape")
