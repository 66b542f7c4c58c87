"""What earlier runs have learned of the input, where it and all that makes rows and requests of it are as they were.

A checkpoint says it: which input that was, by a hash of its files and of the job's keys that decide what is asked; how
far it was read; and that every finished row of it has the record that answers its present request. So a run that has
nothing left to send reads no row, and tells what the pass over all rows would have told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from batchchat.core.events import Planned
from batchchat.execution.context import RunContext
from batchchat.execution.disposition import Disposition
from batchchat.execution.feed import Feed
from batchchat.execution.plan import PlanCounts
from batchchat.execution.resend import NO_RESEND
from batchchat.execution.wiring import limit_reached_for
from batchchat.job import JobSpec
from batchchat.job.spec import AUTO
from batchchat.sources import Source
from batchchat.store.ledger import Ledger
from batchchat.version import __version__

if TYPE_CHECKING:
    from batchchat.core.unanswered_rows import UnansweredRows

__all__ = ["KnownInput", "asked_of", "may_share"]

_ID_DIGITS = 32
_LONG_BYTES = 32 << 20
"""To look at all rows of a smaller input first takes a second or two, and tells all counts exactly."""
_LOCATIONS = frozenset({"paths", "folder"})
"""Fields of `InputSpec` that say where the job is: it can be moved with its input."""


class KnownInput:
    """The input of one run, compared with what `reading`, a checkpoint's, says of it.

    `compare` begins to hash it in a thread; whatever needs the result waits for that.
    """

    def __init__(self, context: RunContext, source: Source, ledger: Ledger) -> None:
        self._job, self._options = context.job, context.options
        self._source = source
        self._ledger = ledger
        self._digest = source.digest()
        self._thread = ThreadPoolExecutor(1, "digest")
        self._hashed: Future[str | None] | None = None
        self._within_s: float | None = None
        self._reading: Mapping[str, Any] | None = None
        self._total: int | None = None
        self._feed: Feed | None = None
        self._noted: list[str] = []
        self._invalid = 0
        self._is_exact = False
        """Whether `_total` and `_invalid` are of a reading to the end."""
        self._answers_all = True
        """Whether each finished row has the record that answers its request, as far as this run has seen."""

    def close(self) -> None:
        """Give up what is being hashed."""
        self.give_up()
        self._thread.shutdown(wait=True)

    def give_up(self) -> None:
        """Let nobody wait for the input's hash: where it is not made yet, nothing is known of the input."""
        self._digest.give_up()

    def hurry(self, within_s: float) -> None:
        """Give the hash up where it takes more than `within_s` from when it is asked for."""
        self._within_s = within_s

    def compare(self) -> None:
        """Begin to hash the input."""
        if self._hashed is None:
            self._hashed = self._thread.submit(self._digest.digest)

    def recognise(self, reading: Mapping[str, Any] | None) -> bool:
        """Whether the input is the one that `reading` speaks of, and this run does with it what any run would."""
        if reading is None or not self._is_plain or reading["id"] != self.id:
            self._answers_all = not self._ledger.index.has_finished
            return False
        self._reading, self._total = reading, reading["total"]
        self._invalid, self._is_exact = reading["invalid"], reading["is_exact"]
        return True

    @property
    def id(self) -> str | None:
        """What tells the input and the job's keys from others; None where the files have changed in the meantime."""
        self.compare()
        assert self._hashed is not None
        try:
            digest = self._hashed.result(self._within_s) if self._digest.is_current() else None
        except TimeoutError:
            self.give_up()
            return None
        if digest is None:
            return None
        words = (digest, __version__, _own(self._job, _LOCATIONS), *_words(self._job))
        return sha256(repr(words).encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]

    def new_notes(self, notes: Iterable[str]) -> list[str]:
        """Those of `notes`, and of what was to be said of the rows read before, that were not given yet."""
        fresh = [note for note in dict.fromkeys((*notes, *self._notes_before)) if note not in self._noted]
        self._noted += fresh
        return fresh

    @property
    def _notes_before(self) -> list[str]:
        return [] if self._reading is None else list(self._reading["notes"])

    @property
    def _is_plain(self) -> bool:
        options, source = self._options, self._source
        is_plain = options.resend is NO_RESEND and options.only is None and options.batch is None
        return is_plain and self._job.input.random is None and not source.refers_to_files

    def nothing_left(self) -> PlanCounts | None:
        """The plan of a run in which every row of the known input is finished; None where that is not known."""
        totals, at_risk = self._ledger.totals, self._ledger.at_risk
        good = totals.answered + totals.failed
        if self._reading is None or self._total != totals.finished or not good:
            return None
        if self._options.strict and totals.invalid:
            return None  # it is refused, naming the first of them
        if self._job.budget.max_cost is not None and at_risk.unpriced:
            return None  # what they may have cost is as much as the most expensive row
        counts = PlanCounts(invalid=totals.invalid, recorded=good)
        counts.rows[Disposition.KEEP] = good
        return counts

    def going_on(self) -> Planned | None:
        """What a run will do that only goes on where the one before it was; None where rows must be looked at first.

        Then no answered row can have changed or be gone, and all that has no record is new, as in a first run.
        """
        ledger, job, reading = self._ledger, self._job, self._reading
        if reading is None or job.budget.max_cost is not None or self._options.strict or may_share(job):
            return None
        if self._source.bytes_total < _LONG_BYTES:
            return None
        rows = reading["estimate"] if self._total is None else self._total
        limit_reached, totals = limit_reached_for(job), ledger.totals
        used_up = sum(limit_reached(billed) is not None for billed in ledger.unfinished.billed())
        invalid = max(totals.invalid, reading["invalid"])
        finished = totals.answered + totals.failed
        if not finished or rows is None or rows <= finished + invalid + used_up:
            return None
        return Planned(
            total=rows,
            kept=finished,
            kept_changed=0,
            resend_changed=0,
            retry_failed=0,
            new=rows - finished - invalid - used_up,
            invalid=invalid,
            gone=0,
            used_up=used_up,
            variants=job.variants,
            samples=job.samples,
            is_estimate=not self._is_exact,
        )

    @property
    def total(self) -> int | None:
        """How many rows the known input has; None where it was not read to its end, or is not known."""
        return self._total

    @property
    def unanswered(self) -> UnansweredRows | None:
        """The rows of the known input that have no answer; None where it is not known."""
        if self._reading is None:
            return None
        from batchchat.core.unanswered_rows import UnansweredRows

        return UnansweredRows(self._ledger.index.answered_ordinals(), self._job.variants * self._job.samples)

    @property
    def recognised_id(self) -> str | None:
        """The `id` of the input that an earlier run has read; None where this is another."""
        return None if self._reading is None else self._reading["id"]

    def planned(self, counts: PlanCounts) -> None:
        """All rows were read, and `counts` of them made."""
        totals, rows = self._ledger.totals, counts.rows
        as_recorded = {Disposition.KEEP, Disposition.SEND_NEW, Disposition.SHARE}
        self._answers_all = (
            all(disposition in as_recorded for disposition, count in rows.items() if count)
            and counts.invalid == counts.invalid_new + totals.invalid
            and not counts.stale_passthrough
        )
        self._total, self._invalid, self._is_exact = counts.total, counts.invalid, True

    def watch(self, feed: Feed) -> None:
        """The rows that are sent are those of `feed`."""
        self._feed = feed

    def reading(self) -> dict[str, Any] | None:
        """What a checkpoint is to say of the input; None where no run can build on it. It may block."""
        feed, total = self._feed, self._total
        if not self._answers_all or not self._is_plain or (id_ := self.id) is None:
            return None
        is_exact, estimate = self._is_exact, total
        if self._reading is not None:
            estimate = self._reading["estimate"]
        if feed is not None and not is_exact:
            is_exact = feed.exhausted
            estimate, is_estimate = feed.total()
            total = None if is_estimate else estimate
        notes = dict.fromkeys((*self._notes_before, *self._source.notes))
        return {
            "id": id_,
            "total": total,
            "invalid": self._invalid,
            "estimate": estimate,
            "is_exact": is_exact,
            "notes": list(notes),
        }


def may_share(job: JobSpec) -> bool:
    """Whether rows may have the answer of an equal one, which only a look at all rows tells."""
    axes = any(axis.name == "temperature" for axis in job.matrix or ())
    return job.dedupe is True or (job.dedupe == AUTO and (axes or job.params.get("temperature") == 0))


def asked_of(job: JobSpec) -> str:
    """A hash of what the shards of a job have in common: what is asked of which rows, wherever the input is."""
    words = (*_own(job, _LOCATIONS | {"as_given", "shard"}), *_words(job))
    return sha256(repr(words).encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]


def _own(job: JobSpec, without: Collection[str]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (field.name, getattr(job.input, field.name)) for field in fields(job.input) if field.name not in without
    )


def _words(job: JobSpec) -> tuple[Any, ...]:
    """All of `job` but its input that decides which rows there are and what is asked of them."""
    return (
        job.template,
        job.system,
        job.model,
        job.params,
        job.samples,
        job.matrix,
        job.dedupe,
        job.expect,
        job.is_mock,
    )
