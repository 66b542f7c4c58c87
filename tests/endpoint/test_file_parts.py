"""Requests that name local files: what is in them is sent, and the attempt keeps the paths."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from batchchat.core.attempt import Action, Attempt, Billed, Request, Verdict
from batchchat.core.bad import Bad
from batchchat.core.conversation import ErrorKind, Key
from batchchat.endpoint import file_parts
from batchchat.endpoint.file_parts import FilePartSender, names_files
from batchchat.lossless_json import dumps

BODY = b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:a.png"}}]}]}'
REQUEST = Request(Key("a"), 0, "m", [], BODY, 7)
MIB = 1 << 20


class Folder:
    """Files of `bytes_each` whose content is `expanded`."""

    def __init__(self, expanded: bytes | Bad | None, bytes_each: int = 0) -> None:
        self.expanded, self.bytes_each = expanded, bytes_each

    def size(self, body: bytes) -> int:
        return self.bytes_each

    def expand(self, body: bytes) -> bytes | Bad | None:
        return self.expanded


def sending() -> tuple[list[bytes], Callable[[Request], Awaitable[Attempt]]]:
    bodies: list[bytes] = []

    async def send(request: Request) -> Attempt:
        bodies.append(request.body)
        await asyncio.sleep(0)
        return Attempt(request, Verdict(Action.ACCEPT), 0, 0, 0)

    return bodies, send


def test_the_body_is_expanded_for_one_attempt() -> None:
    """What the journal and a retry see is the request with the path."""
    bodies, send = sending()
    attempt = asyncio.run(FilePartSender(Folder(b"large"), send)(REQUEST))
    assert bodies == [b"large"]
    assert attempt.request is REQUEST
    asyncio.run(FilePartSender(Folder(None), send)(REQUEST))
    assert bodies[1:] == [BODY]


def test_a_file_that_is_gone_fails_its_row() -> None:
    """Nothing is sent, so nothing may have been billed, and it is not tried again."""
    bodies, send = sending()
    attempt = asyncio.run(FilePartSender(Folder(Bad("it is gone")), send)(REQUEST))
    assert bodies == []
    assert (attempt.verdict.action, attempt.verdict.billed) == (Action.FAIL_ROW, Billed.NO)
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.text) == (ErrorKind.INVALID_INPUT, "it is gone")


def test_memory_is_bounded() -> None:
    """Requests wait for room; one that is larger than all the room there is goes alone."""
    in_flight = highest = 0

    async def send(request: Request) -> Attempt:
        nonlocal in_flight, highest
        in_flight += 1
        highest = max(highest, in_flight)
        await asyncio.sleep(0.001)
        in_flight -= 1
        return Attempt(request, Verdict(Action.ACCEPT), 0, 0, 0)

    async def all_of(count: int, bytes_each: int) -> int:
        nonlocal highest
        highest = 0
        sender = FilePartSender(Folder(b"x", bytes_each), send)
        await asyncio.gather(*(sender(REQUEST) for _ in range(count)))
        return highest

    limit = file_parts._MAX_BYTES
    assert asyncio.run(all_of(12, limit // 4)) <= 4
    assert asyncio.run(all_of(3, 2 * limit)) == 1


def request_of(content: Any) -> Request:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": content}]
    return REQUEST._replace(messages=messages, body=dumps({"model": "m", "messages": messages}))


def test_which_requests_are_looked_at() -> None:
    """Only those that may name a file are parsed: as a part, which a text is not, whatever it says."""
    part = {"type": "image_url", "image_url": {"url": "file:a.png"}}
    assert names_files(request_of([part]))
    assert not names_files(request_of([{"type": "text", "text": "a file:a.png"}]))
    assert not names_files(request_of("file:a.png"))
