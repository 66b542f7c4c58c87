"""A failure as a value: why the endpoint gave no list, no limits or no bill. No decision rests on its sentence."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Unavailable"]


class Unavailable(NamedTuple):
    """Why a lookup has no result: a `sentence` for the user, and the HTTP status where there was a response.

    `retryable`: the same lookup may succeed later, after no response, a 429 or a 5xx.
    """

    sentence: str
    http_status: int | None
    retryable: bool
