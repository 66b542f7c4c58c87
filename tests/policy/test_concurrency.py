"""The fixed ceiling."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.exchange import Ask
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import GO, Wait

ASK = Ask()


@given(ceiling=st.integers(1, 5), comes=st.lists(st.booleans(), max_size=60))
def test_as_many_as_the_ceiling_and_no_more(ceiling: int, comes: list[bool]) -> None:
    """It lets go while fewer are in flight, else waits for the next to settle; asking changes nothing."""
    policy, held = Concurrency(ceiling), 0
    for coming in comes:
        if coming and policy.admit(0, ASK) == GO:
            policy.hold(0, ASK)
            held += 1
        elif not coming and held:
            policy.settle(0, ASK, None)
            held -= 1
        assert policy.in_flight == held <= ceiling
        assert policy.admit(0, ASK) == policy.admit(0, ASK) == (GO if held < ceiling else Wait(None))
