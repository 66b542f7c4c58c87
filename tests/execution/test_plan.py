"""What becomes of each row on a resume."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Key, Row
from batchchat.execution.disposition import Disposition, OnChanged, disposition
from batchchat.execution.plan import PlanCounts
from tests.dispatch.made import Steps

ASK, KEEP, RESEND = OnChanged.ASK, OnChanged.KEEP, OnChanged.RESEND

TABLE = [
    # status, the same request, asked for again, changed -> disposition
    ("", False, False, ASK, Disposition.SEND_NEW),
    ("", True, True, KEEP, Disposition.SEND_NEW),
    ("invalid", True, False, ASK, Disposition.SEND_NEW),
    ("invalid", False, False, KEEP, Disposition.SEND_NEW),
    ("answered", True, False, ASK, Disposition.KEEP),
    ("answered", True, True, RESEND, Disposition.SEND_AGAIN),
    ("answered", False, False, ASK, Disposition.UNDECIDED),
    ("answered", False, True, ASK, Disposition.SEND_AGAIN),
    ("answered", False, False, KEEP, Disposition.KEEP_CHANGED),
    ("answered", False, False, RESEND, Disposition.SEND_CHANGED),
    ("failed", True, False, ASK, Disposition.KEEP),
    ("failed", True, True, ASK, Disposition.SEND_FAILED),
    ("failed", False, False, ASK, Disposition.SEND_CHANGED),
    ("failed", False, True, KEEP, Disposition.SEND_FAILED),
]


@pytest.mark.parametrize(("status", "same", "resend", "changed", "expected"), TABLE)
def test_the_table_holds(status: str, *, same: bool, resend: bool, changed: OnChanged, expected: Disposition) -> None:
    """Each row is decided as the table in docs/exit-codes.md says."""
    assert disposition(status, same_request=same, resend=resend, changed=changed) is expected


@given(st.sampled_from(["", "answered", "failed", "invalid"]), st.booleans())
def test_an_answer_is_paid_again_only_on_demand(status: str, same: bool) -> None:
    """Where the user asks for nothing, no answered row is ever sent."""
    for changed in (OnChanged.ASK, OnChanged.KEEP):
        decided = disposition(status, same_request=same, resend=False, changed=changed)
        assert not (status == "answered" and decided.sends)


def script(id_: str, cost: str | None) -> Steps:
    return Steps(Row(Key(id_), 0, f"in.jsonl:{id_}", []), 2, usd=cost)


def test_the_most_that_rows_can_cost() -> None:
    """Bounds of whole rows are summed, rows without one counted with the first; the undecided join when sent."""
    counts = PlanCounts()
    for bound, row in (
        (counts.max_cost, script("a", "0.05")),
        (counts.max_cost_undecided, script("b", None)),
        (counts.max_cost_undecided, script("c", "0.1")),
    ):
        bound.add(row, row.bound.cost_usd)
    counts.decide(OnChanged.KEEP)
    assert (counts.max_cost.usd, counts.max_cost.unbounded, counts.max_cost.first) == (Decimal("0.1"), 0, None)
    counts.decide(OnChanged.RESEND)
    counts.max_cost.add(script("d", None), None)
    assert (counts.max_cost.usd, counts.max_cost.unbounded) == (Decimal("0.3"), 2)
    assert counts.max_cost.first == script("b", None)


@given(
    st.dictionaries(st.sampled_from(list(Disposition)), st.integers(0, 1000)), st.integers(0, 50), st.integers(0, 50)
)
def test_the_counts_add_up(rows: dict[Disposition, int], invalid: int, gone: int) -> None:
    """What is announced is every row once: kept, sent, left or invalid, and a decision moves the undecided whole."""
    counts = PlanCounts(invalid=invalid, changed_cost_usd=Decimal("0.1"))
    counts.rows.update(rows)
    good = counts.good
    counts.decide(OnChanged.RESEND)
    planned = counts.planned(gone)
    assert counts.rows[Disposition.UNDECIDED] == 0
    assert planned.total == good + invalid
    sent = planned.new + planned.resend_changed + planned.resend_answered + planned.retry_failed
    assert planned.kept + sent + planned.shared + planned.later + planned.invalid == planned.total
    assert sent == counts.to_send
    assert planned.gone == gone
