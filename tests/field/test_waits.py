"""What endpoints ask us to wait for, and for how long one of them may hold the others."""

from __future__ import annotations

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
