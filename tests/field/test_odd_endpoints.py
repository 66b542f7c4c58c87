"""Endpoints of another kind than was thought, and answers in rare forms: whose fault it is, and what it cost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.job import Job, conversation, rows
from tests.field.endpoint import Asked, End, Step, endpoint, error, ok

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
PAID = {**USAGE, "cost": 0.01}
CHOICES = [{"index": 0, "message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}]
TLS_PAGE = b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ([b"220 mail.example.com ESMTP\r\n", End.CLOSE], "A server that speaks TLS needs https://"),
        ([b"\x15\x03\x01\x00\x02\x02\x46", End.CLOSE], "answered with something that is not HTTP"),
        (error(400, "", body=TLS_PAGE), "A server that speaks TLS needs https://"),
        (error(400, "", body=b"Client sent an HTTP request to an HTTPS server.\n"), "needs https://"),
        (error(200, "", body={"error": "Unexpected endpoint or method. (POST /chat/completions)"}), "is no chat comp"),
        (error(501, "Not implemented"), "is no chat completions endpoint (HTTP 501)"),
        (error(200, "", body={"choices": CHOICES}, headers={"content_encoding": "gzip"}), "Can not decode"),
        (error(400, "Model Not Exist"), "does not know `m`"),
        (error(400, "foo is not a valid model ID"), "does not know `m`"),
        (error(400, "Invalid model: m", code="1500"), "does not know `m`"),
    ],
)
def test_a_server_that_can_never_answer(job: Job, refusal: Step | list[Step], words: str) -> None:
    """Another protocol, another port, another model: the first answers show it, and no row fails or is waited for."""
    with endpoint(lambda _: refusal) as server:
        job.write(rows(200), endpoint__base_url=server.url, concurrency=4)
        ended = job.run()
    assert ended.code == 5, ended.err
    assert words in ended.errors[0]
    assert job.state()["rows"]["failed"] == 0
    assert len(server.asked) <= 8


@pytest.mark.parametrize(
    "refusal",
    [
        error(403, "", body={"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "not enough balance"}),
        error(429, "The model service has been paused.", code="SetLimitExceeded"),
        error(403, "", body={"code": "x", "error": "Your team doesn't have any credits or licenses yet."}),
        error(400, "You have no credits left."),
        error(403, "You have exceeded your monthly quota."),
        error(403, "Country, region, or territory not supported", code="unsupported_country_region_territory"),
        error(403, "Key based authentication is disabled for this resource.", code="AuthenticationTypeDisabled"),
    ],
)
def test_more_refusals_of_all_rows(job: Job, refusal: bytes) -> None:
    """They stop the run after many answers without a row that fails."""
    with endpoint(lambda asked: ok() if asked.number <= 20 else refusal) as server:
        job.write(rows(200), endpoint__base_url=server.url, concurrency=4, retry__max_wait=0.05)
        ended = job.run()
    assert ended.code == 5, ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 20


@pytest.mark.parametrize("refusal", [error(400, "Nope, said the gate."), error(404, "Nope"), ok("")])
def test_a_resume_meets_a_refusal_of_all_rows(job: Job, refusal: bytes) -> None:
    """Rows that were never sent count from the start, though the endpoint had answered in the run before."""
    with endpoint(lambda asked: ok() if asked.number <= 20 else error(402, "Pay first.")) as server:
        job.write(rows(200), endpoint__base_url=server.url, concurrency=4, retry__stop_after_failures=10)
        assert job.run().code == 5
        server.answer = lambda _: refusal
        job.write(
            rows(200),
            endpoint__base_url=server.url,
            concurrency=4,
            retry__stop_after_failures=10,
            retry__max_wait=0.02,
        )
        ended = job.run()
    assert ended.code == 5, ended.err
    assert "10 consecutive rows failed with the same error" in ended.errors[0]
    assert 10 <= job.state()["rows"]["failed"] < 20


def test_an_input_sorted_by_model_of_which_one_is_unknown(job: Job) -> None:
    """A long stretch of rows whose own model is refused fails, and the models behind it are answered."""
    models = ["a"] * 20 + ["b"] * 40 + ["c"] * 20
    given: list[dict[str, Any]] = [
        {"id": f"r{n}", "messages": conversation(f"Question {n}"), "own": {"model": model}}
        for n, model in enumerate(models)
    ]

    def answer(asked: Asked) -> bytes:
        return error(404, "Nothing called b here") if asked.body["model"] == "b" else ok()

    with endpoint(answer) as server:
        job.write(
            given,
            endpoint__base_url=server.url,
            input__params="own",
            model="a",
            concurrency=4,
            retry__stop_after_failures=10,
        )
        ended = job.run()
    assert ended.code == 3, ended.err
    assert [row["error_kind"] for row in job.table()] == [None] * 20 + ["not_found"] * 40 + [None] * 20


@pytest.mark.parametrize(
    ("refusal", "attempts"),
    [
        (error(400, "", body={"error": {"message": "no JSON came of it"}, "usage": PAID}), 1),
        (error(429, "", body={"error": {"message": "slow down"}, "usage": PAID}), 2),
        (error(500, "", body={"choices": CHOICES, "usage": PAID}), 2),
        (error(502, "upstream", headers={"x_litellm_response_cost": "0.01"}), 2),
    ],
)
def test_an_error_that_tells_a_cost_was_paid(job: Job, refusal: bytes, attempts: int) -> None:
    """Whatever its status: the cost is the row's, and `max_possibly_billed` bounds it."""
    with endpoint(lambda asked: refusal if asked.text == "Question 3" else ok(usage=PAID)) as server:
        job.write(
            rows(6), endpoint__base_url=server.url, concurrency=2, retry__max_wait=0.05, retry__max_possibly_billed=2
        )
        ended = job.run()
    assert ended.code == 3, ended.err
    failed = job.table()[3]
    assert (failed["attempts"], failed["cost_usd"]) == (attempts, pytest.approx(0.01 * attempts))
    assert server.attempts["Question 3"] == attempts


@pytest.mark.parametrize(
    ("body", "cost_usd"),
    [
        ([{"choices": CHOICES, "usage": PAID}], 0.01),
        ({"code": 0, "msg": "success", "data": {"choices": CHOICES, "usage": PAID}}, 0.01),
        ({"success": True, "errors": [], "result": {"choices": CHOICES, "usage": PAID}}, 0.01),
        ({"choices": CHOICES, "usage": {**PAID, "currency": "CNY"}}, 20e-6),
    ],
)
def test_an_answer_in_another_form(job: Job, body: Any, cost_usd: float) -> None:
    """A completion in a list or an object of the gateway's is one; a cost in another currency is none in USD."""
    with endpoint(lambda _: error(200, "", body=body)) as server:
        job.write(rows(2), endpoint__base_url=server.url, price__input=1, price__output=2)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [(row["response"], row["cost_usd"]) for row in job.table()] == [("Fine.", pytest.approx(cost_usd))] * 2
