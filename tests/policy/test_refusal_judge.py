"""What a refusal means by what else came back."""

from __future__ import annotations

import pytest

from batchchat.core.attempt import Action, Attempt, MaxUsage
from batchchat.core.conversation import ErrorKind
from batchchat.policy.decision import ADMIT, Delay, Halt
from batchchat.policy.refusal_judge import ENDPOINT_REFUSES, RefusalJudge
from tests.dispatch.made import accepted, failed, request

USAGE = MaxUsage()


class Judge(RefusalJudge):
    """With a shorthand: a request that ends at `now`, and the action that is taken."""

    def ends(self, now: float, attempt: Attempt) -> Action:
        judged = self.judge(now, attempt)
        self.release(now, USAGE, attempt)
        return judged.verdict.action

    def begin(self, count: int = 1) -> None:
        for _ in range(count):
            self.acquire(0.0, USAGE)


def refusal(action: Action, name: str = "1", model: str = "m", latency_s: float = 0.1) -> Attempt:
    kind = ErrorKind.UNAUTHORIZED if action is Action.STOP_RUN else ErrorKind.NOT_FOUND
    return failed(request(name, model), kind, action, status=404, latency_s=latency_s)


@pytest.mark.parametrize("action", [Action.STOP_RUN, Action.STOP_UNLESS_ANSWERED, Action.RETRY_IF_ANSWERED])
def test_nothing_is_sent_while_a_first_refusal_is_open(action: Action) -> None:
    """Until an answer, until nothing is in flight any more, or for ten seconds."""
    judge = Judge("m")
    judge.begin(3)
    assert judge.ends(1.0, refusal(action)) is Action.RETRY
    assert judge.check(1.0, USAGE) == Delay(10.0)
    assert judge.check(11.0, USAGE) == ADMIT
    assert judge.verdict_on_open() is None
    judge.ends(2.0, accepted(request("2")))
    assert judge.check(2.0, USAGE) == ADMIT
    judge.ends(2.0, accepted(request("3")))
    assert judge.verdict_on_open() is None


@pytest.mark.parametrize("action", [Action.STOP_RUN, Action.STOP_UNLESS_ANSWERED, Action.RETRY_IF_ANSWERED])
def test_refusals_alone_stop_the_run_once(action: Action) -> None:
    """With the first of them."""
    judge = Judge("m")
    judge.begin(2)
    first = refusal(action)
    judge.ends(1.0, first)
    assert judge.verdict_on_open() is None
    judge.ends(1.1, refusal(action, "2"))
    assert judge.verdict_on_open() == Halt(ENDPOINT_REFUSES, first)
    assert judge.verdict_on_open() is None


def test_where_others_ended_otherwise_it_is_asked_three_times() -> None:
    """A 503 beside it says neither that the address is right nor that it is wrong."""
    judge = Judge("m")
    for last in (False, False, True):
        judge.begin(2)
        action = judge.ends(1.0, refusal(Action.RETRY_IF_ANSWERED))
        judge.ends(1.1, failed(request("2"), status=503))
        assert judge.verdict_on_open() is None
        assert action is (Action.STOP_RUN if last else Action.RETRY)


@pytest.mark.parametrize(("answered_since", "end"), [(True, Action.FAIL_ROW), (False, Action.STOP_RUN)])
def test_a_key_that_was_accepted_is_asked_twice_more(answered_since: bool, end: Action) -> None:
    """A row that is refused three times fails where later ones are answered; else the key is wrong by now."""
    judge = Judge("m")
    judge.begin(9)
    judge.ends(1.0, accepted(request("0")))
    assert judge.ends(2.0, refusal(Action.STOP_RUN)) is Action.RETRY
    assert judge.check(2.0, USAGE) == ADMIT
    if answered_since:
        judge.ends(3.0, accepted(request("2")))
    assert judge.ends(4.0, refusal(Action.STOP_RUN)) is Action.RETRY
    assert judge.ends(5.0, refusal(Action.STOP_RUN)) is end


def test_a_key_that_an_earlier_run_used_may_have_expired() -> None:
    """At the beginning of a resume it is judged as at first contact, and stops the run with no row failed."""
    judge = Judge("m", ["m"])
    judge.begin()
    assert judge.ends(1.0, refusal(Action.STOP_RUN)) is Action.RETRY
    assert judge.verdict_on_open() is not None


@pytest.mark.parametrize("answered", [True, False])
def test_a_rows_own_model_fails_its_row(answered: bool) -> None:
    """Wherever in the input it stands; only the job's model stops the run."""
    judge = Judge("m")
    judge.begin(4)
    if answered:
        judge.ends(1.0, accepted(request("0")))
    assert judge.ends(2.0, refusal(Action.STOP_UNLESS_ANSWERED, model="own")) is Action.FAIL_ROW
    assert judge.verdict_on_open() is None


def test_a_web_page_says_nothing_of_a_model() -> None:
    """Where any model has answered, it stands before the endpoint for a while."""
    judge = Judge("m")
    judge.begin(4)
    judge.ends(1.0, accepted(request("0", "own")))
    assert judge.ends(2.0, refusal(Action.RETRY_IF_ANSWERED)) is Action.RETRY


def test_an_empty_purse_stops_at_once() -> None:
    """A quota is no stray."""
    judge = Judge("m")
    judge.begin(4)
    judge.ends(1.0, accepted(request("0")))
    spent = failed(request("1"), ErrorKind.QUOTA, Action.STOP_RUN, status=402)
    assert judge.ends(2.0, spent) is Action.STOP_RUN
