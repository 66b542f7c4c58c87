"""Rows, money and limits over several runs of a job: what one command says, the others say."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.job import Job, rows
from tests.field.endpoint import endpoint, error, ok


def report(job: Job) -> dict[str, Any]:
    """The one output of `report --json`."""
    output: dict[str, Any] = json.loads(job.run("report", "job.yaml", "--json").out)["outputs"][0]
    return output


def test_a_run_that_finishes_no_row_does_not_bring_back_rows_that_are_gone(job: Job) -> None:
    """Two rows were taken out of the input; the next run is stopped by its key at once. Report and status agree."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(5), endpoint__base_url=server.url)
        assert job.run().code == 0
        job.write(rows(3))
        assert job.run().code == 0
        server.answer = lambda _: error(401, "Invalid API key")
        job.write([*rows(3), *rows(1, start=7)])
        assert job.run().code == 5
    counts = report(job)["rows"]
    assert counts == job.state()["rows"]
    assert (counts["answered"], counts["left"], counts["total"]) == (3, 1, 4)
    assert len(job.table()) == 3
