"""One bucket, however many draw from it."""

from __future__ import annotations

import pytest

from batchchat.cluster.credit_lessor import CreditLessor
from batchchat.cluster.messages import CreditReport


def lessor() -> CreditLessor:
    """Ten a second, and a bucket of ten."""
    return CreditLessor(600)


def test_what_is_held_is_not_granted_twice() -> None:
    credits_ = lessor()
    credits_.report(0.0, "a", CreditReport(needed=1, wanted=10))
    credits_.grant(0.0, "a", 1)
    assert credits_.granted("a") == 10
    credits_.report(5.0, "b", CreditReport(needed=1, wanted=10))
    assert credits_.lacks(5.0, "b"), "a has not spent any, and may at any time"
    credits_.report(5.0, "a", CreditReport(spent=10, held=0, heard=10))
    assert credits_.lacks(5.0, "b")
    assert not credits_.lacks(5.1, "b")


def test_what_is_given_back_is_free_at_once() -> None:
    credits_ = lessor()
    credits_.report(0.0, "a", CreditReport(needed=1, wanted=10))
    credits_.grant(0.0, "a", 1)
    credits_.report(0.0, "a", CreditReport(spent=2, held=0, heard=10))
    credits_.report(0.0, "b", CreditReport(needed=8, wanted=8))
    assert not credits_.lacks(0.0, "b")


def test_beyond_its_need_a_worker_has_its_part() -> None:
    credits_ = lessor()
    credits_.report(0.0, "a", CreditReport(needed=2, wanted=10))
    credits_.grant(0.0, "a", 4)
    assert credits_.granted("a") == 4
    credits_.report(0.0, "a", CreditReport(heard=0, needed=2, wanted=10))  # it has not heard
    credits_.grant(0.0, "a", 4)
    assert credits_.granted("a") == pytest.approx(5.5)


def test_a_debt_is_paid_by_the_bucket() -> None:
    credits_ = lessor()
    credits_.report(0.0, "a", CreditReport(needed=10, wanted=10))
    credits_.grant(0.0, "a", 1)
    credits_.report(0.0, "a", CreditReport(spent=30, heard=10))
    credits_.report(0.0, "b", CreditReport(needed=1, wanted=1))
    assert credits_.lacks(2.0, "b")
    assert not credits_.lacks(2.2, "b")


def test_what_an_ended_process_held_counts_as_spent() -> None:
    credits_ = lessor()
    credits_.report(0.0, "a", CreditReport(needed=10, wanted=10))
    credits_.grant(0.0, "a", 1)
    credits_.forget(3.0, "a")
    credits_.report(3.0, "b", CreditReport(needed=10, wanted=10))
    assert credits_.lacks(3.9, "b")
    assert not credits_.lacks(4.0, "b")


def test_what_was_written_off_is_not_given_back() -> None:
    """While it was nobody's the bucket filled: granted again it would go beyond what a minute may have."""
    credits_ = lessor()
    credits_.report(0.0, "a", CreditReport(needed=10, wanted=10))
    credits_.grant(0.0, "a", 1)  # on its way, and lost
    credits_.write_off(5.0, "a")
    credits_.write_off(5.1, "a")
    credits_.report(6.0, "b", CreditReport(needed=10, wanted=10))
    credits_.grant(6.0, "b", 2)
    credits_.report(6.0, "a", CreditReport(needed=1, wanted=1))
    assert credits_.granted("a") == 0
    assert credits_.lacks(6.0, "a")
