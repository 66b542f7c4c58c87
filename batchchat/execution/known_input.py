"""What earlier runs have learned of the input, where it and all that makes rows and requests of it are as they were.

A checkpoint says it: which input that was, by a hash of its files and of the job's keys that decide what is asked; how
far it was read; and that every finished row of it has the record that answers its present request. So a run that has
nothing left to send reads no row, and tells what the pass over all rows would have told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from hashlib import sha256
from typing import Any

from batchchat.execution.context import RunContext
from batchchat.execution.disposition import Disposition
from batchchat.execution.feed import Feed
from batchchat.execution.plan import PlanCounts
from batchchat.execution.resend import NO_RESEND
from batchchat.job import JobSpec
from batchchat.sources import Source
from batchchat.store.ledger import Ledger
from batchchat.version import __version__

__all__ = ["KnownInput"]

_ID_DIGITS = 32
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
        self._reading: Mapping[str, Any] | None = None
        self._total: int | None = None
        self._feed: Feed | None = None
        self._noted: list[str] = []
        self._answers_all = True
        """Whether each finished row has the record that answers its request, as far as this run has seen."""

    def close(self) -> None:
        """Wait for what is being hashed."""
        self._thread.shutdown(wait=True)

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
        return True

    @property
    def id(self) -> str | None:
        """What tells the input and the job's keys from others; None where the files have changed in the meantime."""
        self.compare()
        assert self._hashed is not None
        digest = self._hashed.result() if self._digest.is_current() else None
        if digest is None:
            return None
        return sha256(f"{digest} {_words(self._job)}".encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]

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

    def planned(self, counts: PlanCounts) -> None:
        """All rows were read, and `counts` of them made."""
        totals, rows = self._ledger.totals, counts.rows
        as_recorded = {Disposition.KEEP, Disposition.SEND_NEW, Disposition.SHARE}
        self._answers_all = (
            all(disposition in as_recorded for disposition, count in rows.items() if count)
            and counts.invalid == counts.invalid_new + totals.invalid
            and not counts.stale_passthrough
        )
        self._total = counts.total

    def watch(self, feed: Feed) -> None:
        """The rows that are sent are those of `feed`."""
        self._feed = feed

    def reading(self) -> dict[str, Any] | None:
        """What a checkpoint is to say of the input; None where no run can build on it. It may block."""
        feed, total = self._feed, self._total
        if not self._answers_all or not self._is_plain or (id_ := self.id) is None:
            return None
        if total is None and feed is not None and feed.exhausted:
            total = feed.rows_read
        return {"id": id_, "total": total, "notes": list(dict.fromkeys((*self._notes_before, *self._source.notes)))}


def _words(job: JobSpec) -> str:
    """All of `job` that decides which rows there are and what is asked of them."""
    own = [(field.name, getattr(job.input, field.name)) for field in fields(job.input) if field.name not in _LOCATIONS]
    return repr(
        (
            __version__,
            own,
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
    )
