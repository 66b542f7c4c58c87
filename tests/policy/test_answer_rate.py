"""How many stand in line, by the answers in the time after which a request is cut off."""

from __future__ import annotations

import pytest

from batchchat.policy.answer_rate import AnswerRate


@pytest.mark.parametrize(
    ("in_flight", "answers", "in_line"),
    [
        (100, 4, 4),  # nginx's 5 s before a server of four slots
        (100, 0, 0),
        (100, 90, None),
        (4, 4, None),
        (4, 2, None),  # what so few answer in one span is left to chance
        (4, 0, 0),
    ],
)
def test_who_stands_in_line(in_flight: int, answers: int, in_line: int | None) -> None:
    """Fewer are answered in that time than are in flight."""
    rate = AnswerRate()
    rate.add(1.0)
    for _ in range(answers):
        rate.add(12.0)
    assert rate.in_line(15.0, 5.0, 10.0, in_flight) == in_line


def test_a_few_in_flight_are_looked_at_over_several_spans() -> None:
    """Four in flight of which two are answered in each span of 5 s, over 20 s."""
    rate = AnswerRate()
    for number in range(8):
        rate.add(80.1 + 2.5 * number)
    assert rate.in_line(100.0, 5.0, 40.0, 4) == 2
