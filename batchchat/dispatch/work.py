"""The dispatcher's inputs: rows under way, how they are sent, and the recorder and observer of what happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from batchchat.core.attempt import NO_SPEND, Attempt, Outcome, Request, Script, Spend
from batchchat.policy.decision import Policy
from batchchat.policy.retry import RowStop, RowWait
from batchchat.policy.stragglers import Overdue, StragglerPolicy

__all__ = ["AttemptRecorder", "Observer", "RetryPolicies", "Send", "Sending", "Work"]

Send = Callable[[Request], Awaitable[Attempt]]
RetryPolicies = Callable[[], tuple[RowStop, RowWait]]


@dataclass(slots=True)
class Work:
    """A row under way, taken at the monotonic time `queued_at`; `spend` includes the attempts of earlier runs.

    `attempts` are those its script has been given: each accepted, or the failure that ends the row; `step` is what the
    script returned for them, None at the start.
    """

    script: Script
    queued_at: float
    spend: Spend = NO_SPEND
    attempts: list[Attempt] = field(default_factory=list)
    step: Request | Outcome | None = None


class AttemptRecorder(Protocol):
    """Keeps what happens to rows. Each method but `room` returns at once, with the number of the record it made."""

    def attempt(self, work: Work, attempt: Attempt) -> int | None:
        """An attempt did not end its row. None where it was not billed, and nothing is to be recorded."""

    def cancelled(self, work: Work, request: Request) -> int:
        """A request was in flight when we cancelled it: it may have been billed."""

    def row(self, work: Work, outcome: Outcome) -> int:
        """A row came to its end."""

    async def room(self) -> None:
        """Returns when another row may be started."""


class Observer(Protocol):
    """Is called with what comes back. Nothing depends on it, and no method may block."""

    def failed(self, attempt: Attempt) -> None:
        """An attempt was not accepted."""

    def answered(self, outcome: Outcome) -> None:
        """A row was answered."""

    def overdue(self, overdue: Overdue) -> None:
        """An attempt at the end of the run took too long and is cancelled."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How rows are sent to one endpoint: by what, under which policies, how many at a time.

    `answered_models` have answered there in earlier runs; `model` is the job's own (None: each row's counts as that),
    which stops the run where the endpoint does not know it. The run stops after `stop_after_failures` consecutive rows
    that failed with the same kind of error.
    """

    send: Send
    policies: Sequence[Policy]
    retry: RetryPolicies
    workers: int
    stop_after_failures: int
    stragglers: StragglerPolicy = field(default_factory=lambda: StragglerPolicy(max_resends=0))
    answered_models: frozenset[str] = frozenset()
    model: str | None = None
