"""The summary of several jobs that ran in order, as one JSON object: what `run --json A B` prints. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED

__all__ = ["summary_of_stages"]


def summary_of_stages(
    summaries: Sequence[Mapping[str, Any]],
    not_started: Sequence[str],
    *,
    exit_code: int,
    reason: str | None,
    next_command: str | None,
) -> dict[str, Any]:
    """The `summaries` of the jobs that ran, with their sums; `not_started` are the paths of the others.

    A sum is None where a figure of a job that ran is not known; the rows of the jobs are not added up.
    """
    costs = [summary["cost_usd"] or {} for summary in summaries]
    this_runs = [summary["this_run"] or {} for summary in summaries]
    texts = [*(summary["text"] for summary in summaries), *(f"{job} did not start" for job in not_started)]
    return {
        "text": " · ".join(texts) if summaries else f"refused: {' '.join((reason or '').split())}",
        "exit_code": exit_code,
        "reason": reason,
        "state": "finished" if exit_code in {EXIT_OK, EXIT_ROWS_FAILED} else "stopped",
        "this_run": {
            "rows": sum(this_run.get("rows") or 0 for this_run in this_runs),
            "cost_usd": _sum([this_run.get("cost_usd") for this_run in this_runs]),
            "elapsed_s": round(sum(this_run.get("elapsed_s") or 0 for this_run in this_runs), 3),
        },
        "cost_usd": {
            name: _sum([cost.get(name) for cost in costs])
            for name in ("known", "superseded", "possibly_billed_at_most", "unknown_rows")
        },
        "possibly_billed_attempts": _sum([summary["possibly_billed_attempts"] for summary in summaries]),
        "next_command": next_command,
        "jobs": [*summaries],
        "not_started": [*not_started],
    }


def _sum(figures: Sequence[float | None]) -> float | None:
    """The sum of `figures`, by their decimals; None where one is not known, or there is none."""
    if not figures or any(figure is None for figure in figures):
        return None
    total = sum((Decimal(str(figure)) for figure in figures), Decimal(0))
    return int(total) if all(isinstance(figure, int) for figure in figures) else float(total)
