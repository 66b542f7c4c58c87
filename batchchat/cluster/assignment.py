"""What a worker is told to do, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from batchchat.cluster.spent import Spent
from batchchat.core.totals import Totals
from batchchat.errors import BatchchatError
from batchchat.job import JobSpec
from batchchat.policy.budget import PriceRatio
from batchchat.policy.decision import Halt
from batchchat.pricing.rates import ListedModel, Rates

__all__ = [
    "Assignment",
    "EndReceived",
    "ModelsListed",
    "RowsHanded",
    "RowsWanted",
    "Signalled",
    "Stopped",
    "Synced",
    "WorkerDefect",
    "WorkerEnd",
    "WorkerMark",
]


class WorkerMark(NamedTuple):
    """Which worker it is: the one of the partition `number` in its start `incarnation`, from 1.

    `writer` is its number among all writers of the session's journal, and `replaces` that of the killed one whose
    partition it takes over.
    """

    number: int
    incarnation: int
    writer: int
    replaces: int | None = None

    @property
    def name(self) -> str:
        """What the lessor of the limits calls it."""
        return str(self.number)

    @property
    def members(self) -> Mapping[str, int]:
        """What its records of what is outstanding say of it."""
        return {"writer": self.writer} | ({} if self.replaces is None else {"replaces": self.replaces})


@dataclass(frozen=True, slots=True)
class Assignment:
    """To send rows of `job`, whose limits are those of one worker, at `rates`.

    The journal is in `folder`: the segments `base` were there before the session's workers began, and those in `own`
    are of workers of the same partition that this one replaces. A cap (`budget.max_cost`) is leased, and so are the
    rates a minute. What was `spent_before` the session counts as this worker's. `answered_models` have answered at the
    endpoint by now, `learned` is what was seen of the job's price, and `totals` are the sums over all finished rows,
    which say how long answers take. Proxies and certificates are those of `environ`; None is the environment of the
    worker's own process, which may be on another machine.
    """

    job: JobSpec
    rates: Rates
    folder: Path
    base: Sequence[int]
    own: Sequence[int]
    mark: WorkerMark
    environ: Mapping[str, str] | None = field(repr=False)
    stop_at: float | None
    spent_before: Spent
    answered_models: frozenset[str]
    learned: PriceRatio
    totals: Totals


class EndReceived(NamedTuple):
    """The run has what the worker said of its end; only now the worker closes its channel.

    A channel that one side writes to after the other has closed it breaks, and what it held unread is lost.
    """


class ModelsListed(NamedTuple):
    """The worker has read the endpoint's list of models."""

    listed: Mapping[str, ListedModel]


class RowsWanted(NamedTuple):
    """The worker waits for so many rows, and wants others to be there before it does: so many `ahead` of that.

    It has `present` that it does not wait for. There is one such message at a time.
    """

    needed: int
    ahead: int
    present: int = 0


class RowsHanded(NamedTuple):
    """The answer to `RowsWanted`: rows as `handed_row.packed` makes them. The last one has none.

    From then on the worker may have `max_ahead` rows that it does not wait for; None: as many as it likes.
    """

    rows: Sequence[bytes]
    is_last: bool = False
    max_ahead: int | None = None


class Signalled(NamedTuple):
    """The run was sent the signal `number`: the first drains, the second stops at once."""

    number: int


class Stopped(NamedTuple):
    """Another worker met the reason to stop the run."""

    halt: Halt


class Synced(NamedTuple):
    """All that the worker has written up to the record at `location` of the journal is on disk."""

    location: int


class WorkerDefect(NamedTuple):
    """A worker ended by a defect of ours, whose traceback is `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker ended.

    `halt` or `error` stopped it, if anything did. `cancelled` requests were in flight then.
    """

    halt: Halt | None = None
    error: BatchchatError | None = None
    cancelled: int = 0
