"""What every part of a run gets: the job, the options of the command, and the subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from batchchat.core.conversation import Key
from batchchat.core.next_step import NextStep
from batchchat.core.notices import ShardNoted
from batchchat.errors import BatchchatError
from batchchat.execution.disposition import OnChanged
from batchchat.execution.resend import NO_RESEND, Resend
from batchchat.execution.signals import Signals
from batchchat.execution.subscribers import Subscribers
from batchchat.job import JobSpec
from batchchat.secret import Redactor

if TYPE_CHECKING:
    from batchchat.sources.batch_output import BatchOutput
    from batchchat.store.remote_output import RemoteOutput

__all__ = ["RunContext", "RunOptions", "Takeover"]


class RunOptions(NamedTuple):
    """The options of the command, which are not part of the job.

    `again` is the command that continues after a next step, and `plain` the one without this run's own limit and flags;
    None where no command does: the keys of the job stand in a Python program.
    `changed` says what to do about rows whose request changed, None: what the job says. `ask` asks a person (ASK:
    stop), and is None where nobody can answer. With `yes` the output of another job is continued. `only` rows of such
    keys are sent: a pilot. `began` is when the command began, in seconds since the epoch, where other jobs ran before:
    a time of day in `budget.stop_at` is the next one after it.
    """

    again: Callable[[NextStep], str | None]
    plain: str | None
    limit: int | None = None
    resend: Resend = NO_RESEND
    changed: OnChanged | None = None
    fresh: bool = False
    strict: bool = False
    yes: bool = False
    ask: Callable[[str], OnChanged] | None = None
    only: Callable[[Key], bool] | None = None
    began: float | None = None
    batch: BatchOutput | None = None
    """The responses that are imported, where that is what the run does."""
    shard: ShardNoted | None = None
    """What is to be said of the job, where it is a shard of another."""


@dataclass(slots=True)
class Takeover:
    """What a shipped journal tells of other machines: `fetched` bytes of it are of one that had the run before.

    `error` says that one has taken the run over from this one, and ends it here; None while none has.
    """

    fetched: int = 0
    error: BatchchatError | None = None


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run of `job`. Nothing that `redactor` knows may be written anywhere.

    `environ` is that of the process, and `job_environ` has the variables of the job's `.env` as well.
    """

    job: JobSpec
    options: RunOptions
    environ: Mapping[str, str]
    job_environ: Mapping[str, str]
    signals: Signals
    redactor: Redactor
    tell: Subscribers
    remote: RemoteOutput | None = None
    """The output, where it goes to an object store."""
    takeover: Takeover = field(default_factory=Takeover)
