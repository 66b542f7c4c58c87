"""What becomes of each row, given what the journal has of it: kept or sent, and why. Pure.

the journal has          the request is      then
nothing, or invalid                          send: new
answered                 the same            keep
answered                 another             keep or send as the user says; undecided without a word
failed                   the same            keep; send with --retry-failed
failed                   another             send: its request changed
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from batchchat.core.attempt import Request
from batchchat.core.conversation import Status
from batchchat.core.events import Planned

__all__ = ["Disposition", "OnChanged", "PlanCounts", "disposition"]


class OnChanged(Enum):
    """What the user wants done with rows answered to another request."""

    ASK = "ask"
    KEEP = "keep"
    RESEND = "resend"


class Disposition(Enum):
    """What becomes of a row."""

    KEEP = "keep"
    KEEP_CHANGED = "keep, though its request changed"
    SEND_NEW = "new"
    SEND_FAILED = "failed before"
    SEND_CHANGED = "its request changed"
    UNDECIDED = "answered, and its request changed"
    LATER = "to be sent, but not now: a pilot sends its own rows alone"

    @property
    def sends(self) -> bool:
        """Whether the row is sent."""
        return self is Disposition.SEND_NEW or self is Disposition.SEND_FAILED or self is Disposition.SEND_CHANGED


def disposition(status: str, *, same_request: bool, retry_failed: bool, changed: OnChanged) -> Disposition:
    """The fate of a good row whose record has `status` (empty: none)."""
    if status == Status.ANSWERED:
        if same_request:
            return Disposition.KEEP
        return {
            OnChanged.ASK: Disposition.UNDECIDED,
            OnChanged.KEEP: Disposition.KEEP_CHANGED,
            OnChanged.RESEND: Disposition.SEND_CHANGED,
        }[changed]
    if status == Status.FAILED:
        if retry_failed:
            return Disposition.SEND_FAILED
        return Disposition.KEEP if same_request else Disposition.SEND_CHANGED
    return Disposition.SEND_NEW


@dataclass(slots=True)
class CostBound:
    """The most that rows can cost, at the job's price; `unbounded` of them have no bound, the `first` is shown."""

    usd: Decimal = field(default_factory=Decimal)
    unbounded: int = 0
    first: Request | None = None
    first_place: str = ""

    def count(self, request: Request, place: str) -> None:
        """One more row, by its first request."""
        if request.max_usage.cost_usd is not None:
            self.usd += request.max_usage.cost_usd
            return
        self.unbounded += 1
        if self.first is None:
            self.first, self.first_place = request, place

    def add(self, other: CostBound) -> None:
        """The rows of `other` as well, which come after these."""
        self.usd += other.usd
        self.unbounded += other.unbounded
        if self.first is None:
            self.first, self.first_place = other.first, other.first_place


@dataclass(slots=True)
class PlanCounts:
    """The fates of all rows of an input.

    `invalid_new` are bad rows not noted yet; `replaced` those sent that have a record already; `changed_cost_usd` is
    what the undecided or changed answers had cost. `most` is what the rows that are sent can cost, and `most_undecided`
    what the undecided can; `dearest_usd` is the most that any one row can, sent or kept.
    """

    fates: dict[Disposition, int] = field(default_factory=lambda: dict.fromkeys(Disposition, 0))
    invalid: int = 0
    invalid_new: int = 0
    replaced: int = 0
    first_invalid: list[str] = field(default_factory=list)
    changed_cost_usd: Decimal = field(default_factory=Decimal)
    changed_unknown_cost: int = 0
    most: CostBound = field(default_factory=CostBound)
    most_undecided: CostBound = field(default_factory=CostBound)
    dearest_usd: Decimal = field(default_factory=Decimal)

    @property
    def to_send(self) -> int:
        """Rows that will be sent."""
        return sum(count for fate_, count in self.fates.items() if fate_.sends)

    @property
    def total(self) -> int:
        """Rows of the input."""
        return self.good + self.invalid

    @property
    def nothing_new(self) -> bool:
        """Whether there is nothing to send, nor to note."""
        return not self.to_send and not self.invalid_new

    @property
    def good(self) -> int:
        """Rows that could be sent."""
        return sum(self.fates.values())

    def decide(self, changed: OnChanged) -> None:
        """The user has spoken on the undecided rows."""
        settled = Disposition.SEND_CHANGED if changed is OnChanged.RESEND else Disposition.KEEP_CHANGED
        if settled.sends:
            self.replaced += self.fates[Disposition.UNDECIDED]
            self.most.add(self.most_undecided)
        self.fates[settled] += self.fates[Disposition.UNDECIDED]
        self.fates[Disposition.UNDECIDED] = 0

    def planned(self, gone: int) -> Planned:
        """The tally as an event."""
        fates = self.fates
        return Planned(
            total=self.total,
            kept=fates[Disposition.KEEP] + fates[Disposition.KEEP_CHANGED],
            kept_changed=fates[Disposition.KEEP_CHANGED],
            resend_changed=fates[Disposition.SEND_CHANGED],
            retry_failed=fates[Disposition.SEND_FAILED],
            new=fates[Disposition.SEND_NEW],
            invalid=self.invalid,
            gone=gone,
            later=fates[Disposition.LATER],
        )
