"""The closed list of things that happen in a run. The bar, the log, run.json and the summary subscribe to them.

An event has figures; its subscribers format them. None holds a secret, a prompt or a reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from batchchat.core.endpoint_events import (
    CeilingLowered,
    CeilingRaised,
    EndpointDown,
    EndpointProgress,
    EndpointRetired,
    EndpointsChanged,
    EndpointUp,
    OfEndpoint,
)
from batchchat.core.next_step import AS_BEFORE, NextStep
from batchchat.core.notices import (
    ChangedRowsLeft,
    ContextLimitFound,
    CostOutlier,
    EndpointHeld,
    FirstFailure,
    GatewayTimeoutFound,
    IdsNotInInput,
    Notice,
    OtherModelServed,
    OtherTierServed,
    PriceRatioRaised,
    PromptTruncated,
    ResponseFormatRefused,
    RowOverdue,
    StreamNoticed,
)
from batchchat.core.row_counts import RowCounts
from batchchat.core.run_figures import RunFigures

__all__ = [
    "AwaitedRow",
    "Budgeted",
    "CeilingLowered",
    "CeilingRaised",
    "ChangedRowsLeft",
    "ContextLimitFound",
    "CostOutlier",
    "Draining",
    "EndpointDown",
    "EndpointHeld",
    "EndpointProgress",
    "EndpointRetired",
    "EndpointUp",
    "EndpointsChanged",
    "Environment",
    "Event",
    "Finished",
    "FirstFailure",
    "GatewayTimeoutFound",
    "IdsNotInInput",
    "InputNoted",
    "LimitsRead",
    "OfEndpoint",
    "OnFinishFailed",
    "OtherModelServed",
    "OtherTierServed",
    "Planned",
    "PriceRatioRaised",
    "Progress",
    "PromptTruncated",
    "Publishing",
    "Refused",
    "Replayed",
    "ResponseFormatRefused",
    "RowOverdue",
    "Started",
    "StreamNoticed",
    "Subscriber",
]


class Started(NamedTuple):
    """A run begins. The ceiling of requests in flight is None where the endpoint is asked, 0 where nothing is sent.

    Each input row becomes a row for each of `samples` of each of `variants`.
    """

    name: str
    model: str
    host: str
    concurrency: int | None
    source: str
    recognised: str | None
    output: str
    variants: int = 1
    samples: int = 1


class InputNoted(NamedTuple):
    """Sentences about what the input has and is not sent, and about names that are likely misspelt."""

    sentences: tuple[str, ...]


class Environment(NamedTuple):
    """The process and the job's limits, for run.log: `place` describes this machine, `rules` the job's limits."""

    version: str
    place: str
    pid: int
    host: str
    job: str
    output: str
    rules: str


class Replayed(NamedTuple):
    """The journal of an earlier run was read; `damages` are sentences."""

    damages: tuple[str, ...]
    at_risk: int


class Planned(NamedTuple):
    """What a resume will do. All are rows; `changed` ones were answered to another request, `later` a pilot leaves.

    Among the `kept` are the `undecided`, whose request changed, and the `taken_over`, whose answer another row had that
    is gone from the input or has another request there. `refreshed` rows have new values in passthrough columns.
    `used_up` rows have no attempt left, and fail without being sent; `shared` ones have the answer of another row.
    Each input row becomes `variants` times `samples` rows. `is_estimate`: `total` and `new` are, from the bytes read.
    """

    total: int
    kept: int
    kept_changed: int
    resend_changed: int
    retry_failed: int
    new: int
    invalid: int
    gone: int
    later: int = 0
    resend_answered: int = 0
    undecided: int = 0
    taken_over: int = 0
    refreshed: int = 0
    used_up: int = 0
    shared: int = 0
    variants: int = 1
    samples: int = 1
    is_estimate: bool = False


class Budgeted(NamedTuple):
    """There is a cap on the job's cost: what counts against it already, and what the rows to send can cost at most.

    `unknown_rows` were answered in earlier runs at unknown cost.
    """

    max_cost_usd: Decimal
    paid_usd: Decimal
    uncertain_usd: Decimal
    unknown_rows: int
    rows: int
    max_rows_usd: Decimal
    price: str | None = None
    """The price used, in words, where it is not the job's own."""
    learning: tuple[int, int] | None = None
    """At first only so many requests are in flight, until so many answers have shown the real price."""


class LimitsRead(NamedTuple):
    """The limits the endpoint reports, in flight and a minute, or `why` they are unknown; `concurrency` is used."""

    requests: int | None
    tokens_per_minute: int | None
    concurrency: int
    why: str | None = None


class Progress(NamedTuple):
    """The state of the run, several times a second.

    `rows` are the whole job's. `total` rows are to be done in this run, None while that is unknown; where it is the
    input's and not a limit's, it may be `estimated`. `estimated_total` is what is known of an input whose end was not
    seen. `done` rows are finished: a row that is sent again is not done, though the
    output still has its earlier record. `ceiling` moves under `max_ceiling`. While the endpoint is down,
    `down_since` (epoch) says since when; `held_s` is how long it wants nothing sent.
    """

    elapsed_s: float
    total: int | None
    estimated: bool
    rows: RowCounts
    done: int
    in_flight: int
    recovering: int
    ceiling: int
    cost_usd: Decimal | None
    expected_cost_usd: Decimal | None
    tokens_per_s: float
    rows_per_s: float
    eta_s: float | None
    failures: Mapping[str, int]
    """Failed rows by kind."""
    retries: Mapping[str, int]
    """Attempts of this run that were tried again, by kind."""
    estimated_total: int | None = None
    outdated: int = 0
    """Rows that have a record and are sent again."""
    finished_count: int = 0
    """Rows that this run finished."""
    max_cost_usd: Decimal | None = None
    cost_per_hour_usd: float | None = None
    """At the pace of the last half minute."""
    max_ceiling: int = 0
    down_since: float | None = None
    down_why: str | None = None
    """What the endpoint answered last, where it is down."""
    probe_in_s: float = 0.0
    held_s: float = 0.0
    awaited: AwaitedRow | None = None
    endpoints: Sequence[EndpointProgress] = ()
    """Where the job has several."""


class AwaitedRow(NamedTuple):
    """The last row a run waits for: its id, how long it has been in flight, and when it is cut off."""

    id: str
    running_s: float
    cutoff_s: float


class Draining(NamedTuple):
    """Nothing new is sent; `in_flight` requests get up to `wait_s` seconds. A signal's second stops at once."""

    reason: str
    in_flight: int
    wait_s: float
    by_signal: bool = True


class Publishing(NamedTuple):
    """The Parquet is being written."""

    rows: int


class Finished(NamedTuple):
    """The run is over.

    Where something stopped it, `text` says what in full, `reason` without what the endpoint said, and `stopped_by` in
    a few words: `by SIGTERM`. `next_step` is what the same command needs to go on.
    """

    exit_code: int
    text: str
    reason: str
    figures: RunFigures
    next_step: NextStep = AS_BEFORE
    stopped_by: str = ""


class Refused(NamedTuple):
    """The run was refused, or broke off, before its figures were known; the fields are those of `Finished`."""

    exit_code: int
    reason: str
    stopped_by: str


class OnFinishFailed(NamedTuple):
    """The `on_finish` command failed for the reason `why`, which does not contain the command.

    The run keeps its own `exit_code`.
    """

    why: str
    exit_code: int


Event = (
    Started
    | InputNoted
    | Replayed
    | Planned
    | Budgeted
    | LimitsRead
    | CeilingLowered
    | CeilingRaised
    | EndpointDown
    | EndpointUp
    | EndpointRetired
    | EndpointsChanged
    | OfEndpoint
    | Progress
    | Environment
    | Draining
    | Publishing
    | Finished
    | Refused
    | OnFinishFailed
    | Notice
)
Subscriber = Callable[[Event], None]
