"""Rows that are themselves the cause of their refusals are told from a limit that refuses all."""

from __future__ import annotations

from typing import Any

import pytest

from batchchat.core.attempt import Action, Attempt, Billed, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.refused_rows import RefusedRows

ROW = Key("bad")


def attempt(key: Key, kind: ErrorKind | None, **verdict: Any) -> Attempt:
    action = Action.ACCEPT if kind is None else Action.RETRY
    scope = verdict.pop("scope", Scope.ROW if kind is None else Scope.ENDPOINT)
    status = verdict.pop("status", 200 if kind is None else 429)
    return Attempt(Request(key, 0, "m", [], b"{}", 1), Verdict(action, scope, kind=kind, **verdict), 0, 0, 0, status)


class Sent:
    """Requests one after the other; `others` are sent and answered, or every `refused`-th of them refused."""

    def __init__(self, max_attempts: int = 6) -> None:
        self.rows = RefusedRows(max_attempts)
        self._number = 0

    def refuse(self, key: Key = ROW, **verdict: Any) -> Attempt:
        shown = self.rows.settled(self.rows.sent(), attempt(key, ErrorKind.RATE_LIMIT, **verdict))
        assert shown is not None
        return shown

    def others(self, count: int, *, refused: int = 10**9) -> None:
        for _ in range(count):
            self._number += 1
            key = Key(str(self._number))
            kind = ErrorKind.RATE_LIMIT if self._number % refused == 0 else None
            self.rows.settled(self.rows.sent(), attempt(key, kind))

    def refusals_until_given_up(self, *, others: int, refused: int = 10**9, most: int = 60) -> int | None:
        for count in range(1, most):
            self.refuse()
            if self.rows.cause(ROW) is not None:
                return count
            self.others(others, refused=refused)
        return None


@pytest.mark.parametrize(("max_attempts", "refusals"), [(1, 3), (2, 3), (6, 6), (10, 10)])
def test_a_row_that_alone_is_refused_ends_after_its_attempts(max_attempts: int, refusals: int) -> None:
    """Each time while those sent after it are answered; with fewer than three it may be chance."""
    sent = Sent(max_attempts)
    sent.others(40)
    assert sent.refusals_until_given_up(others=40) == refusals


def test_the_reason_names_how_often_and_the_limit() -> None:
    """And the row is forgotten with it."""
    sent = Sent(3)
    sent.others(40)
    for _ in range(3):
        sent.refuse()
        sent.others(40)
    assert sent.rows.cause(ROW) == "refused 3 times, while other requests were answered (`retry.max_attempts`)"
    assert sent.rows.cause(ROW) is None


def test_where_half_is_refused_it_takes_twenty_in_a_row() -> None:
    """Chance brings one row in a million so far."""
    refusals = Sent().refusals_until_given_up(others=40, refused=2)
    assert refusals is not None
    assert 15 <= refusals <= 25


def test_refusals_that_nothing_contradicts_give_nobody_up() -> None:
    """All that is sent is refused: that is a limit, or an outage."""
    sent = Sent()
    sent.others(100)
    for _ in range(200):
        sent.refuse()
        sent.others(3, refused=1)
        assert sent.rows.cause(ROW) is None
        assert not sent.rows.is_cause(ROW)


def test_a_suspect_is_shown_to_others_as_the_rows_own_fault() -> None:
    """From the second contradicted refusal on at the latest, without what it asks all to wait; the kind stays."""
    sent = Sent()
    sent.others(40)
    assert sent.refuse(wait_s=60.0).verdict.scope is Scope.ENDPOINT
    sent.others(40)
    verdict = sent.refuse(wait_s=60.0).verdict
    assert (verdict.scope, verdict.wait_s, verdict.kind) == (Scope.ROW, None, ErrorKind.RATE_LIMIT)
    assert verdict.action is Action.RETRY
    assert sent.rows.is_cause(ROW)
    assert not sent.rows.is_cause(Key("1"))


def test_at_the_end_of_a_run_a_row_that_was_contradicted_is_given_up_alone() -> None:
    """Nothing is sent any more that could be answered, and no other row shows a limit."""
    sent = Sent()
    sent.others(40)
    sent.refuse()
    sent.others(1)
    assert sent.refusals_until_given_up(others=0) == 5


def test_a_last_row_that_was_never_contradicted_is_not_given_up() -> None:
    """It may as well be an outage. Where other rows of the run were suspected it is not."""
    sent = Sent()
    sent.others(40)
    assert sent.refusals_until_given_up(others=0) is None
    sent = Sent()
    sent.others(40)
    for _ in range(2):
        sent.refuse(Key("another"))
        sent.others(40)
    sent.refuse(Key("another"))
    assert sent.refusals_until_given_up(others=0) == 6


def test_rows_that_are_refused_with_it_show_a_limit() -> None:
    """More rows that nothing contradicts than there are suspects: nobody is given up."""
    sent = Sent()
    sent.others(40)
    sent.refuse()
    sent.others(1)
    sent.others(8, refused=1)
    assert sent.refusals_until_given_up(others=0) is None


def test_an_answer_ends_the_suspicion() -> None:
    """A row that is answered after all begins anew."""
    sent = Sent()
    sent.others(40)
    for _ in range(4):
        sent.refuse()
        sent.others(40)
    assert sent.rows.is_cause(ROW)
    sent.rows.settled(sent.rows.sent(), attempt(ROW, None))
    assert not sent.rows.is_cause(ROW)


@pytest.mark.parametrize(
    "other",
    [{"scope": Scope.ROW}, {"billed": Billed.MAYBE}, {"status": None}],
    ids=["the row's own failure", "may be billed", "no connection"],
)
def test_only_refusals_count(other: dict[str, Any]) -> None:
    """What the row's limits bound already, or nobody answered, is shown as it is."""
    sent = Sent()
    for _ in range(20):
        sent.others(40)
        shown = sent.refuse(**other)
        assert shown == attempt(ROW, ErrorKind.RATE_LIMIT, **other)
        assert sent.rows.cause(ROW) is None


def test_a_cancelled_request_says_nothing() -> None:
    """Neither of its row nor of the endpoint."""
    rows = RefusedRows()
    assert rows.settled(rows.sent(), None) is None
