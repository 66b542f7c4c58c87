"""What becomes of an attempt that one of several endpoints refused: the row goes to another that may serve it.

Which failures may be the endpoint's own is decided by their kind (`policy.elsewhere`). Each endpoint is asked once, and
its reason is kept: a row that none can serve fails with the reasons of all. What stops one endpoint is no reason
against the row, which goes to the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchchat.core.attempt import Action, Attempt, Failure, Outcome, Scope
from batchchat.core.conversation import Status
from batchchat.dispatch.lane import EndpointLane
from batchchat.dispatch.work import Work
from batchchat.policy.elsewhere import may_be_served_elsewhere

__all__ = ["Rerouting", "given_up"]

_ACCEPT, _FAIL_ROW, _STOP_RUN = Action.ACCEPT, Action.FAIL_ROW, Action.STOP_RUN


class Rerouting:
    """Decides for the rows of a run that goes to `lanes`. With one lane nothing is changed."""

    def __init__(self, lanes: Sequence[EndpointLane]) -> None:
        self._lanes = lanes

    @property
    def is_possible(self) -> bool:
        """Whether there is more than one endpoint."""
        return len(self._lanes) > 1

    def of(self, work: Work, lane: EndpointLane, attempt: Attempt) -> Attempt:
        """What `attempt` of `work` at `lane`, which has just ended, means: the same, or that it is made elsewhere."""
        action = attempt.verdict.action
        if action is _ACCEPT or not self.is_possible:
            return attempt
        if action is _STOP_RUN:
            in_use = [member for member in self._lanes if member is not lane and member.halt is None]
            if not in_use:
                return attempt
            self._exclude(work, lane, attempt)
            if any(member not in work.excluded for member in in_use):
                return _again(attempt, Scope.ENDPOINT)
            return self.failed(work, attempt)
        if action is not _FAIL_ROW:
            return attempt
        if may_be_served_elsewhere(attempt):
            self._exclude(work, lane, attempt)
            if self._has_lane(work):
                return _again(attempt, Scope.ROW)
        return self.failed(work, attempt)

    def of_cause(self, work: Work, lane: EndpointLane, attempt: Attempt, why: str) -> Attempt:
        """The row of `work` is itself the cause of its refusals at `lane`, for the reason `why`."""
        if (failure := attempt.failure) is not None:
            attempt = attempt._replace(failure=failure._replace(text=f"{failure.text}; {why}"))
        self._exclude(work, lane, attempt)
        return _again(attempt, Scope.ENDPOINT) if self._has_lane(work) else given_up(attempt)

    def failed(self, work: Work, attempt: Attempt) -> Attempt:
        """`attempt`, as the one that fails its row for good, with the reasons of the endpoints before it."""
        attempt = given_up(attempt)
        failure = attempt.failure
        if failure is None or not work.refusals:
            return attempt
        reasons = [*work.refusals]
        if work.lane is not None and (work.lane.name, failure) not in reasons:
            reasons.append((work.lane.name, failure))
        text = "; ".join(f"{name}: {reason.text}" for name, reason in reasons)
        return attempt._replace(failure=Failure(failure.kind, text))

    def failure_at_lane(self, work: Work, attempt: Attempt) -> Outcome:
        """The end that the row of `work` would have where the lane of `attempt` were the only one."""
        return Outcome(work.script.row, Status.FAILED, attempt.request.messages, attempt)

    def _exclude(self, work: Work, lane: EndpointLane, attempt: Attempt) -> None:
        work.excluded |= {lane}
        if attempt.failure is not None:
            work.refusals = (*work.refusals, (lane.name, attempt.failure))

    def _has_lane(self, work: Work) -> bool:
        return any(lane.halt is None and lane not in work.excluded for lane in self._lanes)


def given_up(attempt: Attempt) -> Attempt:
    """`attempt`, as one that ends its row: no endpoint is left to make it again."""
    return attempt._replace(verdict=attempt.verdict._replace(action=_FAIL_ROW, elsewhere=False))


def _again(attempt: Attempt, scope: Scope) -> Attempt:
    verdict = attempt.verdict._replace(action=Action.RETRY, scope=scope, wait_s=None, elsewhere=True)
    return attempt._replace(verdict=verdict)
