"""The first requests of a job, just as they would be sent. Nothing is sent or written, and no journal is read.

It is a fold over the same tasks as a run, so that whatever makes requests of rows shows here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.core.conversation import BadRow, Key, Message
from batchchat.endpoint.wire import as_stream
from batchchat.errors import InputError
from batchchat.execution.messages import nothing_good
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, RowTask, looked_up_tasks
from batchchat.job import JobSpec
from batchchat.pricing.for_job import rates_for
from batchchat.sources import Source, open_source
from batchchat.store.index import Index

__all__ = ["PreviewedRequest", "RequestPreview", "preview"]


class PreviewedRequest(NamedTuple):
    """One request of the row `key` at `location`.

    `body` is the JSON that would be sent; `model`, `messages` and `params` are its parts. `turns` are user messages
    that are sent later, each with the reply to what is before it. `step` counts the requests of the row from 0.
    """

    key: Key
    location: str
    step: int
    body: bytes
    model: str
    messages: Sequence[Message]
    params: Mapping[str, Any]
    turns: Sequence[Message]


@dataclass(slots=True)
class RequestPreview:
    """The first requests, and the rows on the way to them that can't be sent: their number, and the first few."""

    name: str
    host: str
    source: str
    requests: list[PreviewedRequest] = field(default_factory=list)
    invalid: int = 0
    first_invalid: list[str] = field(default_factory=list)
    left_out: int = 0


_MAX_INVALID_SHOWN = 3


def preview(job: JobSpec, count: int) -> RequestPreview:
    """The first `count` requests of `job`. Raises `InputError` if its input can't be read or has no good row."""
    source = open_source(job.input, job.template, job.systems)
    result = RequestPreview(job.name, job.host, source.description)
    for task in _tasks(job, source):
        if isinstance(task, BadRow):
            result.invalid += 1
            if len(result.first_invalid) < _MAX_INVALID_SHOWN:
                result.first_invalid.append(f"{task.location}: {task.error}")
            continue
        result.requests += _requests(task, streams=job.per_endpoint[0].endpoint.stream)
        if len(result.requests) >= count:
            break
    result.left_out = source.left_out
    if not result.requests:
        raise InputError(nothing_good(job, next(iter(result.first_invalid), None), source.left_out))
    del result.requests[count:]
    return result


def _tasks(job: JobSpec, source: Source) -> Iterator[RowTask | BadRow]:
    return looked_up_tasks(source, scripts_for(job, rates_for(job)), Index(), ResumeRules())


def _requests(task: RowTask, *, streams: bool) -> Iterator[PreviewedRequest]:
    for request in task.script.preview:
        body = as_stream(request.body) if streams else request.body
        content: dict[str, Any] = lossless_json.loads(body)
        params = {name: value for name, value in content.items() if name not in {"model", "messages"}}
        yield PreviewedRequest(
            request.key,
            task.row.location,
            request.step,
            body,
            request.model,
            content["messages"],
            params,
            task.row.turns if request.step == 0 else (),
        )
