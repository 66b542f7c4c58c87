"""The summaries of several jobs as one object."""

from __future__ import annotations

from typing import Any

from batchchat.execution.stages_json import summary_of_stages


def of_job(known: float | None, **fields: Any) -> dict[str, Any]:
    return {
        "text": "job: 1 of 1 row answered",
        "this_run": {"rows": 1, "cost_usd": known, "elapsed_s": 0.25},
        "cost_usd": {"known": known, "superseded": 0.0, "possibly_billed_at_most": 0.0, "unknown_rows": 0},
        "possibly_billed_attempts": 0,
        **fields,
    }


def test_money_is_added_by_its_decimals() -> None:
    """0.1 and 0.2 are 0.3."""
    summary = summary_of_stages([of_job(0.1), of_job(0.2)], [], exit_code=0, reason=None, next_command=None)
    assert summary["cost_usd"] == {"known": 0.3, "superseded": 0.0, "possibly_billed_at_most": 0.0, "unknown_rows": 0}
    assert summary["this_run"] == {"rows": 2, "cost_usd": 0.3, "elapsed_s": 0.5}


def test_what_is_not_known_of_one_is_not_known_of_all() -> None:
    """A sum without it would be too low; a job that was refused has no figures."""
    refused = {**of_job(None), "cost_usd": None, "possibly_billed_attempts": None}
    summary = summary_of_stages([of_job(0.1), refused], ["c.yaml"], exit_code=2, reason="no", next_command="again")
    assert summary["cost_usd"]["known"] is None
    assert summary["possibly_billed_attempts"] is None
    assert (summary["state"], summary["reason"], summary["not_started"]) == ("stopped", "no", ["c.yaml"])
    assert summary["text"].endswith(" · c.yaml did not start")


def test_jobs_that_could_not_be_read_have_the_same_keys() -> None:
    """Nothing is known of any, and the text says why."""
    summary = summary_of_stages([], ["a.yaml", "b.yaml"], exit_code=2, reason="a.yaml:1:\n wrong", next_command=None)
    assert summary["text"] == "refused: a.yaml:1: wrong"
    assert summary["jobs"] == []
    assert summary["cost_usd"]["known"] is None
