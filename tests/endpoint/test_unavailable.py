"""Limits, models and bills that an endpoint does not give: why, and whether the lookup is worth repeating."""

from __future__ import annotations

import asyncio

import pytest

from batchchat.endpoint.unavailable import Unavailable
from tests.endpoint.server import Play, answer, client, sends, serving


@pytest.mark.parametrize(
    ("play", "result"),
    [
        (sends(answer(b"", 404)), Unavailable("HTTP 404", 404, retryable=False)),
        (sends(answer(b"", 429)), Unavailable("HTTP 429", 429, retryable=True)),
        (sends(answer(b"", 503)), Unavailable("HTTP 503", 503, retryable=True)),
        (sends(answer(b"", 600)), Unavailable("HTTP 600", 600, retryable=False)),
        (sends(answer(b"<html>")), Unavailable("an unexpected response", 200, retryable=False)),
        (sends(answer({"requests": 5})), Unavailable("an unexpected response", 200, retryable=False)),
        (sends(b"", stays=False), Unavailable("no response", None, retryable=True)),
    ],
)
def test_why_there_is_no_result(play: Play, result: Unavailable) -> None:
    """The status is a number, and no response, a 429 and a 5xx are retryable, whatever the sentence says."""

    async def main() -> object:
        async with serving(play) as server, client(server.url) as ours:
            return await ours.billed(server.url, ["a"])

    assert asyncio.run(main()) == result
