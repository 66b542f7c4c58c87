"""Asking the endpoint what it billed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from batchchat.arrow.widening import Kind
from batchchat.errors import EndpointError, UsageError
from batchchat.results.reconcile import job_to_reconcile, reconciled
from batchchat.results.reconciliation import Reconciliation
from batchchat.store.parquet import write_parquet
from tests.acceptance.servers import Raw, http, raw_server
from tests.store.given import answered

ENVIRON = {"KEY": "k"}


@pytest.fixture(autouse=True)
def _three_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [answered(f"q{n}", ordinal=n) for n in range(3)]
    write_parquet(Path("out.parquet"), ((row, 1) for row in rows), {"topic": Kind.TEXT}, {})


def ask(server: Raw, *, ids_at_once: int = 500) -> Reconciliation:
    Path("job.yaml").write_text(
        "input: {path: in.jsonl, id: id, column: prompt}\nmodel: some/model\n"
        f"endpoint: {{base_url: 'http://{server.host}/v1', api_key_env: KEY}}\noutput: {{path: out.parquet}}\n"
    )
    job = job_to_reconcile(Path("job.yaml"), ENVIRON)
    return asyncio.run(reconciled(job, ENVIRON, ids_at_once=ids_at_once, pauses_s=(0.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([http(404, {"detail": "Not Found"})], "HTTP 404"),
        ([http(200, {"costs": []})], "an unexpected response"),
        ([http(200, b"<html>")], "an unexpected response"),
        ([http(503, b"")] * 4, "HTTP 503"),
    ],
)
def test_an_endpoint_without_bills_is_named(answers: list[bytes], reason: str) -> None:
    """With what it responded; only a response that may change later is waited for, three times."""
    remaining = list(answers)
    with raw_server(lambda _: remaining.pop(0)) as server:
        with pytest.raises(EndpointError) as caught:
            ask(server)
        assert str(caught.value).startswith(
            f"{server.host} does not say what it billed ({reason} at /v1/request-costs)."
        )
        assert [request.path for request in server.asked] == ["/v1/request-costs"] * len(answers)
        assert json.loads(server.asked[0].body) == {"requestIds": ["r-1"] * 3}
        assert server.asked[0].headers["authorization"] == "Bearer k"


def test_a_busy_endpoint_is_asked_again() -> None:
    """A 503 is no final answer; rows that the endpoint does not know are counted."""
    remaining = [http(503, b""), http(200, {"requests": []})]
    with raw_server(lambda _: remaining.pop(0)) as server:
        reconciliation = ask(server)
    assert (reconciliation.unknown_rows, reconciliation.unknown_example) == (3, "q0")


def test_ids_are_sent_in_batches() -> None:
    """Each response id is in one request, and each request holds as many as it may."""
    with raw_server(lambda _: http(200, {"requests": [{"requestId": "r-1", "costNanoUsd": 123_000}]})) as server:
        reconciliation = ask(server, ids_at_once=2)
        assert sorted(len(json.loads(request.body)["requestIds"]) for request in server.asked) == [1, 2]
    assert (reconciliation.compared_rows, reconciliation.differing_rows) == (3, 0)


def test_an_output_does_not_say_whom_to_ask() -> None:
    """It has no key; the job file has."""
    with pytest.raises(UsageError, match="give the job file instead"):
        job_to_reconcile(Path("out.parquet"), {})
