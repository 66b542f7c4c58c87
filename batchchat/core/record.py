"""The complete output row, as the journal keeps it and the Parquet file is made of it.

It is a plain JSON object, since a journal line is one; absent keys are unknown. Times are seconds since the epoch.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypedDict

from batchchat.core.attempt import Attempt, Outcome, Reply, Request, Spend, Usage
from batchchat.core.conversation import BadRow, ErrorKind, Key, Status
from batchchat.core.row_history import AcceptedReply

__all__ = [
    "RowRecord",
    "accepted_replies_of",
    "add_spend",
    "key_of",
    "possibly_billed_usd_of",
    "record_head",
    "record_of_bad_row",
    "record_of_outcome",
    "record_of_step",
    "record_of_unsent",
    "reply_fields",
    "spend_of",
    "unbounded_of",
    "uncertain_fields",
    "unreported_usd_of",
    "usage_fields",
]

_NO_USD = Decimal(0)
_ANSWERED = Status.ANSWERED  # a member of an enum takes 0.1 µs to look up in Python 3.11


class RowRecord(TypedDict, total=False):
    """One line of kind `row`."""

    kind: str
    id: str
    variant: str
    sample: int
    fp: str  # the identity of the row's script, 16 hex digits
    place: str
    ordinal: int  # in the input, when the row was read
    status: str
    endpoint: str  # the name of the one that answered last, only of several
    model: str  # as requested
    messages: list[dict[str, Any]]  # as asked, without the reply
    reply: dict[str, Any]
    usage: dict[str, int]
    cost_usd: float
    cost_source: str
    attempts: int
    possibly_billed: int
    possibly_billed_usd: float  # at most, at the job's price; absent where none of them had a bound
    unbounded: int  # how many of them had none, where others had
    unreported_usd: float  # the same of attempts that were billed and did not say how much
    retries: dict[str, int]
    latency_s: float
    first_token_s: float  # only of a streamed reply
    wait_s: float
    started_at: float
    finished_at: float
    http_status: int
    parse_repaired: bool  # there, and true, where the reply's JSON was cut out of other text or repaired
    re_asks: int  # absent where the reply was not asked for again
    turns: list[dict[str, Any]]  # of a failed row: {reply, usage} of its accepted requests, which a resend goes on from
    error_kind: str
    error: str
    raw: str
    carried: dict[str, Any]
    mock: bool  # there, and true, where the embedded mock answered


def key_of(record: RowRecord) -> Key:
    """The key of a `row` or `step` record."""
    return Key(record["id"], record["variant"], record["sample"])


def spend_of(record: RowRecord) -> Spend:
    """What a failed row had used up, to be carried into its next record."""
    cost = record.get("cost_usd")
    possibly_billed = record.get("possibly_billed", 0)
    return Spend(
        record.get("attempts", 0),
        possibly_billed,
        None if cost is None else Decimal(repr(cost)),
        record.get("retries", {}),
        record.get("cost_source"),
        Usage(**record["usage"]) if record.get("usage") else None,
        possibly_billed_usd_of(record),
        unreported_usd_of(record),
        unbounded_of(record),
    )


def accepted_replies_of(record: RowRecord) -> list[AcceptedReply]:
    """The replies of a failed row's accepted requests, in their order, which a resend need not pay for again."""
    at = record.get("finished_at")
    return [AcceptedReply(turn["reply"], turn.get("usage"), at) for turn in record.get("turns", ())]


def possibly_billed_usd_of(record: RowRecord) -> Decimal:
    """The worst case of the attempts that may have been billed, as far as they had a bound."""
    usd = record.get("possibly_billed_usd")
    return _NO_USD if usd is None else Decimal(repr(usd))


def unbounded_of(record: RowRecord) -> int:
    """How many of the attempts that may have been billed had no bound."""
    if "possibly_billed_usd" in record:
        return record.get("unbounded", 0)
    return record.get("possibly_billed", 0)


def unreported_usd_of(record: RowRecord) -> Decimal:
    """The worst case of the attempts that were billed and did not say how much."""
    usd = record.get("unreported_usd")
    return _NO_USD if usd is None else Decimal(repr(usd))


def uncertain_fields(spend: Spend) -> dict[str, float]:
    """The fields of a `row` or `step` for what may have been spent in addition to `cost_usd`."""
    fields: dict[str, float] = {}
    if spend.possibly_billed > spend.unbounded:
        fields["possibly_billed_usd"] = float(spend.possibly_billed_usd)
        if spend.unbounded:
            fields["unbounded"] = spend.unbounded
    if spend.unreported_usd:
        fields["unreported_usd"] = float(spend.unreported_usd)
    return fields


def record_head(kind: str, key: Key, identity: int) -> RowRecord:
    """The keys that a `row` and a `step` begin with: whose it is, and of which version of that row."""
    return {
        "kind": kind,
        "id": key.id,
        "variant": key.variant,
        "sample": key.sample,
        "fp": f"{identity:016x}",
    }


def record_of_outcome(outcome: Outcome, identity: int, spend: Spend, wait_s: float) -> RowRecord:
    """The record of a row that was sent.

    `identity` is its script's, `spend` all that its attempts used up. `wait_s` is what passed before its last attempt,
    in seconds of a clock that can't jump.
    """
    attempt, row = outcome.attempt, outcome.row
    record: RowRecord = {
        **record_head("row", row.key, identity),
        "place": row.location,
        "ordinal": row.ordinal,
        "status": outcome.status.value,
        "model": attempt.request.model,
        "messages": outcome.messages,
        "attempts": spend.attempts,
        "possibly_billed": spend.possibly_billed,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "latency_s": round(attempt.latency_s, 6),
        "wait_s": max(0.0, round(wait_s, 6)),
    }
    if attempt.reply is not None:
        record["reply"] = reply_fields(attempt.reply)
    if outcome.parsed is not None or outcome.re_asks:
        _add_reading(record, outcome)
    add_spend(record, spend)
    if outcome.status is not _ANSWERED and (failure := outcome.reason) is not None:
        record["error_kind"] = failure.kind.value
        record["error"] = failure.text
    if outcome.resumable:
        record["turns"] = _turns(outcome)
    _add_response(record, attempt)
    if outcome.row.passthrough:
        record["carried"] = outcome.row.passthrough
    return record


def _add_reading(record: RowRecord, outcome: Outcome) -> None:
    """Note what was read of the reply, and how often it was asked for again."""
    if outcome.parsed is not None:
        record.setdefault("reply", {})["parsed"] = outcome.parsed.value
        if outcome.parsed.repaired:
            record["parse_repaired"] = True
    if outcome.re_asks:
        record["re_asks"] = outcome.re_asks


def _add_response(record: RowRecord, attempt: Attempt) -> None:
    """Note what is known of the response to the last `attempt`."""
    if attempt.endpoint is not None:
        record["endpoint"] = attempt.endpoint
    if attempt.first_token_s is not None:
        record["first_token_s"] = round(attempt.first_token_s, 6)
    if attempt.http_status is not None:
        record["http_status"] = attempt.http_status
    if attempt.raw is not None:
        record["raw"] = attempt.raw


def add_spend(record: RowRecord, spend: Spend) -> None:
    """Note in `record` what its attempts used up."""
    record["attempts"], record["possibly_billed"] = spend.attempts, spend.possibly_billed
    if (total := spend.total_usage) is not None and (usage := usage_fields(total)):
        record["usage"] = usage
    if spend.cost_usd is not None:
        record["cost_usd"] = float(spend.cost_usd)
    if spend.cost_source is not None:
        record["cost_source"] = spend.cost_source
    if spend.possibly_billed or spend.unreported_usd:
        record.update(uncertain_fields(spend))  # type: ignore[typeddict-item]
    if spend.retries:
        record["retries"] = dict(spend.retries)


def record_of_bad_row(row: BadRow, identity: int) -> RowRecord:
    """The record of a row that could not be sent. `identity` is a hash of its location and of what is wrong."""
    record: RowRecord = {
        **record_head("row", row.key, identity),
        "place": row.location,
        "ordinal": row.ordinal,
        "status": Status.INVALID.value,
        "error_kind": ErrorKind.INVALID_INPUT.value,
        "error": row.error,
    }
    if row.passthrough:
        record["carried"] = row.passthrough
    return record


def record_of_unsent(outcome: Outcome, identity: int) -> RowRecord:
    """The record of a good row that failed before its next request was sent: without times, attempts or cost."""
    row, failure = outcome.row, outcome.reason
    assert failure is not None, "what is not sent has a reason"
    record: RowRecord = {
        **record_head("row", row.key, identity),
        "place": row.location,
        "ordinal": row.ordinal,
        "status": Status.FAILED.value,
        "model": outcome.attempt.request.model,
        "messages": outcome.messages,
        "attempts": 0,
        "possibly_billed": 0,
        "error_kind": failure.kind.value,
        "error": failure.text,
    }
    if outcome.resumable:
        record["turns"] = _turns(outcome)
    if row.passthrough:
        record["carried"] = row.passthrough
    return record


def record_of_step(
    key: Key, identity: int, request: Request, spend: Spend, why: str, *, at: float, reply: Reply | None = None
) -> dict[str, Any]:
    """The record of one attempt at `request` that was or may have been billed and did not end its row.

    `spend` is of this attempt alone, `why` the kind of its failure, `accepted`, or `cut` for one that we cancelled;
    `at` is the time in seconds since the epoch. An accepted one keeps its `reply`, which the row's next request needs.
    """
    record: dict[str, Any] = {
        **record_head("step", key, identity),
        "step": request.step,
        "attempts": spend.attempts,
        "possibly_billed": spend.possibly_billed,
        "cost_usd": None if spend.cost_usd is None else float(spend.cost_usd),
        "cost_source": spend.cost_source,
        **uncertain_fields(spend),
        "usage": None if spend.usage is None else usage_fields(spend.usage),
        "why": why,
        "at": at,
    }
    if reply is not None:
        record["reply"] = reply_fields(reply)
    return record


def _turns(outcome: Outcome) -> list[dict[str, Any]]:
    """What `accepted_replies_of` reads back."""
    return [
        {
            "reply": {} if attempt.reply is None else reply_fields(attempt.reply),
            "usage": None if attempt.usage is None else usage_fields(attempt.usage),
        }
        for attempt in outcome.resumable
    ]


def reply_fields(reply: Reply) -> dict[str, Any]:
    """What a reply says, without what it lacks."""
    return {
        name: value
        for name, value in (
            ("text", reply.text),
            ("finish_reason", reply.finish_reason),
            ("tool_calls", reply.tool_calls),
            ("refusal", reply.refusal),
            ("reasoning", reply.reasoning),
            ("logprobs", reply.logprobs),
            ("model", reply.model),
            ("service_tier", reply.service_tier),
            ("response_id", reply.response_id),
        )
        if value is not None
    }


def usage_fields(usage: Usage) -> dict[str, int]:
    """The tokens that were reported."""
    return {
        name: value
        for name, value in (
            ("prompt_tokens", usage.prompt_tokens),
            ("completion_tokens", usage.completion_tokens),
            ("total_tokens", usage.total_tokens),
            ("cached_tokens", usage.cached_tokens),
            ("reasoning_tokens", usage.reasoning_tokens),
        )
        if value is not None
    }
