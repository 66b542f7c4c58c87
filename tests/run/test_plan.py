"""What becomes of each row on a resume."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import MaxUsage, Request
from batchchat.core.conversation import Key
from batchchat.run.plan import Disposition, OnChanged, PlanCounts, disposition

MAX_USAGE, KEEP, RESEND = OnChanged.ASK, OnChanged.KEEP, OnChanged.RESEND

TABLE = [
    # status, the same request, --retry-failed, changed -> fate
    ("", False, False, MAX_USAGE, Disposition.SEND_NEW),
    ("", True, True, KEEP, Disposition.SEND_NEW),
    ("invalid", True, False, MAX_USAGE, Disposition.SEND_NEW),
    ("invalid", False, False, KEEP, Disposition.SEND_NEW),
    ("answered", True, False, MAX_USAGE, Disposition.KEEP),
    ("answered", True, True, RESEND, Disposition.KEEP),
    ("answered", False, False, MAX_USAGE, Disposition.UNDECIDED),
    ("answered", False, True, MAX_USAGE, Disposition.UNDECIDED),
    ("answered", False, False, KEEP, Disposition.KEEP_CHANGED),
    ("answered", False, False, RESEND, Disposition.SEND_CHANGED),
    ("failed", True, False, MAX_USAGE, Disposition.KEEP),
    ("failed", True, True, MAX_USAGE, Disposition.SEND_FAILED),
    ("failed", False, False, MAX_USAGE, Disposition.SEND_CHANGED),
    ("failed", False, True, KEEP, Disposition.SEND_FAILED),
]


@pytest.mark.parametrize(("status", "same", "retry", "changed", "expected"), TABLE)
def test_the_table_holds(status: str, *, same: bool, retry: bool, changed: OnChanged, expected: Disposition) -> None:
    """Each row of the contract's table on resuming is decided as it says."""
    assert disposition(status, same_request=same, retry_failed=retry, changed=changed) is expected


@given(st.sampled_from(["", "answered", "failed", "invalid"]), st.booleans(), st.booleans())
def test_an_answer_is_paid_again_only_on_demand(status: str, same: bool, retry: bool) -> None:
    """Without --resend-changed no answered row is ever sent, whatever else is asked."""
    for changed in (OnChanged.ASK, OnChanged.KEEP):
        decided = disposition(status, same_request=same, retry_failed=retry, changed=changed)
        assert not (status == "answered" and decided.sends)


def asked(id_: str, cost: str | None) -> Request:
    return Request(Key(id_), 0, "m", [], b"", 1, MaxUsage(cost_usd=None if cost is None else Decimal(cost)))


def test_the_most_that_rows_can_cost() -> None:
    """Bounds are summed, rows without one counted with the first of them; the undecided join when they are sent."""
    tally = PlanCounts()
    tally.most.count(asked("a", "0.1"), "in.jsonl:1")
    tally.most_undecided.count(asked("b", None), "in.jsonl:2")
    tally.most_undecided.count(asked("c", "0.2"), "in.jsonl:3")
    tally.decide(OnChanged.KEEP)
    assert (tally.most.usd, tally.most.unbounded, tally.most.first) == (Decimal("0.1"), 0, None)
    tally.decide(OnChanged.RESEND)
    tally.most.count(asked("d", None), "in.jsonl:4")
    assert (tally.most.usd, tally.most.unbounded) == (Decimal("0.3"), 2)
    assert tally.most.first == asked("b", None)
    assert tally.most.first_place == "in.jsonl:2"


@given(
    st.dictionaries(st.sampled_from(list(Disposition)), st.integers(0, 1000)), st.integers(0, 50), st.integers(0, 50)
)
def test_the_tally_adds_up(counts: dict[Disposition, int], invalid: int, gone: int) -> None:
    """What is announced is every row once: kept, sent, left or invalid, and a decision moves the undecided whole."""
    tally = PlanCounts(invalid=invalid, changed_cost_usd=Decimal("0.1"))
    tally.fates.update(counts)
    good = tally.good
    tally.decide(OnChanged.RESEND)
    planned = tally.planned(gone)
    assert tally.fates[Disposition.UNDECIDED] == 0
    assert planned.total == good + invalid
    sent = planned.new + planned.resend_changed + planned.retry_failed
    assert planned.kept + sent + planned.later + planned.invalid == planned.total
    assert sent == tally.to_send
    assert planned.gone == gone
