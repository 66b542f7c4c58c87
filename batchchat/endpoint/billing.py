"""What an endpoint says afterwards of what it billed; pure.

The form is Hugging Face's for inference providers, which DeepInfra serves at `/v1/request-costs`: asked with
`{requestIds: [...]}`, it answers `{requests: [{requestId, costNanoUsd}]}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

__all__ = ["read_costs"]

_NANO_DIGITS = -9
_MOST_NANO_USD = 10**15
"""A million dollars for one answer is no cost."""


def read_costs(payload: Any, ids: Sequence[str]) -> list[Decimal | None] | None:
    """The USD of each id, None where it is not known; None altogether where the answer is of another kind."""
    requests = payload.get("requests") if isinstance(payload, dict) else None
    if not isinstance(requests, list) or not all(isinstance(each, dict) for each in requests):
        return None
    told = {id_: each.get("costNanoUsd") for each in requests if isinstance(id_ := each.get("requestId"), str)}
    return [_usd(told.get(id_)) for id_ in ids]


def _usd(nano_usd: Any) -> Decimal | None:
    if type(nano_usd) not in {int, float} or not 0 <= nano_usd <= _MOST_NANO_USD:
        return None
    return Decimal(repr(nano_usd)).scaleb(_NANO_DIGITS)
