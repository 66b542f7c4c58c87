"""The last row never holds the night."""

from __future__ import annotations

import re

import pytest

from batchchat.policy import stragglers
from tests.acceptance.job import Job, rows
from tests.acceptance.servers import completion, http, raw_server


def test_one_row_of_two_thousand_never_answers(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends in bounded time, the other rows answered, and the row's reason says what was waited for."""
    monkeypatch.setattr(stragglers, "FLOOR_S", 0.1)
    with raw_server(lambda asked: None if asked.said == "Question 1999" else http(200, completion())) as server:
        job.write(rows(2000), endpoint__base_url=server.url, concurrency=8)
        ended = job.run()
        assert server.requests == 2002
    assert ended.code == 3
    last = job.table()[-1]
    assert (last["id"], last["status"], last["error_kind"]) == ("r1999", "failed", "timeout")
    assert (last["attempts"], last["possibly_billed_attempts"], last["http_status"]) == (3, 3, None)
    assert re.fullmatch(r"no answer within [\d.]+ s at the end of the run, .*; cut off 3 times", last["error"])
    assert {row["status"] for row in job.table()[:-1]} == {"answered"}
    log = (job.run_folder / "run.log").read_text()
    for told in (ended.err, log):
        assert len(re.findall("row r1999 is the last .*: it is sent again, ", told)) == 2
        assert len(re.findall("row r1999 is the last .*: it is given up", told)) == 1


def test_a_resume_for_the_last_row_is_no_longer_held(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an answer takes is known from the journal, and a row with one attempt is left to its timeout."""
    monkeypatch.setattr(stragglers, "FLOOR_S", 0.2)
    with raw_server(lambda asked: None if asked.said == "Question 199" else http(200, completion())) as server:
        job.write(rows(199), endpoint__base_url=server.url)
        assert job.run().code == 0
        job.write(rows(200), retry__max_attempts=1, timeout__total=0.8)
        assert job.run().code == 3
        assert (job.table()[-1]["attempts"], job.table()[-1]["error"]) == (1, "no answer within 0.8 s")
        job.write(retry__max_attempts=6, timeout__total=600)
        assert job.run("--retry-failed").code == 3
    assert job.table()[-1]["error"].endswith("; cut off 3 times")
    assert job.table()[-1]["attempts"] == 4
