"""The dispatcher's inputs: rows under way, how they are sent, and the recorder and observer of what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from batchchat.core.attempt import NO_SPEND, Attempt, Failure, Outcome, Request, Script, Spend
from batchchat.core.row_history import NO_HISTORY, RowHistory
from batchchat.dispatch.lane import EndpointLane, Lane, Send
from batchchat.dispatch.request_line import NO_LANES, RequestLine
from batchchat.policy.decision import Policy
from batchchat.policy.refused_rows import RefusedRows
from batchchat.policy.retry import RowStop, RowWait
from batchchat.policy.stragglers import Overdue, StragglerPolicy

__all__ = ["AttemptRecorder", "Observer", "RetryPolicies", "Send", "Sending", "Work"]

RetryPolicies = Callable[[], tuple[RowStop, RowWait]]


@dataclass(slots=True)
class Work:
    """A row under way, taken at the monotonic time `queued_at`; `spend` includes the attempts of earlier runs.

    `history` has those attempts of earlier runs that count against the row's limits, and `stop`, from its first failure
    on, bounds all its attempts, whichever of its requests they were made at. `noted`: the journal says that the row is
    sent again, and not yet what came of it.

    `attempts` are those its script has been given: each accepted, or the failure that ends the row; `step` is what the
    script returned for them, None at the start.

    `lane` is that of its latest attempt, `failed_at` are those at which one failed that is made again. Where there are
    several, `refusals` are what endpoints said that can't serve the row, which no longer goes to the `excluded` ones,
    nor to one that is `resting` until that time on the clock, after that many refusals in `refused_at`.
    """

    script: Script
    queued_at: float
    spend: Spend = NO_SPEND
    history: RowHistory = NO_HISTORY
    stop: RowStop | None = None
    noted: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    step: Request | Outcome | None = None
    lane: Lane | None = None
    failed_at: frozenset[Lane] = NO_LANES
    excluded: frozenset[Lane] = NO_LANES
    refusals: tuple[tuple[str, Failure], ...] = ()
    resting: Mapping[Lane, float] = field(default_factory=dict)
    refused_at: dict[Lane, int] = field(default_factory=dict)

    @property
    def endpoint(self) -> str | None:
        """The name of the endpoint that its latest attempt went to; None where the run has but one."""
        return None if self.lane is None else self.lane.name or None

    @property
    def may_have_been_billed(self) -> bool:
        """Whether a failed attempt at it, in this run or an earlier one, was or may have been billed."""
        return bool(self.history.billed) if self.stop is None else self.stop.has_billed

    @property
    def limit_of_next(self) -> str | None:
        """The limit of the row that its next attempt reaches, if it may be billed; None where it is not known."""
        return None if self.stop is None else self.stop.limit_of_next()


class AttemptRecorder(Protocol):
    """Keeps what happens to rows. Each method but `room` returns at once, with the number of the record it made."""

    def attempt(self, work: Work, attempt: Attempt) -> int | None:
        """An attempt did not end its row. None where it was not billed, and nothing is to be recorded."""

    def cancelled(self, work: Work, request: Request, raw: str | None) -> int:
        """A request in flight that we cancelled: it may have been billed. `raw`: what had come of its stream."""

    def row(self, work: Work, outcome: Outcome) -> int:
        """A row came to its end."""

    async def sending(self, work: Work, request: Request) -> None:
        """A row that may have been billed before is about to be sent; returns once the journal has kept that."""

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
    """How rows are sent: by what, under which policies, how many at a time.

    Where there are several endpoints, `lanes` has what is each one's own, `send` is None, and `policies` are those of
    the whole run; `line` makes the line in which requests wait.

    `answered_models` have answered there in earlier runs; `model` is the job's own (None: each row's counts as that),
    which stops the run where the endpoint does not know it. The run stops after `stop_after_failures` consecutive rows
    that failed with the same kind of error.
    """

    send: Send | None
    policies: Sequence[Policy]
    retry: RetryPolicies
    workers: int
    stop_after_failures: int
    stragglers: StragglerPolicy = field(default_factory=lambda: StragglerPolicy(max_resends=0))
    answered_models: frozenset[str] = frozenset()
    model: str | None = None
    refused_rows: RefusedRows = field(default_factory=RefusedRows)
    lanes: Sequence[EndpointLane] = ()
    line: Callable[[Sequence[Lane]], RequestLine] = RequestLine
