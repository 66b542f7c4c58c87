"""First come, first served; who is gone is not waited for."""

from __future__ import annotations

from batchchat.cluster.waiting_line import WaitingLine


def test_who_waits_longest_is_first() -> None:
    line = WaitingLine()
    assert line.is_turn_of(0.0, "b")
    line.wait(0.0, "a")
    line.wait(0.1, "b")
    line.wait(0.2, "a")
    assert [line.is_turn_of(0.3, worker) for worker in "abc"] == [True, False, False]
    line.leave("a")
    assert [line.is_turn_of(0.3, worker) for worker in "abc"] == [False, True, False]


def test_who_asks_no_more_is_not_waited_for() -> None:
    line = WaitingLine()
    line.wait(0.0, "a")
    assert not line.is_turn_of(1.0, "b")
    assert line.is_turn_of(3.0, "b")
    line.wait(3.0, "b")
    line.wait(3.1, "a")  # back, at the end of the line
    assert line.is_turn_of(3.2, "b")
    assert not line.is_turn_of(3.2, "a")
