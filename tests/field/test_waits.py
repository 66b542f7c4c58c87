"""What endpoints ask us to wait for, and for how long one of them may hold the others."""

from __future__ import annotations

import pytest

from tests.acceptance.job import Job, rows
from tests.field.endpoint import Asked, endpoint, error, ok


def test_a_challenge_page_for_a_while(job: Job) -> None:
    """A firewall before the endpoint that answers 403 with a page for some seconds is waited out; no row fails."""

    def answer(asked: Asked) -> bytes:
        if asked.number <= 20 or asked.at > 2:
            return ok()
        page = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"
        return error(403, "", body=page, headers={"content_type": "text/html", "cf_mitigated": "challenge"})

    with endpoint(answer) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, retry__max_wait=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 40


def test_a_daily_quota_stops_the_run_after_max_outage(job: Job) -> None:
    """Retry-After says hours: exit 5 after `max_outage`, in the endpoint's words, and no row fails."""
    words = "Rate limit reached on tokens per day (TPD): Limit 100000. Please try again in 6h45m36s."

    def answer(asked: Asked) -> bytes:
        return ok() if asked.number <= 20 else error(429, words, headers={"retry_after": "24336"})

    with endpoint(answer) as server:
        job.write(rows(80), endpoint__base_url=server.url, concurrency=4, retry__max_wait=1, retry__max_outage=1)
        ended = job.run()
    assert ended.code == 5, ended.err
    assert words.removesuffix(".") in ended.errors[0]
    assert "It asks to wait until" in ended.errors[0]
    assert (job.state()["rows"]["answered"], job.state()["rows"]["failed"]) == (20, 0)
    assert len(server.asked) < 40


@pytest.mark.field
def test_what_holds_all_requests_is_said_with_its_end(job: Job) -> None:
    """In the log, once, in the endpoint's words."""

    def answer(asked: Asked) -> bytes:
        return error(429, "Slow down", headers={"retry_after": "5"}) if 8 <= asked.number <= 11 else ok()

    with endpoint(answer) as server:
        job.write(rows(30), endpoint__base_url=server.url, concurrency=2)
        ended = job.run("--progress", "log")
    assert ended.code == 0, ended.err
    assert "asks for a wait (HTTP 429: Slow down): nothing is sent until " in ended.err
