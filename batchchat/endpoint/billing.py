"""Read an endpoint's bill for finished requests; pure.

The form is Hugging Face's for inference providers, which DeepInfra serves at `/v1/request-costs`: to
`{requestIds: [...]}` it responds with `{requests: [{requestId, costNanoUsd}]}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

__all__ = ["read_costs"]

_NANO_DIGITS = -9
_MAX_NANO_USD = 10**15
"""More than a million dollars for one answer is not a cost."""


def read_costs(payload: Any, ids: Sequence[str]) -> list[Decimal | None] | None:
    """The USD of each of `ids` in their order, None for an unknown one; None if `payload` has another form."""
    requests = payload.get("requests") if isinstance(payload, dict) else None
    if not isinstance(requests, list) or not all(isinstance(request, dict) for request in requests):
        return None
    costs = {id_: entry.get("costNanoUsd") for entry in requests if isinstance(id_ := entry.get("requestId"), str)}
    return [_usd(costs.get(id_)) for id_ in ids]


def _usd(nano_usd: Any) -> Decimal | None:
    if type(nano_usd) not in {int, float} or not 0 <= nano_usd <= _MAX_NANO_USD:
        return None
    return Decimal(repr(nano_usd)).scaleb(_NANO_DIGITS)
