"""Turns rows into tasks: each row of the input with its script, and its disposition by the journal.

Feed, plan, validate and estimate are folds over `tasks`, so that a run does what was announced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.core.attempt import MaxUsage, Script
from batchchat.core.conversation import BadRow, Key, Row, Status
from batchchat.core.record import RowRecord, record_of_bad_row
from batchchat.execution.disposition import Disposition, OnChanged, disposition
from batchchat.execution.equal_requests import EqualRequests, SharedSource
from batchchat.execution.resend import NO_RESEND, Resend
from batchchat.hash_table import stable_hash64
from batchchat.script.variants import RowExpansion, Variant
from batchchat.sources import Source
from batchchat.store.index import Index

if TYPE_CHECKING:
    from batchchat.core.unanswered_rows import UnansweredRows

__all__ = ["ResumeRules", "RowTask", "Scripts", "looked_up_tasks", "new_record_of_bad_row", "tasks"]


def _unknown(_row: Row, _variant: Variant) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Scripts:
    """How input rows become scripts: a row becomes those of `expansion`, each with the script of `script_for`.

    `shares` says whether rows that are sent with such params may have the answer of another with an equal request.
    `bound_of_text` gives the bound of a row's script; None where the row may share, or its bound takes its requests.
    """

    script_for: Callable[[Row, Variant], Script]
    expansion: RowExpansion = field(default_factory=RowExpansion)
    shares: Callable[[Mapping[str, Any]], bool] | None = None
    bound_of_text: Callable[[Row, Variant], MaxUsage | None] = _unknown


class ResumeRules(NamedTuple):
    """What the user wants done with rows that have a record. `only` rows of such keys are sent now: a pilot."""

    resend: Resend = NO_RESEND
    changed: OnChanged = OnChanged.ASK
    only: Callable[[Key], bool] | None = None


class RowTask(NamedTuple):
    """A good row, its script, and its disposition.

    `entry` is the row's number in the journal's index, None where it is in none; `shared` the row whose answer it
    shares.
    """

    row: Row
    script: Script
    disposition: Disposition
    entry: int | None
    shared: SharedSource | None = None

    @property
    def bound(self) -> MaxUsage:
        """The upper bound of what all its requests together may use."""
        return self.script.bound


def tasks(
    source: Source,
    scripts: Scripts,
    index: Index,
    rules: ResumeRules,
    *,
    unanswered: UnansweredRows | None = None,
) -> Iterator[RowTask | BadRow]:
    """Every row that those of `source` become; each gets its entry in `index`.

    Where it is known which input rows are `unanswered`, the others are passed over: nothing is made of them.
    """

    def entry_of(row: Row | BadRow) -> int:
        entry = index.add(row.key)
        index.set_ordinal(entry, row.ordinal)
        return entry

    return _tasks(source, scripts, index, rules, entry_of, unanswered=unanswered)


def looked_up_tasks(source: Source, scripts: Scripts, index: Index, rules: ResumeRules) -> Iterator[RowTask | BadRow]:
    """As `tasks`, without changing `index`, for callers that write nothing: memory does not grow with the input."""
    return _tasks(source, scripts, index, rules, lambda row: index.find(row.key))


def _tasks(
    source: Source,
    scripts: Scripts,
    index: Index,
    rules: ResumeRules,
    entry_of: Callable[[Row | BadRow], int | None],
    *,
    unanswered: UnansweredRows | None = None,
) -> Iterator[RowTask | BadRow]:
    expansion, equal = scripts.expansion, EqualRequests(index, resent_since=rules.resend.since)
    for input_row in source.read(unanswered):
        if isinstance(input_row, BadRow):
            for bad_row in expansion.bad_rows(input_row):
                entry_of(bad_row)
                yield bad_row
            continue
        for row, variant in expansion.rows(input_row):
            script = scripts.script_for(row, variant)
            task = _task(row, script, index, entry_of(row), rules)
            if scripts.shares is not None and scripts.shares(script.params):
                yield _shared(task, equal)
            else:
                yield task


def _shared(task: RowTask, equal: EqualRequests) -> RowTask:
    """`task`, or where an earlier row has an equal request the task of sharing its answer."""
    shared = equal.source_of(task.row.key, task.entry, task.script.identity, task.disposition)
    return task if shared is None else task._replace(disposition=Disposition.SHARE, shared=shared)


def _task(row: Row, script: Script, index: Index, entry: int | None, rules: ResumeRules) -> RowTask:
    status = "" if entry is None else index.status(entry)
    result = Disposition.SEND_NEW
    if entry is not None and status:
        result = disposition(
            status,
            same_request=index.fingerprint(entry) == script.identity,
            resend=rules.resend is not NO_RESEND and rules.resend.wants(row.key, entry, index),
            changed=rules.changed,
        )
    later = rules.only is not None and result.sends and not rules.only(row.key)
    return RowTask(row, script, Disposition.LATER if later else result, entry)


def new_record_of_bad_row(row: BadRow, index: Index) -> RowRecord | None:
    """The record of a bad row; None if it is recorded just so, or was answered when it was still valid."""
    entry = index.add(row.key)
    identity = stable_hash64(f"{row.location}\x1f{row.error}".encode("utf-8", "surrogatepass"))
    status = index.status(entry)
    if status == Status.ANSWERED:
        return None
    is_recorded = status == Status.INVALID and index.fingerprint(entry) == identity
    if is_recorded and not index.has_other_passthrough(entry, row.passthrough):
        return None
    return record_of_bad_row(row, identity)
