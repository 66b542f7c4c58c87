"""The usage of several requests, summed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import NO_SPEND, Action, Attempt, Request, Spend, Usage, Verdict
from batchchat.core.conversation import ErrorKind, Key

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)
_counts = st.none() | st.integers(0, 9)
usages = st.builds(Usage, _counts, _counts, _counts, _counts, _counts, st.none(), st.integers(0, 9), st.integers(0, 9))


@given(usages, usages, usages)
def test_a_sum_is_the_same_in_any_order(first: Usage, second: Usage, third: Usage) -> None:
    """Turn by turn, or restored from the journal in one go."""
    assert first.plus(second) == second.plus(first)
    assert first.plus(second).plus(third) == first.plus(second.plus(third))
    assert first.plus(second).billed_prompt_tokens == (
        None
        if first.billed_prompt_tokens is None or second.billed_prompt_tokens is None
        else first.billed_prompt_tokens + second.billed_prompt_tokens
    )


def test_what_is_unknown_of_one_is_unknown_of_both() -> None:
    """But for the parts of other counts, which are reported where there are any."""
    assert Usage(1, 2, 3, 1, None).plus(Usage(10, None, 30, None, None)) == Usage(11, None, 33, 1, None)
    assert Usage(1, 2, 3, cost_usd=0.5).plus(Usage(1, 2, 3, cost_usd=0.25)).cost_usd == 0.75


def accepted(usage: Usage | None) -> Attempt:
    return Attempt(REQUEST, Verdict(Action.ACCEPT), 0, 0, 0, usage=usage)


def failed(usage: Usage | None) -> Attempt:
    return Attempt(REQUEST, Verdict(Action.RETRY, kind=ErrorKind.TIMEOUT), 0, 0, 0, usage=usage)


def played(*requests: list[Attempt]) -> Spend:
    """What a row has used up whose requests had these attempts, each the last of them accepted but for the last."""
    spend = NO_SPEND
    for number, attempts in enumerate(requests):
        for attempt in attempts:
            spend = spend.with_attempt(attempt)
        if number < len(requests) - 1:
            spend = spend.with_next_request(attempts[-1].usage)
    return spend


def test_the_usage_of_a_row_is_that_of_its_requests() -> None:
    """Each has that of its accepted attempt; one that failed before counts where nothing came after it."""
    one, two = Usage(10, 1, 11), Usage(20, 2, 22)
    assert played([accepted(one)]).total_usage == one
    assert played([failed(two), accepted(one)], [accepted(two)]).total_usage == Usage(30, 3, 33)
    assert played([accepted(one)], [failed(None)]).total_usage == one
    assert played([accepted(one)], [failed(two), failed(None)]).total_usage == Usage(30, 3, 33)
    assert NO_SPEND.total_usage is None


def test_an_answer_without_tokens_makes_the_sum_unknown() -> None:
    """Whether it is the last or one before it; the answer to a row of one request has just none."""
    one = Usage(10, 1, 11)
    assert played([accepted(None)], [accepted(one)]).total_usage == Usage()
    assert played([accepted(one)], [accepted(None)]).total_usage == Usage()
    assert played([accepted(None)]).total_usage is None
