"""The finished row as the journal keeps it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import (
    NO_SPEND,
    Action,
    Attempt,
    Cost,
    Failure,
    Outcome,
    Parsed,
    Reply,
    Request,
    Spend,
    Usage,
    Verdict,
)
from batchchat.core.conversation import BadRow, ErrorKind, Key, Row, Status
from batchchat.core.record import (
    RowRecord,
    key_of,
    record_head,
    record_of_bad_row,
    record_of_outcome,
    record_of_step,
    record_of_unsent,
    spend_of,
)

KEY = Key("q-1", "v", 2)
ROW = Row(KEY, 41, "in.jsonl:42", [{"role": "user", "content": "Hi"}], passthrough={"topic": None, "n": 3})
REQUEST = Request(KEY, 0, "a/model", ROW.messages, b"{}", 0xAB)


def test_an_answer_is_kept_whole() -> None:
    """Key, place, conversation, reply, usage, cost and times stand under the names of the journal."""
    attempt = Attempt(
        REQUEST,
        Verdict(Action.ACCEPT),
        100.5,
        102.0,
        1.4999999,
        200,
        Reply("Hello", "stop", tool_calls=[{"id": "c"}], response_id="r"),
        usage=Usage(5, 0, cost_usd=0.25),
        cost=Cost(Decimal("0.25"), "reported"),
    )
    spend = Spend(2, 1, Decimal("0.75"), {"timeout": 1}, "reported", attempt.usage, Decimal("0.125"), Decimal("0.0625"))
    assert record_of_outcome(Outcome(ROW, Status.ANSWERED, ROW.messages, attempt), 0xAB, spend, 1.5) == {
        "kind": "row",
        "id": "q-1",
        "variant": "v",
        "sample": 2,
        "fp": "00000000000000ab",
        "place": "in.jsonl:42",
        "ordinal": 41,
        "status": "answered",
        "model": "a/model",
        "messages": ROW.messages,
        "attempts": 2,
        "possibly_billed": 1,
        "possibly_billed_usd": 0.125,
        "unreported_usd": 0.0625,
        "started_at": 100.5,
        "finished_at": 102.0,
        "latency_s": 1.5,
        "wait_s": 1.5,
        "reply": {"text": "Hello", "finish_reason": "stop", "tool_calls": [{"id": "c"}], "response_id": "r"},
        "usage": {"prompt_tokens": 5, "completion_tokens": 0},
        "cost_usd": 0.75,
        "cost_source": "reported",
        "retries": {"timeout": 1},
        "http_status": 200,
        "carried": {"topic": None, "n": 3},
    }


def test_a_failure_is_kept_with_its_reason() -> None:
    """What is not known has no key; no rounding makes a negative wait."""
    failure = Failure(ErrorKind.TIMEOUT, "no answer in 600 s")
    attempt = Attempt(REQUEST, Verdict(Action.FAIL_ROW), 100.0, 700.0, 600.0, failure=failure, usage=Usage())
    row = Row(KEY, 0, "in.jsonl:1", ROW.messages)
    record = record_of_outcome(Outcome(row, Status.FAILED, ROW.messages, attempt), 0xAB, NO_SPEND, -1e-9)
    assert (record["error_kind"], record["error"], record["status"]) == ("timeout", "no answer in 600 s", "failed")
    assert record["wait_s"] == 0
    unknown = {"reply", "usage", "cost_usd", "cost_source", "http_status", "retries", "carried"}
    assert unknown.isdisjoint(record)


def test_a_reply_that_the_script_refuses_is_kept_with_the_reason() -> None:
    """The attempt was accepted; what was read of its reply, and how often it was asked for, stands beside it."""
    attempt = Attempt(REQUEST, Verdict(Action.ACCEPT), 100.0, 101.0, 1.0, 200, Reply('{"a": 1}', "stop"))
    failure = Failure(ErrorKind.SCHEMA, "`b` is missing")
    outcome = Outcome(ROW, Status.FAILED, ROW.messages, attempt, failure, Parsed({"a": 1}, repaired=True), 2)
    record = record_of_outcome(outcome, 0xAB, NO_SPEND, 0.0)
    assert (record["status"], record["error_kind"], record["error"]) == ("failed", "schema", "`b` is missing")
    assert record["reply"] == {"text": '{"a": 1}', "finish_reason": "stop", "parsed": {"a": 1}}
    assert (record["parse_repaired"], record["re_asks"]) == (True, 2)


def test_a_bad_row_is_kept_with_its_place() -> None:
    """It has its id, its reason, what it carries, and nothing of a request."""
    bad = BadRow(KEY, 7, "in.jsonl:8", "no messages", {"topic": "a"})
    assert record_of_bad_row(bad, 1) == {
        "kind": "row",
        "id": "q-1",
        "variant": "v",
        "sample": 2,
        "fp": "0000000000000001",
        "place": "in.jsonl:8",
        "ordinal": 7,
        "status": "invalid",
        "error_kind": "invalid_input",
        "error": "no messages",
        "carried": {"topic": "a"},
    }
    assert key_of(record_of_bad_row(bad, 1)) == KEY
    assert spend_of(record_of_bad_row(bad, 1)) == NO_SPEND


_usd = st.none() | st.integers(0, 10**12).map(lambda pico: Decimal(pico).scaleb(-12))


_known_usd = _usd.filter(lambda usd: usd is not None)


def spends(**fields: Any) -> st.SearchStrategy[Spend]:
    """What was spent, with `fields` of these strategies and the others as they are where nothing was."""
    return st.fixed_dictionaries(fields).map(lambda values: Spend(**values))


_spent = spends(
    attempts=st.integers(0, 9),
    possibly_billed=st.integers(5, 9),
    cost_usd=_usd,
    retries=st.dictionaries(st.text(), st.integers()),
    possibly_billed_usd=_known_usd,
    unreported_usd=_known_usd,
    unbounded=st.integers(0, 4),
) | spends(possibly_billed=st.just(2), unbounded=st.just(2))


@given(_spent | spends(attempts=st.integers(0, 9), cost_usd=_usd))
def test_what_a_row_spent_comes_back(spend: Spend) -> None:
    """What goes into a record as spent is what is carried into the next, attempts without a bound as such."""
    attempt = Attempt(REQUEST, Verdict(Action.ACCEPT), 0.0, 0.0, 0.0, reply=Reply("a"))
    assert spend_of(record_of_outcome(Outcome(ROW, Status.ANSWERED, [], attempt), 0xAB, spend, 0.0)) == spend


def test_a_step_is_one_attempt_with_the_head_of_its_row() -> None:
    """It says what this attempt alone cost, and of which version of the row it was; an accepted one keeps its reply."""
    head = {"id": "q-1", "variant": "v", "sample": 2, "fp": "00000000000000cd"}
    spend = Spend(1, 0, Decimal("0.5"), {}, "reported", Usage(5, 2))
    second = REQUEST._replace(step=1)
    record = record_of_step(KEY, 0xCD, second, spend, "accepted", at=7.0, reply=Reply("Hello", "stop"))
    assert record == {
        "kind": "step",
        **head,
        "step": 1,
        "attempts": 1,
        "possibly_billed": 0,
        "cost_usd": 0.5,
        "cost_source": "reported",
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        "why": "accepted",
        "at": 7.0,
        "reply": {"text": "Hello", "finish_reason": "stop"},
    }
    row = cast("RowRecord", record)
    assert (key_of(row), spend_of(row)) == (KEY, spend)
    assert record_head("row", KEY, 0xCD) == {"kind": "row", **head}


def test_every_record_of_a_row_begins_alike() -> None:
    """Rows that were sent, could not be read, or were not sent, and steps: whose they are stands first."""
    bad = BadRow(KEY, 41, "in.jsonl:42", "no")
    attempt = Attempt(REQUEST, Verdict(Action.ACCEPT), 0, 0, 0)
    records = [
        record_of_outcome(Outcome(ROW, Status.ANSWERED, [], attempt), 1, NO_SPEND, 0.0),
        record_of_bad_row(bad, 1),
        record_of_unsent(Outcome(ROW, Status.FAILED, [], attempt, Failure(ErrorKind.CONTEXT_LENGTH, "too long")), 1),
        record_of_step(KEY, 1, REQUEST, NO_SPEND, "cut", at=0.0),
    ]
    for record in records:
        assert list(record)[:5] == ["kind", "id", "variant", "sample", "fp"]
