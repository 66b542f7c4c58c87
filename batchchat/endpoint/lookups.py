"""What a run asks an endpoint for besides completions: the account's limits, the list of models, what was billed.

Each lookup has a connection of its own: one that an endpoint closes, or leaves unread bytes in, must not be the next
request's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp

from batchchat import lossless_json
from batchchat.endpoint.billing import read_costs
from batchchat.endpoint.model_list import read_listing
from batchchat.endpoint.quota import Allowance, read_allowance
from batchchat.endpoint.reading import BodyTooLargeError, ReadingMemory, read_bytes
from batchchat.endpoint.unavailable import Unavailable
from batchchat.pricing.rates import ListedModel

__all__ = ["LOOKUP_S", "ModelListLearner", "allowance", "billed", "listing"]

Answer = TypeVar("Answer")

LOOKUP_S = 10.0
"""How long a run waits at most for limits, a list of models or a bill."""
_LIST_WAITS_S = (0.5, 1.0, 2.0)
"""Between the first tries for the list of models, which costs and a budget depend on."""
_FIRST_PAUSE_S, _MAX_PAUSE_S = 15.0, 300.0
_OK, _TOO_MANY_REQUESTS, _SERVER_ERROR = 200, 429, 500


async def _look_up(
    session: aiohttp.ClientSession,
    url: str,
    read: Callable[[Any], Answer | None],
    max_bytes: int,
    body: bytes | None = None,
) -> Answer | Unavailable:
    """The JSON that a GET of `url` (a POST, given a `body`) returns, as `read` reads it; or why there is none.

    `read` returns None for a payload of another form.
    """
    timeout = aiohttp.ClientTimeout(total=LOOKUP_S)
    method = "GET" if body is None else "POST"
    try:
        async with session.request(method, url, data=body, timeout=timeout, allow_redirects=False) as response:
            data, broken = await read_bytes(response, max_bytes, ReadingMemory(), response)
    except TimeoutError:
        return Unavailable(f"no response within {LOOKUP_S:g} s", None, retryable=True)
    except (aiohttp.ClientError, OSError, BodyTooLargeError):
        return Unavailable("no response", None, retryable=True)
    status = response.status
    if status != _OK:
        retryable = status == _TOO_MANY_REQUESTS or _SERVER_ERROR <= status < _SERVER_ERROR + 100
        return Unavailable(f"HTTP {status}", status, retryable)
    try:
        answer = read(lossless_json.loads_lenient(data))
    except ValueError:
        answer = None
    if answer is None and broken is not None:
        return Unavailable("no response", None, retryable=True)
    return Unavailable("an unexpected response", status, retryable=False) if answer is None else answer


async def listing(
    session: aiohttp.ClientSession, url: str, max_bytes: int, *, once: bool = False
) -> dict[str, ListedModel] | Unavailable:
    """The endpoint's list of models, by id. A failure that may pass is tried again a few times, if not `once`."""
    started_at = time.monotonic()
    for wait_s in (LOOKUP_S,) if once else (*_LIST_WAITS_S, LOOKUP_S):
        models = await _look_up(session, url, read_listing, max_bytes)
        late = time.monotonic() - started_at + wait_s > LOOKUP_S
        if not isinstance(models, Unavailable) or not models.retryable or late:
            break
        await asyncio.sleep(wait_s)
    return models


async def allowance(session: aiohttp.ClientSession, url: str, max_bytes: int) -> Allowance | Unavailable:
    """What the account may do at once, from `url`."""
    return await _look_up(session, url, read_allowance, max_bytes)


async def billed(
    session: aiohttp.ClientSession, url: str, ids: Sequence[str], max_bytes: int
) -> list[Decimal | None] | Unavailable:
    """What was billed for each response id, in USD, from `url`; None for an id that the endpoint does not know."""
    body = lossless_json.dumps({"requestIds": ids})
    return await _look_up(session, url, lambda payload: read_costs(payload, ids), max_bytes, body)


class ModelListLearner:
    """Asks for the list of models when the first cost is unknown, and again after a pause where it failed.

    `ask` gets the list, `learn` is given it.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[dict[str, ListedModel] | Unavailable]],
        learn: Callable[[Mapping[str, ListedModel]], None],
        clock: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._learn = learn
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._next_at = 0.0
        self._failed = False
        self.done = False
        """True once the list is known, or will never be."""

    async def needed(self) -> None:
        """A cost is unknown without the list. The first replies wait for it; later ones do not, if it failed once."""
        if self._task is None and self._clock() >= self._next_at:
            self._task = asyncio.create_task(self._fetch())
        if self._task is not None and not self._failed:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """End a lookup that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _fetch(self) -> None:
        models = await self._ask()
        if not isinstance(models, Unavailable):
            self._learn(models)
        self.done = not isinstance(models, Unavailable) or not models.retryable
        self._failed = not self.done
        self._next_at = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)
        self._task = None
