"""The first seconds of a run: an endpoint that is not up yet, one that is not there, and strays among answers."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.acceptance.job import Job, rows, until
from tests.field.endpoint import Asked, Step, endpoint, error, ok

PAGE = b"<html><body>try again</body></html>"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def log_of(job: Job) -> str:
    return Path(job.run_folder, "run.log").read_text()


@pytest.mark.field
@pytest.mark.parametrize("what", ["refuses", "loads"])
def test_an_endpoint_that_comes_up_is_waited_for(job: Job, what: str) -> None:
    """Nothing listens there, or the model still loads: that is said at once, and all rows are answered in the end."""
    port = free_port()
    ready = threading.Event()

    def answer(asked: Asked) -> bytes:
        return ok() if ready.is_set() else error(503, "Loading model")

    job.write(rows(20), endpoint__base_url=f"http://127.0.0.1:{port}/v1", retry__max_wait=1, concurrency=4)
    if what == "loads":
        with endpoint(answer, port=port):
            running = job.start()
            running.says("Loading model; waiting up to 1h 00m, Ctrl-C stops")
            ready.set()
            ended = running.end()
    else:
        running = job.start()
        running.says(f"nothing listens at 127.0.0.1:{port}; waiting up to 1h 00m, Ctrl-C stops")
        until(lambda: job.state()["down_since"] is not None, "run.json's down_since")
        assert "nothing listens" in job.state()["waiting_for"]
        ready.set()
        with endpoint(answer, port=port):
            ended = running.end()
    assert ended.code == 0, ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 20
    assert "endpoint is back after" in log_of(job)


def test_an_endpoint_that_never_comes_up_stops_the_run_after_max_outage(job: Job) -> None:
    """With exit 5, and nothing failed."""
    port = free_port()
    job.write(rows(5), endpoint__base_url=f"http://127.0.0.1:{port}/v1", retry__max_outage=1, concurrency=2)
    ended = job.run()
    assert ended.code == 5
    assert f"the last attempt: nothing listens at 127.0.0.1:{port}." in ended.errors[0]
    assert job.state()["rows"]["failed"] == 0


@pytest.mark.parametrize(
    ("refusal", "hint"),
    [
        (error(404, "Not Found"), "/v1 is missing."),
        (error(200, "", body=PAGE, headers={"content_type": "text/html"}), "/v1 is missing."),
        (error(301, "", body=b"moved", headers={"location": "https://x/"}), "try https:// in place of http://."),
    ],
)
def test_a_wrong_address_stops_the_run_at_once_and_the_likely_mistake_is_named(
    job: Job, refusal: bytes, hint: str
) -> None:
    """No row fails for it, and few requests are sent."""
    with endpoint(lambda _: refusal) as server:
        job.write(rows(60), endpoint__base_url=f"http://127.0.0.1:{server.port}", concurrency=4)
        ended = job.run()
    assert ended.code == 5
    assert ended.errors[0].endswith(hint)
    assert len(server.asked) < 20
    assert job.state()["rows"]["failed"] == 0


@pytest.mark.parametrize("status", [401, 403, 404, 502, 200])
def test_one_web_page_among_the_first_requests(job: Job, status: int) -> None:
    """The third request gets it at once, the others are answered later: it is tried again."""

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.number == 3:
            return error(status, "", body=PAGE, headers={"content_type": "text/html"})
        return [0.2, ok()]

    with endpoint(answer) as server:
        job.write(rows(12), endpoint__base_url=server.url, concurrency=6, retry__max_wait=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 12


@pytest.mark.parametrize("at", [0, 11, 39])
def test_a_rows_own_model_that_is_unknown_fails_that_row(job: Job, at: int) -> None:
    """Wherever it stands; the run goes on."""

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.body["model"] != "m":
            return error(404, f"The model `{asked.body['model']}` does not exist", code="model_not_found")
        return [0.01, ok()]

    given = [{**row, "params": {"model": "gpt-5-typo"} if n == at else {}} for n, row in enumerate(rows(40))]
    with endpoint(answer) as server:
        job.write(given, endpoint__base_url=server.url, input__params="params", concurrency=8)
        ended = job.run()
    assert ended.code == 3, ended.err
    kinds = [row["error_kind"] for row in job.table()]
    assert kinds == [None] * at + ["not_found"] + [None] * (39 - at)


def test_the_jobs_own_model_that_is_unknown_stops_the_run(job: Job) -> None:
    """As before: no row fails for it."""
    refusal = error(404, "The model `m` does not exist", code="model_not_found")
    with endpoint(lambda _: [0.02, refusal]) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=8)
        ended = job.run()
    assert (ended.code, job.state()["rows"]["failed"]) == (5, 0)
    assert len(server.asked) <= 16


def test_one_refusal_of_the_key_among_answers(job: Job) -> None:
    """A single 401 in the middle of a run is asked again; the run goes on and every row is answered."""

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.number == 60:
            return error(401, "User not found.", code=401)
        return [0.01, ok()]

    with endpoint(answer) as server:
        job.write(rows(100), endpoint__base_url=server.url, concurrency=8, retry__max_wait=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert len(job.table()) == 100


def test_a_key_that_is_revoked_in_the_middle_stops_the_run(job: Job) -> None:
    """Refused three times, with nothing answered since: exit 5, and no row fails for it."""

    def answer(asked: Asked) -> Step | list[Step]:
        return [0.01, ok() if asked.number <= 30 else error(401, "Key revoked")]

    with endpoint(answer) as server:
        job.write(rows(100), endpoint__base_url=server.url, concurrency=4, retry__max_wait=1)
        ended = job.run()
    assert ended.code == 5
    assert "Key revoked" in ended.errors[0]
    assert job.state()["rows"] == {**job.state()["rows"], "answered": 30, "failed": 0, "left": 70}
