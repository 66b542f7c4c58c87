"""How a result looks in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchchat.api.summary_table import summary_table

SUMMARY: dict[str, Any] = {
    "text": "a <b> stopped",
    "rows": {"answered": 1200, "failed": 2, "invalid": 0, "left": 5, "undecided": 0, "cut_off": 3},
    "failures": {"timeout": 2},
    "tokens": {"prompt_tokens": 10, "completion_tokens": None},
    "cost_usd": {"known": 1.5, "unknown_rows": 1, "possibly_billed_at_most": 0.25},
    "possibly_billed_attempts": 2,
    "mock": False,
}


def test_a_table_says_what_stopped_first_and_what_is_not_known() -> None:
    """Texts are escaped; money that no response reported stands apart."""
    table = summary_table(SUMMARY, Path("/out.parquet"), "the cap. The same call goes on.")
    assert "a &lt;b&gt; stopped" in table
    cells = [cell.partition("</td>")[0] for cell in table.split('<td style="text-align:left">')[1:]]
    assert cells == [
        "the cap. The same call goes on.",
        "1,200 answered · 2 failed · 5 left · 3 cut off",
        "2 timeout",
        "10 in",
        "$1.5000 · unknown for 1 row · 2 attempts possibly billed, at most $0.2500",
        "/out.parquet",
    ]


def test_a_run_that_knows_nothing_yet_has_a_table() -> None:
    """Refused before its rows were counted."""
    nothing = dict.fromkeys(SUMMARY) | {"text": "refused"}
    assert "unknown" in summary_table(nothing, Path("/out.parquet"), None)
