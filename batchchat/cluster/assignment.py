"""What a worker is told to do, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from batchchat.cluster.spent import Spent
from batchchat.core.shard import Shard
from batchchat.errors import BatchchatError
from batchchat.execution.tasks import ResumeRules
from batchchat.job import JobSpec
from batchchat.policy.decision import Halt
from batchchat.pricing.rates import ListedModel, Rates

__all__ = [
    "Assignment",
    "EndReceived",
    "RowsAsked",
    "RowsGranted",
    "Signalled",
    "Stopped",
    "Synced",
    "WorkerDefect",
    "WorkerEnd",
    "WorkerMark",
]


class WorkerMark(NamedTuple):
    """Which worker it is: the one of the shard `number` in its start `incarnation`, from 1.

    `writer` is its number among all writers of the session's journal, and `replaces` that of the killed one whose shard
    it takes over.
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
    """The `shard` of the rows of `job`, whose limits are those of one worker, at `rates`, as `rules` decide.

    The journal is in `folder`: the segments `base` were there before the session's workers began, and those in `own`
    are of workers of the same shard that this one replaces. A cap (`budget.max_cost`) is leased, and so are the rates a
    minute and, if `is_limited`, how many rows may be sent. What was `spent_before` the session counts as this worker's.
    `answered_models` have answered at the endpoint by now. Proxies and certificates are those of `environ`; None is the
    environment of the worker's own process, which may be on another machine.
    """

    job: JobSpec
    rates: Rates
    rules: ResumeRules
    folder: Path
    base: Sequence[int]
    own: Sequence[int]
    shard: Shard
    mark: WorkerMark
    environ: Mapping[str, str] | None = field(repr=False)
    is_limited: bool
    stop_at: float | None
    spent_before: Spent
    answered_models: frozenset[str]


class EndReceived(NamedTuple):
    """The run has what the worker said of its end; only now the worker closes its channel.

    A channel that one side writes to after the other has closed it breaks, and what it held unread is lost.
    """


class RowsAsked(NamedTuple):
    """A worker has sent all the rows that it may, of a limit on rows that is shared."""


class RowsGranted(NamedTuple):
    """It may send so many more; none where the limit is reached."""

    rows: int


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
    """How a worker ended: what stopped it, and what it has read of the input.

    `halt` or `error` stopped it, if anything did. `is_exhausted`: it has read its input to the end. `total` is the
    number of rows of its shard, where that is known, or `estimated`, and `input_rows` that of the rows of the whole
    input, where that was counted. `limit_left` of the rows that it was granted were not sent. `notes` are what is to be
    said of the input, of which `left_out` rows are left out by `input.where`. `listed` is the endpoint's list of
    models, where it was read.
    """

    halt: Halt | None = None
    error: BatchchatError | None = None
    cancelled: int = 0
    is_exhausted: bool = False
    rows_read: int = 0
    good_rows: int = 0
    first_bad: str | None = None
    left_out: int = 0
    total: int | None = None
    is_estimated: bool = True
    input_rows: int | None = None
    limit_left: int | None = None
    notes: Sequence[str] = ()
    listed: Mapping[str, ListedModel] | None = None
