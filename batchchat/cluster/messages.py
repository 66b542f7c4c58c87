"""What a worker and the lessor of a job's limits say to each other: an `Ask`, and the `Grant` that answers it.

Each message carries the sender's whole state and a number that rises, and only the newest counts. So one that comes
twice, late or out of order is harmless, and one that is lost is made up for by the next. What was granted is a total
since the worker's start; what a worker gives back it simply no longer reports as held. No message carries a time of
day: two machines' clocks differ, so a lease lasts for a duration from when the ask it answers was sent.

Requests and tokens are *credits*: they are granted, held for a while, and spent. Slots are a level that lasts until the
lease expires. USD is a cap on what a worker may count as spent, reserved or free to spend.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

__all__ = ["Ask", "CreditReport", "Grant", "UsdReport", "ask_from_json", "grant_from_json", "message_to_json"]

_NO_USD = Decimal(0)


class CreditReport(NamedTuple):
    """A worker's requests, or its tokens, all since its start.

    `spent`: what its requests used, less what was charged for them too much. `held`: what it can spend without
    asking. `heard`: the total granted, as far as it has heard.
    `needed`: what it lacks for the next request that waits, 0 where none does. `wanted`: what it can use before it asks
    again; at least `needed`.
    """

    spent: float = 0.0
    held: float = 0.0
    heard: float = 0.0
    needed: float = 0.0
    wanted: float = 0.0


class UsdReport(NamedTuple):
    """A worker's money in USD, counted over all its journal, with earlier runs.

    `cap`: what it may count at most, `heard` of it granted since its start. `settled`: what it has paid or may have
    paid. `reserved`: for requests in flight. `needed` and `wanted` are as in a `CreditReport`; `needed` is infinite for
    a request without a bound. `answers` have settled at this price; `max_ratio` is the ratio of real to expected cost
    that they have shown, `outlier` that of one which stands alone.
    """

    cap: Decimal = _NO_USD
    heard: Decimal = _NO_USD
    settled: Decimal = _NO_USD
    reserved: Decimal = _NO_USD
    needed: Decimal = _NO_USD
    wanted: Decimal = _NO_USD
    answers: int = 0
    max_ratio: Decimal = _NO_USD
    outlier: Decimal = _NO_USD


class Ask(NamedTuple):
    """What a worker has and wants. The parent numbers the worker's starts by `incarnation`, from 1.

    `number` counts this incarnation's asks from 1; `heard` is the number of the newest grant it has applied, 0 before
    the first. `slots_held` is the most it has or may have in flight until it hears of a newer grant; `slots_wanted` is
    what it could use. A limit that the job does not have is None.
    """

    worker: str
    incarnation: int
    number: int
    heard: int
    slots_held: int
    slots_wanted: int
    requests: CreditReport | None = None
    tokens: CreditReport | None = None
    usd: UsdReport | None = None


class Grant(NamedTuple):
    """The answer to the ask `ask_number`; `number` counts the grants to this incarnation from 1.

    `slots` may be in flight for `lasts_s` seconds from when that ask was sent; afterwards none may be sent.
    `requests`, `tokens` and `usd` are totals granted since the incarnation's start. `is_spent_up`: no more USD will be
    granted in this run, and nothing in flight can free any. `answers` and `max_ratio` are what all workers' answers
    have shown of the price.
    """

    worker: str
    incarnation: int
    number: int
    ask_number: int
    slots: int
    lasts_s: float
    requests: float = 0.0
    tokens: float = 0.0
    usd: Decimal = _NO_USD
    is_spent_up: bool = False
    answers: int = 0
    max_ratio: Decimal = _NO_USD


def message_to_json(message: Ask | Grant) -> dict[str, Any]:
    """The message as a JSON object; USD are decimal texts."""
    return {name: _to_json(value) for name, value in message._asdict().items()}


def ask_from_json(fields: Mapping[str, Any]) -> Ask:
    """The ask that `message_to_json` made `fields` of. Raises `TypeError` where a field is not known or missing."""
    requests, tokens, usd = fields.get("requests"), fields.get("tokens"), fields.get("usd")
    return Ask(
        **{
            **fields,
            "requests": None if requests is None else CreditReport(**requests),
            "tokens": None if tokens is None else CreditReport(**tokens),
            "usd": None if usd is None else UsdReport(**_decimals(UsdReport._field_defaults, usd)),
        }
    )


def grant_from_json(fields: Mapping[str, Any]) -> Grant:
    """The grant that `message_to_json` made `fields` of. Raises `TypeError` where a field is not known or missing."""
    return Grant(**_decimals(Grant._field_defaults, fields))


def _to_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return {name: _to_json(part) for name, part in value._asdict().items()} if hasattr(value, "_asdict") else value


def _decimals(defaults: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields`, with those as decimals whose default is one."""
    return {
        name: Decimal(value) if isinstance(defaults.get(name), Decimal) else value for name, value in fields.items()
    }
