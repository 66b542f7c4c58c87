from __future__ import annotations

import pytest

from batchchat.mock.gate import SlotGate
from batchchat.mock.request import RefusedRequest


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_no_more_than_so_many_at_once() -> None:
    """Above the ceiling comes DeepInfra's overload; a slot given back can be taken again."""
    gate = SlotGate(2, None, Clock())
    gate.enter()
    gate.enter()
    with pytest.raises(RefusedRequest) as refused:
        gate.enter()
    assert refused.value.status == 429
    assert refused.value.body["error"]["code"] == "engine_overloaded"
    gate.leave()
    gate.enter()
    assert (gate.in_flight, gate.max_in_flight) == (2, 2)


def test_no_more_than_the_rate() -> None:
    """A minute's requests pass at once, the next is told when to come back, and then passes."""
    clock = Clock()
    gate = SlotGate(None, 30, clock)
    for _ in range(30):
        gate.enter()
        gate.leave()
    with pytest.raises(RefusedRequest) as refused:
        gate.enter()
    assert refused.value.status == 429
    assert refused.value.headers == {"Retry-After": "2"}
    assert gate.in_flight == 0
    clock.now += 2
    gate.enter()
    with pytest.raises(RefusedRequest):
        gate.enter()


def test_the_bucket_holds_a_minute() -> None:
    """An idle hour saves up no more than a minute's requests."""
    clock = Clock()
    gate = SlotGate(None, 3, clock)
    clock.now += 3600
    for _ in range(3):
        gate.enter()
    with pytest.raises(RefusedRequest):
        gate.enter()
