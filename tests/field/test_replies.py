"""Replies that are no answers: what they say of themselves, how often they are tried, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.job import Job, rows
from tests.acceptance.servers import http
from tests.field.endpoint import Asked, endpoint, ok

UNPAID = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}
ALL_REASONING = {"prompt_tokens": 10, "completion_tokens": 512, "total_tokens": 522, "cost": 0.001}


def test_half_an_answer_beside_an_error(job: Job) -> None:
    """A provider that disconnects in the middle: what had come by then is paid, and no answer."""
    gone = {"error": {"code": 502, "message": "Provider disconnected", "metadata": {"provider_name": "Lamp"}}}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.001}

    def answer(asked: Asked) -> bytes:
        if asked.text == "Question 0" or asked.attempt > 1:
            return ok(usage=usage)
        return ok('{"half": "a te', finish_reason="error", choice=gone, usage=usage)

    with endpoint(answer) as server:
        job.write(rows(3), endpoint__base_url=server.url, concurrency=1, retry__max_wait=0.05)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["response"] for row in job.table()] == ["Fine."] * 3
    assert [row["cost_usd"] for row in job.table()] == [0.001, 0.002, 0.002]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            ok(
                message={"role": "assistant", "content": None, "reasoning_content": "Let me think."},
                finish_reason="length",
                usage=ALL_REASONING,
            ),
            "all 512 tokens went into reasoning; raise `max_tokens`, or lower the reasoning effort",
        ),
        (
            http(200, {"choices": [{"index": 0, "finish_reason": "length"}], "usage": ALL_REASONING}),
            "cut off after 512 tokens (finish_reason length); raise `max_tokens`",
        ),
    ],
)
def test_a_reply_that_was_all_reasoning(job: Job, reply: bytes, words: str) -> None:
    """It is paid for once, and the message says what to change."""
    with endpoint(lambda asked: reply if asked.text == "Question 1" else ok()) as server:
        job.write(rows(3), endpoint__base_url=server.url, concurrency=1)
        ended = job.run()
    assert ended.code == 3, ended.err
    failed = job.table()[1]
    assert (failed["error_kind"], failed["attempts"], failed["cost_usd"]) == ("empty_reply", 1, 0.001)
    assert words in failed["error"]


def test_the_reasoning_that_was_paid_is_kept(job: Job) -> None:
    """In its own column, though the row failed."""
    message = {"role": "assistant", "content": None, "reasoning_content": "Let me think."}
    with endpoint(lambda _: ok(message=message, finish_reason="length", usage=ALL_REASONING)) as server:
        job.write(rows(1), endpoint__base_url=server.url)
        job.run()
    assert [row["reasoning"] for row in job.table()] == ["Let me think."]


@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT", "sensitive", "content_filter"])
def test_a_reply_that_was_filtered(job: Job, reason: str) -> None:
    """It is content_filter after one attempt, however the endpoint spells it."""
    filtered = ok("", finish_reason=reason)
    with endpoint(lambda asked: filtered if asked.text == "Question 0" else ok()) as server:
        job.write(rows(3), endpoint__base_url=server.url, concurrency=1)
        ended = job.run()
    assert ended.code == 3, ended.err
    assert [(row["error_kind"], row["attempts"]) for row in job.table()] == [
        ("content_filter", 1),
        (None, 1),
        (None, 1),
    ]


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "network_error", "abort", "error"])
def test_a_server_that_fails_while_it_replies(job: Job, reason: str) -> None:
    """It is tried as often as a 503 is, since nothing was paid; a paid one is tried three times."""

    def answer(asked: Asked) -> bytes:
        failing = asked.text == "Question 1" and asked.attempt <= 5
        return ok("", finish_reason=reason, usage=UNPAID) if failing else ok()

    with endpoint(answer) as server:
        job.write(rows(6), endpoint__base_url=server.url, concurrency=2, retry__max_wait=0.05, retry__max_attempts=8)
        ended = job.run()
    assert ended.code == 0, ended.err
    row = job.table()[1]
    assert (row["attempts"], row["possibly_billed_attempts"]) == (6, 0)


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_that_was_paid_for(job: Job, status: int) -> None:
    """An error inside a 200 that tells a cost: the row's own limit ends it, not the endpoint's recovery."""
    paid: dict[str, Any] = {"error": {"code": status, "message": "Busy"}, "choices": None, "usage": ALL_REASONING}
    with endpoint(lambda asked: http(200, paid) if asked.text == "Question 0" else ok()) as server:
        job.write(rows(6), endpoint__base_url=server.url, concurrency=2, retry__max_attempts=1)
        ended = job.run()
    assert ended.code == 3, ended.err
    failed = job.table()[0]
    assert (failed["attempts"], failed["cost_usd"], failed["error"]) == (1, 0.001, "Busy")


def test_a_response_that_is_only_accepted(job: Job) -> None:
    """A 202 without a body says so, instead of that it broke off."""
    accepted = http(202, b"", NVCF_STATUS="pending-evaluation")
    with endpoint(lambda asked: accepted if asked.text == "Question 0" else ok()) as server:
        job.write(rows(3), endpoint__base_url=server.url, concurrency=1, retry__max_attempts=1)
        ended = job.run()
    assert ended.code == 3, ended.err
    failed = job.table()[0]
    assert failed["error_kind"] == "bad_response"
    assert failed["error"].startswith("HTTP 202 (accepted, pending) without a reply")
