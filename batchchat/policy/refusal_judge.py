"""What a refusal that looks permanent means, by what else came back: a wrong key, model or address, or one stray; pure.

- A model of the row's own that is refused is the row's fault: it fails. Only the job's model stops the run.
- Once the endpoint and the model have answered, a 403 or a 404 speaks of one prompt, and fails its row. A web page, a
  redirect or a foreign certificate does not: whoever stands before the endpoint for a while must not fail the rows of
  that while, so they are tried again.
- Before that, the refusal is judged when what is in flight with it has settled, and nothing is sent until then, for ten
  seconds at most. One answer shows that it was a stray; refusals alone stop the run. Where others ended otherwise (a
  429, a lost connection), the row is sent again, up to three times in all.
- A key that was accepted a second ago is asked twice more. The run stops where the same row is refused each time and
  nothing that was sent since was answered; else the row fails.

Such refusals are the endpoint's: they use up no attempt of their row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from batchchat.core.attempt import Action, Attempt, MaxUsage, Scope
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.decision import ADMIT, Decision, Delay, Halt

__all__ = ["ENDPOINT_REFUSES", "RefusalJudge"]

ENDPOINT_REFUSES = "endpoint refuses"

_ONCE_ANSWERED = {Action.STOP_UNLESS_ANSWERED: Action.FAIL_ROW, Action.RETRY_IF_ANSWERED: Action.RETRY}
_ACCEPT = Action.ACCEPT  # a member of an enum takes 0.1 µs to look up in Python 3.11
_MAX_REFUSALS = 3
_MAX_DELAY_S = 10.0


@dataclass(slots=True)
class _Refused:
    """A row that was refused `count` times, the first time at `since` on the policy's clock."""

    since: float
    count: int = 0


class RefusalJudge:
    """Gives verdicts their meaning (`judge`), and is a policy that sends nothing while one is open.

    `model` is the job's (None: each row's counts as that). `answered_models` have answered in earlier runs.
    """

    def __init__(self, model: str | None, answered_models: Iterable[str] = ()) -> None:
        self._model = model
        self._answered_models = set(answered_models)
        self._latest_answered = float("-inf")
        """When the latest request that was answered in this run had been sent."""
        self._refused: dict[Key, _Refused] = {}
        self._in_flight = 0
        self._open: Attempt | None = None
        """The first refusal that is not judged yet; since `_open_since`."""
        self._open_since = 0.0
        self._ended_otherwise = False

    def judge(self, now: float, attempt: Attempt) -> Attempt:
        """`attempt`, which has just ended, with the action that its verdict means in context."""
        verdict, action = attempt.verdict, attempt.verdict.action
        if action is _ACCEPT:
            self._answered(now, attempt)
            return attempt
        is_key = action is Action.STOP_RUN and verdict.kind is ErrorKind.UNAUTHORIZED
        later = _ONCE_ANSWERED.get(action)
        if later is None and not is_key:
            self._ended_otherwise = True
            return attempt
        if later is not None and self._is_settled(attempt, action):
            return _with(attempt, later)
        return self._refusal(now, attempt, is_key=is_key)

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if self._open is None or not self._in_flight:
            return ADMIT
        left_s = self._open_since + _MAX_DELAY_S - now
        return Delay(left_s) if left_s > 0 else ADMIT

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        self._in_flight += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self._in_flight -= 1

    def verdict_on_open(self) -> Halt | None:
        """The reason to stop, where all that was in flight with an open refusal has settled, and was refused too."""
        refusal = self._open
        if refusal is None or self._in_flight:
            return None
        self._open = None
        return None if self._ended_otherwise else Halt(ENDPOINT_REFUSES, refusal)

    def _answered(self, now: float, attempt: Attempt) -> None:
        self._answered_models.add(attempt.request.model)
        sent_at = now - attempt.latency_s
        if sent_at > self._latest_answered:  # noqa: PLR1730 (once a request, and `max` takes three times as long)
            self._latest_answered = sent_at
        self._open = None
        if self._refused:
            self._refused.pop(attempt.request.key, None)

    def _is_settled(self, attempt: Attempt, action: Action) -> bool:
        """Whether what has been answered so far, or the row's own model, decides."""
        if action is Action.RETRY_IF_ANSWERED:  # it says nothing of the model
            return bool(self._answered_models)
        model = attempt.request.model
        return model in self._answered_models or (self._model is not None and model != self._model)

    def _refusal(self, now: float, attempt: Attempt, *, is_key: bool) -> Attempt:
        refused = self._refused.setdefault(attempt.request.key, _Refused(now))
        refused.count += 1
        if refused.count >= _MAX_REFUSALS:
            del self._refused[attempt.request.key]
            if is_key and self._latest_answered > refused.since:
                return _with(attempt, Action.FAIL_ROW)
            return _with(attempt, Action.STOP_RUN)
        if self._latest_answered == float("-inf") and self._open is None:
            self._open, self._open_since, self._ended_otherwise = attempt, now, False
        return _with(attempt, Action.RETRY, Scope.ENDPOINT, unjudged=True)


def _with(attempt: Attempt, action: Action, scope: Scope | None = None, *, unjudged: bool = False) -> Attempt:
    verdict = attempt.verdict
    return attempt._replace(verdict=verdict._replace(action=action, scope=scope or verdict.scope, unjudged=unjudged))
