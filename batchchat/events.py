"""The closed list of things that happen in a run. The bar, the log, run.json and the summary subscribe to them.

An event says what happened in figures; how that reads is its subscriber's business. None holds a secret, a prompt or
a reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

__all__ = [
    "Budgeted",
    "Dearer",
    "Draining",
    "Event",
    "Failing",
    "Finished",
    "Planned",
    "Progress",
    "Publishing",
    "Replayed",
    "ServedByAnother",
    "Started",
    "Subscriber",
]


@dataclass(frozen=True, slots=True)
class Started:
    """A run begins: what, with which model, where, how many at once, from what."""

    name: str
    model: str
    host: str
    concurrency: int
    source: str
    recognised: str | None
    output: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """The journal of an earlier run was read; `damages` are sentences."""

    damages: tuple[str, ...]
    at_risk: int


@dataclass(frozen=True, slots=True)
class Planned:
    """What a resume will do. All are rows; `changed` ones were answered to another request."""

    total: int
    kept: int
    kept_changed: int
    resend_changed: int
    retry_failed: int
    new: int
    invalid: int
    gone: int


@dataclass(frozen=True, slots=True)
class Budgeted:
    """There is a cap on the job's cost: what counts against it already, and what the rows to send can cost at most.

    `unknown_rows` were answered before, nobody knows for how much. While `learning`, the run goes slowly.
    """

    max_cost_usd: Decimal
    paid_usd: Decimal
    unsure_usd: Decimal
    unknown_rows: int
    rows: int
    most_usd: Decimal
    learning: bool


@dataclass(frozen=True, slots=True)
class Dearer:
    """The endpoint charges `ratio` times the job's price; `overrun_usd` is what answers cost beyond their worst."""

    ratio: Decimal
    overrun_usd: Decimal


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the run, several times a second.

    `total` is None while nothing is known of it. `done` rows need nothing more: a row that is sent again is not done,
    though the output still has its earlier record.
    """

    elapsed_s: float
    total: int | None
    estimated: bool
    answered: int
    failed: int
    invalid: int
    done: int
    in_flight: int
    recovering: int
    ceiling: int
    cost_usd: Decimal | None
    expected_cost_usd: Decimal | None
    tokens_per_s: float
    rows_per_s: float
    eta_s: float | None
    max_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ServedByAnother:
    """The endpoint serves a model under another name than the one asked for; told once for each pair."""

    requested: str
    served: str


@dataclass(frozen=True, slots=True)
class Failing:
    """The first row that failed of its kind."""

    kind: str
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Draining:
    """Nothing new is sent; `in_flight` requests get up to `wait_s` seconds. A signal's second stops at once."""

    reason: str
    in_flight: int
    wait_s: float
    by_signal: bool = True


@dataclass(frozen=True, slots=True)
class Publishing:
    """The Parquet is being written."""

    rows: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over.

    Where something stopped it, `text` says what in full, and `reason` without what the endpoint said. `left` is None
    where that is not known. `change` are the words that the same command needs to go on: `--max-cost 12`.
    """

    exit_code: int
    text: str
    reason: str
    answered: int
    failed: int
    invalid: int
    left: int | None
    cost_usd: Decimal | None
    change: tuple[str, ...] = ()
    possibly_billed: int = 0
    possibly_billed_usd: Decimal | None = None


Event = (
    Started
    | Replayed
    | Planned
    | Budgeted
    | Dearer
    | Progress
    | ServedByAnother
    | Failing
    | Draining
    | Publishing
    | Finished
)
Subscriber = Callable[[Event], None]
