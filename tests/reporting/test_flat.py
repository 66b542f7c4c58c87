"""A report's figures as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.totals import OffRowCosts
from batchchat.reporting.flat import figures_csv
from batchchat.results.group_stats import GroupStats
from tests.store.given import answered, failed


def tally(*rows: Any) -> dict[str, Any]:
    made = GroupStats()
    for row in rows:
        made.add(row)
    return made.json(OffRowCosts())


def test_the_names_are_those_of_json() -> None:
    """Nested names are joined; a kind of failure that only one line has is 0 in the others; unknown is nothing."""
    told = figures_csv([({"topic": "=SUM(A1)"}, tally(answered())), ({"topic": None}, tally(failed()))])
    assert told.decode().splitlines() == [
        "topic,rows_total,rows_answered,rows_failed,rows_invalid,rows_left,rows_cut_off,rows_undecided,"
        "prompt_tokens,completion_tokens,cached_tokens,"
        "cost_usd_known,cost_usd_unknown_rows,cost_usd_superseded,cost_usd_pending,cost_usd_by_source_reported,"
        "cost_usd_possibly_billed,cost_usd_saved_by_cache,latency_s_p50,latency_s_p95,latency_s_p99,latency_s_max,attempts,"
        "possibly_billed_attempts,replies_repaired,replies_re_asks,failed_timeout",
        "'=SUM(A1),1,1,0,0,0,0,0,5,7,2,0.000123,0,0.0,0.0,0.000123,0.0,,1.5,1.5,1.5,1.5,1,0,0,0,0",
        ",1,0,1,0,0,0,0,,,,,0,0.0,0.0,,0.0,,,,,,1,0,0,0,1",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["topic", "rows_total", "path"]))
def test_no_value_becomes_a_formula(value: str, name: str) -> None:
    """Whatever a group is called, no cell begins as a formula does, and its figures stand under their heads."""
    told = figures_csv([({name: value}, tally(answered()))]).decode()
    head, line = csv.reader(io.StringIO(told, newline=""))
    assert not line[0].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert line[0].removeprefix("'") == value.removeprefix("'")
    assert (head[0], line[head.index("cost_usd_known")]) == (name, "0.000123")
