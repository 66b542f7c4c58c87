"""The hazards of a long run, from a server that does them to the row, the exit code and the word to the user."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.job import Job, rows
from tests.acceptance.servers import Asked, completion, http, raw_server

Play = Callable[[Asked, int], bytes]
"""The answer to the n-th request (from 1) for one row."""


def counted(play: Play) -> Callable[[Asked], bytes]:
    """Counts the requests for each row."""
    seen: Counter[str] = Counter()

    def answer(asked: Asked) -> bytes:
        seen[asked.said] += 1
        return play(asked, seen[asked.said])

    return answer


OK = http(200, completion())
NO_WAIT: dict[str, Any] = {"retry__max_wait": 0.02, "concurrency": 8}

# What befalls each row once, and what its second attempt is for. Billed: whether the first may have been.
ONCE: dict[str, tuple[bytes, str, int]] = {
    "429 without a header": (http(429, {"detail": "slow down"}), "rate_limit", 0),
    "429 busy": (http(429, {"error": {"message": "Model busy", "code": "engine_overloaded"}}), "overloaded", 0),
    "402 with Retry-After": (http(402, {"error": {"code": 402}}, retry_after="0"), "quota", 0),
    "498": (http(498, {"error": {"message": "capacity"}}), "overloaded", 0),
    "529": (http(529, {"error": {"message": "overloaded"}}), "overloaded", 0),
    "503 loading": (http(503, {"error": {"code": 503, "message": "Loading model"}}), "overloaded", 0),
    "500": (http(500, {"error": {"message": "oops"}}), "server_error", 0),
    "408": (http(408, {"error": {"message": "slow"}}), "timeout", 1),
    "502": (http(502, b"<html>Bad gateway"), "gateway_timeout", 1),
    "504": (http(504, b"<html>Gateway timeout"), "gateway_timeout", 1),
    "524": (http(524, b"<html>A timeout occurred"), "gateway_timeout", 1),
    "error in 200": (http(200, {"choices": None, "error": {"code": 502, "message": "no"}}), "gateway_timeout", 1),
    "empty choices": (http(200, {"choices": []}), "bad_response", 1),
    "cut with a length": (
        http(200, json.dumps(completion()).encode()[:-9], connection="close", content_length="9999"),
        "bad_response",
        1,
    ),
    "cut without a length": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + json.dumps(completion()).encode()[:-9],
        "bad_response",
        1,
    ),
    "closed": (b"", "connection", 1),
}


@pytest.mark.parametrize("name", ONCE)
def test_what_passes_is_tried_again(job: Job, name: str) -> None:
    """A row it befell is answered the second time, and says how often it was asked and may have been billed."""
    first, kind, billed = ONCE[name]
    # One row is answered first, so that nobody takes this for an endpoint that was never there.
    with raw_server(counted(lambda asked, n: first if n == 1 and asked.said != "Question 0" else OK)) as server:
        job.write(rows(9), endpoint__base_url=server.url, **NO_WAIT)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert f"retries   8: 8 {kind.replace('_', ' ')}" in ended.out
    assert [(row["attempts"], row["possibly_billed_attempts"]) for row in job.table()[1:]] == [(2, billed)] * 8


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (
            http(500, {"error": {"message": "Requested input length 9009 exceeds maximum input length 8192"}}),
            "context_length",
        ),
        (
            http(400, {"error": {"message": "Requested input length 9 exceeds maximum input length 8"}}),
            "context_length",
        ),
        (http(400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "no"}}), "context_length"),
        (http(400, {"error": {"code": "content_filter", "message": "no"}}), "content_filter"),
        (http(200, {"choices": [{"message": {}, "finish_reason": "content_filter"}]}), "content_filter"),
        (http(403, {"error": {"message": "forbidden here"}}), "forbidden"),
        (http(403, {"error": {"code": 403, "message": "Your input was flagged"}}), "content_filter"),
        (http(404, {"detail": "no such thing"}), "not_found"),
        (http(413, b""), "too_large"),
        (http(422, {"detail": [{"loc": ["body", "x"], "msg": "no"}]}), "bad_request"),
    ],
)
def test_what_is_one_rows_own_fails_it_at_once(job: Job, answer: bytes, kind: str) -> None:
    """Among answered rows one that is refused for good fails with the reason, with one request, and stops nothing."""
    with raw_server(lambda asked: answer if asked.said == "Question 7" else OK) as server:
        job.write(rows(12), endpoint__base_url=server.url, concurrency=1)
        ended = job.run()
        assert server.requests == 12
    assert ended.code == 3
    failed = [(row["id"], row["error_kind"], row["attempts"]) for row in job.table() if row["status"] == "failed"]
    assert failed == [("r0007", kind, 1)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}), "You exceeded"),
        (http(402, {"detail": {"error": "Please add funds"}}), "Please add funds"),
        (http(412, {"error": "Account suspended"}), "Account suspended"),
    ],
)
def test_an_empty_purse_stops_the_run(job: Job, answer: bytes, words: str) -> None:
    """No quota is no rate limit: exit 5 after a few requests, though rows were answered, and nothing fails."""
    with raw_server(lambda asked: OK if asked.said < "Question 2" else answer) as server:
        job.write(rows(9), endpoint__base_url=server.url, concurrency=1)
        ended = job.run()
        assert server.requests == 3
    assert ended.code == 5
    (stopped,) = ended.errors
    assert f"will not serve this account for now (HTTP {answer[9:12].decode()}): {words}" in stopped
    assert [row["status"] for row in job.table()] == ["answered"] * 2


def test_a_stale_connection_costs_one_instant_retry(job: Job) -> None:
    """A connection the server closed is replaced at once, without backoff, and the attempt may have been billed."""
    closing = counted(lambda asked, n: b"" if asked.said == "Question 3" and n == 1 else OK)
    with raw_server(closing) as server:
        job.write(rows(6), endpoint__base_url=server.url, concurrency=1, retry__max_wait=60)
        assert job.run().code == 0
    row = job.table()[3]
    assert (row["attempts"], row["possibly_billed_attempts"]) == (2, 1)
    assert row["wait_s"] < 1


TEXTS: dict[str, tuple[bytes, str]] = {
    "NaN": (b'"x","logprobs":NaN', "x"),
    "a lone surrogate": (rb'"a\ud800b"', "a\ufffdb"),
    "no UTF-8": (b'"caf\xe9"', "caf\ufffd"),
    "a zero byte": (rb'"a\u0000b"', "a\x00b"),
    "a BOM": (b'"x"', "x"),
}


def test_odd_bytes_are_in_the_journal_and_readable_in_the_parquet(job: Job) -> None:
    """Nothing of a reply is lost in the journal; what Parquet can't hold is replaced there, and there alone."""
    names = list(TEXTS)

    def answer(asked: Asked) -> bytes:
        name = names[int(asked.said.split()[1])]
        body = json.dumps(completion("@")).encode().replace(b'"@"', TEXTS[name][0])
        return http(200, b"\xef\xbb\xbf" + body if name == "a BOM" else body)

    with raw_server(answer) as server:
        job.write(rows(len(names)), endpoint__base_url=server.url)
        assert job.run().code == 0
    assert [row["response"] for row in job.table()] == [TEXTS[name][1] for name in names]
    kept = b"".join(path.read_bytes() for path in job.run_folder.glob("journal-*.jsonl"))
    assert b'"a\\ud800b"' in kept
    assert b'"caf\\udce9"' in kept
    import duckdb
    import pandas as pd

    assert len(pd.read_parquet(job.output)) == len(names)
    found: Any = duckdb.sql(f"select response from '{job.output}' where response is not null")
    assert len(found.fetchall()) == len(names)


def test_what_is_not_told_is_null(job: Job) -> None:
    """No usage, tool calls without content, and a refusal are answers; what they lack is null, never 0."""
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    answers = [
        completion("x", usage=None),
        completion(choices=[{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]),
        completion(choices=[{"message": {"content": None, "refusal": "I can't."}, "finish_reason": "stop"}]),
    ]
    with raw_server(lambda asked: http(200, answers[int(asked.said.split()[1])])) as server:
        job.write(rows(3), endpoint__base_url=server.url)
        assert job.run().code == 0
    first, second, third = job.table()
    assert (first["prompt_tokens"], first["cost_usd"], first["cost_source"]) == (None, None, None)
    assert (second["response"], json.loads(second["tool_calls"])) == (None, calls)
    assert (third["response"], third["refusal"]) == (None, "I can't.")


def test_a_gateway_that_cuts_long_generations(job: Job) -> None:
    """Rows whose every attempt ends with 504 fail with that reason, and each attempt may have been billed."""
    cut = http(504, b"<html>Gateway timeout")
    with raw_server(lambda asked: cut if asked.said < "Question 3" else OK) as server:
        job.write(rows(6), endpoint__base_url=server.url, concurrency=1, retry__max_wait=0.01, retry__max_attempts=2)
        ended = job.run()
    assert ended.code == 3
    assert [row["error_kind"] for row in job.table()] == ["gateway_timeout"] * 3 + [None] * 3
    assert [row["possibly_billed_attempts"] for row in job.table()] == [2] * 3 + [0] * 3


def test_an_endpoint_that_serves_something_else(job: Job) -> None:
    """Another model, another tier and a cut prompt are told once each, with both names or the figure, and kept."""
    usage = {"prompt_tokens": 4000, "completion_tokens": 96, "total_tokens": 4096}
    body = completion("x", model="replacement", service_tier="default", usage=usage)
    text = "Tell me, in as many words as it takes, what happened then. " * 2000
    with raw_server(lambda _: http(200, body)) as server:
        given = [{"id": str(n), "messages": [{"role": "user", "content": f"{text}{'!' * n}"}]} for n in range(9)]
        job.write(given, endpoint__base_url=server.url, params__service_tier="flex", params__max_tokens=500)
        ended = job.run()
    assert ended.code == 0
    log = (job.run_folder / "run.log").read_text()
    for told in (ended.err, log):
        assert told.count("the endpoint serves replacement for m; the price may differ") == 1
        assert told.count("serves tier default where flex was asked for") == 1
        assert len(re.findall(r"row \d was answered after 4,000 prompt tokens, ", told)) == 1
        assert told.count("5 rows of different length each used exactly 4,096 tokens") == 1
    assert {(row["model"], row["model_requested"], row["service_tier"]) for row in job.table()} == {
        ("replacement", "m", "default")
    }
