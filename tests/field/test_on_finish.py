"""What the user's own command is told at the end: this run and the whole apart, and money that never falls."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.acceptance.job import Job, rows
from tests.field.endpoint import endpoint, ok

FORM = {
    "text", "job", "output", "exit_code", "reason", "state", "this_run", "rows", "cost_usd",
    "possibly_billed_attempts", "tokens", "failures", "next_command",
}  # fmt: skip


def told(job: Job) -> list[dict[str, Any]]:
    path = job.folder / "told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_this_run_and_the_whole_are_told_apart(job: Job) -> None:
    """The second night's message said what both nights had cost."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(9), endpoint__base_url=server.url, on_finish="cat >> told")
        first_out = job.run("--limit", "4").out
        second_out = job.run().out
    first, second = told(job)
    for summary in (first, second):
        assert summary.keys() >= FORM
        assert set(summary["this_run"]) == {"rows", "cost_usd", "elapsed_s"}
        assert summary["cost_usd"].keys() >= {"known", "superseded", "possibly_billed_at_most"}
    assert (first["this_run"]["rows"], first["rows"]["answered"], first["rows"]["left"]) == (4, 4, 5)
    assert (second["this_run"]["rows"], second["rows"]["answered"], second["rows"]["left"]) == (5, 9, 0)
    assert second["cost_usd"]["known"] == 0.000018
    assert round(second["this_run"]["cost_usd"], 9) == 0.00001
    assert "this run" not in first_out
    assert re.search(r"  this run  5 rows · [\d.]+s · <\$0\.0001\n", second_out)


def test_money_never_falls(job: Job) -> None:
    """Not where answers are paid for again, nor where rows are gone from the input; and the summary says the same."""
    price = {"usd": 1.0}

    def answer(_: object) -> bytes:
        return ok(usage={"prompt_tokens": 10, "completion_tokens": 5, "estimated_cost": price["usd"]})

    outs = []
    with endpoint(answer) as server:
        job.write(rows(6), endpoint__base_url=server.url, on_finish="cat >> told")
        outs.append(job.run().out)
        price["usd"] = 0.25
        job.write([{**row, "messages": [{"role": "user", "content": "Other"}]} for row in rows(6)])
        outs.append(job.run("--resend", "changed").out)
        job.write([{**row, "messages": [{"role": "user", "content": "Other"}]} for row in rows(3)] + rows(1, 7))
        outs.append(job.run().out)
    costs = [summary["cost_usd"]["known"] for summary in told(job)]
    assert costs == [6.0, 7.5, 7.75]
    assert [summary["cost_usd"]["superseded"] for summary in told(job)] == [0.0, 6.0, 6.75]
    for cost, out in zip(costs, outs, strict=True):
        assert f" for ${cost:.4f}" in out.splitlines()[-20:][0] or f" for ${cost:.4f}" in out
    assert json.loads(job.run("status", "job.yaml", "--json").out)["cost_usd"] == costs[-1]
    assert f" for ${costs[-1]:.4f}" in job.run("report", "out.parquet").out.splitlines()[0]


def test_the_text_says_what_a_night_did(job: Job) -> None:
    """With new rows each day the whole grows, and the morning message has the day's rows and money apart."""
    for count in (3, 5):
        job.write(rows(count), on_finish="cat >> told")
        assert job.run().code == 0
    night = r"; this run: 2 rows in [\d.]+s for <?\$[\d.]+"
    first, second = (summary["text"] for summary in told(job))
    assert first.startswith("job: 3 of 3 rows answered")
    assert not re.search(night, first)
    assert re.fullmatch(rf"job: 5 of 5 rows answered in [\d.]+s for <?\$[\d.]+ \(mock\){night}", second)


def test_nothing_to_do_is_not_worth_a_message(job: Job) -> None:
    """A finished run that a timer starts again each hour is a no-op."""
    job.write(rows(3), on_finish="cat >> told")
    assert job.run().code == 0
    assert job.run().code == 0
    assert len(told(job)) == 1


def test_an_output_that_was_lost_and_is_written_again_is_told(job: Job) -> None:
    """Nothing was sent, but something was done."""
    job.write(rows(3), on_finish="cat >> told")
    job.run()
    job.output.unlink()
    assert job.run().code == 0
    assert [summary["this_run"]["rows"] for summary in told(job)] == [3, 0]


def test_the_text_is_one_line(job: Job) -> None:
    """For a chat message: what came of it, what is left, and nothing that an endpoint said."""
    job.write([*rows(4), {"id": "bad", "messages": []}], on_finish="cat >> told")
    assert job.run().code == 3
    (summary,) = told(job)
    assert re.fullmatch(r"job: 4 of 5 rows answered in [\d.]+s for <?\$[\d.]+ \(mock\), 1 invalid", summary["text"])
