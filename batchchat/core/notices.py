"""What a run notices about its input and its answers, and tells once: events like those of `events`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

__all__ = [
    "ChangedRowsLeft",
    "ContextLimitFound",
    "CostOutlier",
    "EndpointHeld",
    "FirstFailure",
    "GatewayTimeoutFound",
    "IdsNotInInput",
    "JournalShipped",
    "LeasesHeld",
    "LimitsShared",
    "Notice",
    "OtherModelServed",
    "OtherTierServed",
    "PriceRatioRaised",
    "PromptTruncated",
    "ResponseFormatRefused",
    "RowOverdue",
    "ShardNoted",
    "ShippingFailed",
    "StreamNoticed",
    "Uploaded",
    "Uploading",
    "WorkersWait",
]


class PriceRatioRaised(NamedTuple):
    """The endpoint charges `ratio` times the job's price; `overrun_usd` was paid beyond reservations."""

    ratio: Decimal
    overrun_usd: Decimal


class CostOutlier(NamedTuple):
    """One answer cost `ratio` times what it was expected to, and none of the others did."""

    ratio: Decimal


class RowOverdue(NamedTuple):
    """A straggler at the end of the run is cancelled after `ran_s`; `again` is True if it is sent again."""

    id: str
    ran_s: float
    p99_s: float
    again: bool


class LimitsShared(NamedTuple):
    """The limits are those of `name`: `concurrency` in flight is for this job and the `others` that run now."""

    name: str
    concurrency: int
    others: Sequence[str]


class LeasesHeld(NamedTuple):
    """Another process has held `lock`, of the limits shared as `name`, for `held_s`: nothing is sent until it ends."""

    name: str
    lock: str
    held_s: float


class WorkersWait(NamedTuple):
    """Of the `of` workers so many have no place yet: no node of the cluster has what each `needs`, by Ray's names."""

    workers: int
    of: int
    needs: Mapping[str, float]


class EndpointHeld(NamedTuple):
    """The endpoint asks that nothing is sent until `until` (epoch), with the words `why`."""

    until: float
    why: str


class OtherModelServed(NamedTuple):
    """The endpoint serves a model under another name than the requested one; once for each pair."""

    requested: str
    served: str


class OtherTierServed(NamedTuple):
    """The endpoint serves another service tier than the requested one."""

    requested: str
    served: str


class ResponseFormatRefused(NamedTuple):
    """The endpoint refused the `response_format` called `refused` for `model`, in its `words`: now `following`."""

    model: str
    refused: str
    following: str
    words: str


class StreamNoticed(NamedTuple):
    """What the endpoint makes of streams, first noticed at row `id`.

    It streams although no request asked for it (`unasked`), replies whole although each did (`ignored`), or refuses the
    field that asks for the usage of a stream (`no usage`).
    """

    what: Literal["unasked", "ignored", "no usage"]
    id: str


class GatewayTimeoutFound(NamedTuple):
    """Several requests ended with 502, 504 or 524 after about the same time, `latency_s`.

    `streams`: their replies were to be streams.
    """

    http_status: int
    latency_s: float
    requests: int
    streams: bool = False


class PromptTruncated(NamedTuple):
    """A row was answered whose prompt counts fewer tokens than its text can have."""

    id: str
    text_bytes: int
    prompt_tokens: int


class ContextLimitFound(NamedTuple):
    """Several rows of different length used exactly `tokens` in all, and none used more."""

    tokens: int
    rows: int


class FirstFailure(NamedTuple):
    """The first row that failed of its kind."""

    kind: str
    id: str
    text: str


class ChangedRowsLeft(NamedTuple):
    """`rows` answered rows, whose request has changed, keep their answers, and nothing is sent for them.

    The answers had cost `cost_usd`, and an unknown sum for `unknown_cost_rows`. `parts` says how many rows changed in
    the conversation, the model and the params.
    """

    rows: int
    cost_usd: Decimal
    unknown_cost_rows: int
    parts: Mapping[str, int]


class IdsNotInInput(NamedTuple):
    """`absent` ids of the file `path`, whose rows were to be sent again, are not in the input."""

    path: str
    absent: int


class ShardNoted(NamedTuple):
    """The run is of the rows of the shard `number` of `of`, and has a part of each limit of the job.

    Of a limit the part is first, and then the whole; None where the job has no such limit, or the endpoint is asked for
    its ceiling. If it `shares_apart`, equal requests are sent once in each shard. `other_runs` are outputs of the same
    job beside `output`, made with another number of shards or with none.
    """

    number: int
    of: int
    in_flight: tuple[int, int] | None
    requests_per_minute: tuple[float, float] | None
    tokens_per_minute: tuple[float, float] | None
    max_cost_usd: tuple[Decimal, Decimal] | None
    output: str
    shares_apart: bool = False
    other_runs: tuple[str, ...] = ()


class JournalShipped(NamedTuple):
    """The journal is copied to the object store `url` each `every_s`; `fetched` bytes of it came from there."""

    url: str
    every_s: float
    fetched: int


class ShippingFailed(NamedTuple):
    """The journal could not be copied to `url`, for the reason `why`; it is tried again."""

    url: str
    why: str


class Uploading(NamedTuple):
    """The published output, of so many `files` and bytes, goes to the object store `url`."""

    url: str
    files: int
    size: int


class Uploaded(NamedTuple):
    """The output in the object store is the result: a file, or all that the glob `pattern` matches.

    It took `elapsed_s`; unless `is_new` it was there already. `leftovers` earlier objects could not be deleted.
    """

    pattern: str
    elapsed_s: float
    leftovers: int
    is_new: bool


Notice = (
    ChangedRowsLeft
    | ContextLimitFound
    | CostOutlier
    | EndpointHeld
    | FirstFailure
    | GatewayTimeoutFound
    | IdsNotInInput
    | JournalShipped
    | LeasesHeld
    | LimitsShared
    | OtherModelServed
    | OtherTierServed
    | PriceRatioRaised
    | PromptTruncated
    | ResponseFormatRefused
    | RowOverdue
    | ShardNoted
    | ShippingFailed
    | StreamNoticed
    | Uploaded
    | Uploading
    | WorkersWait
)
