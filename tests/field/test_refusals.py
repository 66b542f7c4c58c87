"""Refusals: those that speak of one row fail that row, those that speak of all rows stop the run, the others pass."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.job import Job, rows
from tests.field.endpoint import Asked, endpoint, error, ok

TOO_LARGE = (
    "Request too large for m in organization org-x on tokens per min (TPM): Limit 30000, Requested 41000. The input or"
    " output tokens must be reduced in order to run successfully."
)


@pytest.mark.parametrize(
    ("row", "refusal", "kind"),
    [
        (7, error(429, TOO_LARGE, type="tokens", code="rate_limit_exceeded"), "too_large"),
        (7, error(429, "Extra usage is required for long context requests.", type="rate_limit_error"), "too_large"),
        (7, error(503, "Request too large: Limit 9,000 tokens, Requested 12,000"), "too_large"),
        (
            0,
            error(403, "", body={"code": "No permission", "error": "Content violates usage guidelines."}),
            "content_filter",
        ),
        (0, error(403, "The prompt plus max_tokens is over the context of the model"), "context_length"),
        (
            0,
            error(400, "Input data may contain inappropriate content", code="data_inspection_failed"),
            "content_filter",
        ),
    ],
)
def test_a_refusal_of_one_row(job: Job, row: int, refusal: bytes, kind: str) -> None:
    """It is asked once, whatever status it has, and the first row too is no sign that the endpoint is down."""
    with endpoint(lambda asked: refusal if asked.text == f"Question {row}" else ok()) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4)
        ended = job.run()
    assert ended.code == 3, ended.err
    assert [end["error_kind"] for end in job.table()] == [kind if n == row else None for n in range(40)]
    assert server.attempts[f"Question {row}"] == 1


LOW = "Your credit balance is too low to access the API. Please go to Plans & Billing."
KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (error(403, "Your account has been flagged for abusive activity.", type="x"), "Your account has been flagged"),
        (error(400, LOW, type="invalid_request_error"), "credit balance is too low"),
        (error(500, LOW), "credit balance is too low"),
        (error(200, LOW), "credit balance is too low"),
        (error(400, "Access denied.", code="Arrearage"), "Access denied."),
        (error(400, "Organization has been restricted.", code="organization_restricted"), "has been restricted"),
        (error(400, "Budget has been exceeded! Max budget: 10.0", type="budget_exceeded"), "Budget has been exceeded"),
        (error(403, "Key limit exceeded (daily limit).", code=403), "Key limit exceeded (daily limit)"),
        (error(429, "insufficient balance (1008)", type="insufficient_balance_error"), "insufficient balance (1008)"),
        (
            error(200, "", body={"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no balance"}}),
            "no balance",
        ),
    ],
)
def test_a_refusal_of_all_rows(job: Job, refusal: bytes, words: str) -> None:
    """It stops the run at once after many answers, in its own words, and no row fails for it."""
    with endpoint(lambda asked: ok() if asked.number <= 20 else refusal) as server:
        job.write(rows(200), endpoint__base_url=server.url, concurrency=4)
        ended = job.run()
    assert ended.code == 5, ended.err
    assert words in ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 20
    assert len(server.asked) <= 24


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "", body=[{"error": {"code": 400, "message": "API key not valid.", "details": [KEY_INVALID]}}]),
        error(400, "API key not valid. Please pass a valid API key."),
        error(200, "", body={"choices": None, "base_resp": {"status_code": 2049, "status_msg": "API key not valid."}}),
    ],
)
def test_a_key_that_is_refused_without_a_401(job: Job, refusal: bytes) -> None:
    """It stops the run as a 401 does; that one is asked a few times more, since a stray one happens."""
    with endpoint(lambda asked: ok() if asked.number <= 20 else refusal) as server:
        job.write(rows(400), endpoint__base_url=server.url, concurrency=4, retry__max_wait=0.05)
        ended = job.run()
    assert ended.code == 5, ended.err
    assert "API key not valid." in ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 20
    assert len(server.asked) < 200


def test_a_refusal_of_all_rows_in_unknown_words(job: Job) -> None:
    """A sentence that no table knows stops the run as soon as enough rows in succession were refused in it."""

    def answer(asked: Asked) -> bytes:
        return ok() if asked.number <= 20 else error(400, f"Nope, said the gate (request {asked.number}-x7).")

    with endpoint(answer) as server:
        job.write(rows(200), endpoint__base_url=server.url, concurrency=4, retry__stop_after_failures=10)
        ended = job.run()
    assert ended.code == 5, ended.err
    assert "Nope, said the gate" in ended.err
    statuses = [row["status"] for row in job.table()]
    assert statuses.count("answered") == 20
    assert 10 <= statuses.count("failed") < 20


def test_a_stretch_of_the_input_that_is_too_long(job: Job) -> None:
    """Rows that are refused in one sentence for their own length never stop a run."""
    too_long = error(400, "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.")
    with endpoint(lambda asked: too_long if 20 <= int(asked.text.split()[1]) < 60 else ok()) as server:
        job.write(rows(80), endpoint__base_url=server.url, concurrency=4, retry__stop_after_failures=10)
        ended = job.run()
    assert ended.code == 3, ended.err
    assert [row["error_kind"] for row in job.table()] == [None] * 20 + ["context_length"] * 40 + [None] * 20


@pytest.mark.parametrize(
    "refusal",
    [
        error(
            499, "", body=[{"error": {"code": 499, "message": "The operation was cancelled.", "status": "CANCELLED"}}]
        ),
        error(424, "", body={"error": "Request failed during generation", "error_type": "generation"}),
        error(500, "Context size has been exceeded.", code=500, type="server_error"),
        error(500, "EngineCore encountered an issue.", code=500, type="InternalServerError"),
        error(400, "Rate limit exceeded: too many tokens per minute, context length 8192"),
    ],
)
def test_a_refusal_that_passes(job: Job, refusal: bytes) -> None:
    """A cancelled operation, a crashed model, a server without a free slot: each fifth row is asked again."""

    def answer(asked: Asked) -> bytes:
        return refusal if asked.attempt == 1 and int(asked.text.split()[1]) % 5 == 4 else ok()

    with endpoint(answer) as server:
        job.write(rows(20), endpoint__base_url=server.url, concurrency=4, retry__max_wait=0.05)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["attempts"] for row in job.table()] == [1, 1, 1, 1, 2] * 4


@pytest.mark.parametrize(
    ("status", "message"), [(424, "Request failed during generation"), (500, "EngineCore encountered an issue.")]
)
def test_a_model_that_crashed_and_came_back(job: Job, status: int, message: str) -> None:
    """While it is down no row fails for it."""
    with endpoint(lambda asked: ok() if asked.number <= 20 or asked.at > 1 else error(status, message)) as server:
        job.write(rows(60), endpoint__base_url=server.url, concurrency=4, retry__max_wait=0.5)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 60


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([{"error": {"code": 400, "message": 'Unknown name "x": Cannot find field.'}}], 'Unknown name "x"'),
        (
            {
                "error": {
                    "message": "Provider returned error",
                    "code": 400,
                    "metadata": {"raw": '{"error": {"message": "x is not one of ours"}}', "provider_name": "Lamp"},
                }
            },
            "Provider returned error: x is not one of ours (Lamp)",
        ),
        ({"code": "bad", "error": "Argument not supported: x"}, "Argument not supported: x"),
        ({"object": "error", "message": {"detail": [{"loc": ["x"], "msg": "Extra input"}]}}, "x: Extra input"),
    ],
)
def test_the_endpoints_words(job: Job, body: Any, words: str) -> None:
    """A failed row has them, wherever in the body they are."""
    with endpoint(lambda asked: ok() if asked.text == "Question 0" else error(400, "", body=body)) as server:
        job.write(rows(2), endpoint__base_url=server.url, concurrency=1)
        job.run()
    failed = job.table()[1]
    assert failed["error_kind"] == "bad_request"
    assert words in failed["error"]
    assert not failed["error"].startswith("{")
