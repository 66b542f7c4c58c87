"""One reading of a job's input for an estimate: what is left to send under each model, and what finished rows tell.

Nothing is sent, nothing is written, and nothing is kept of a row but sums, so that memory does not grow with the input.
A row's fate is the one that `run` would give it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batchchat.core.attempt import Request
from batchchat.core.conversation import BadRow, Key, Row, Status
from batchchat.core.record import RowRecord
from batchchat.errors import OutputError
from batchchat.job import JobSpec
from batchchat.preflight.charges import Charge
from batchchat.preflight.load import Load, ObservedRow
from batchchat.preflight.stable_sample import StableSample
from batchchat.pricing.rates import Rates
from batchchat.run.messages import mixed_mock
from batchchat.run.plan import Disposition, OnChanged, disposition
from batchchat.run.wiring import scripts_for
from batchchat.sources import open_source
from batchchat.store.folder import folder_of
from batchchat.store.ledger import Ledger
from batchchat.store.segments import scan, segments
from batchchat.tokens.for_model import Tokenizer
from batchchat.tokens.reply_limit import max_reply_tokens

__all__ = [
    "MOST_SEEN",
    "ModelEstimate",
    "SampledRow",
    "ScanResult",
    "SendOptions",
    "journal_of",
    "scan_input",
    "seen_of",
]

MOST_SEEN = 5_000
"""Answers of a big run that are learned from: enough for a mean to half a percent where lengths are skewed."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """What the run to come is told of rows that have a record."""

    retry_failed: bool = False
    changed: OnChanged = OnChanged.ASK
    fresh: bool = False


@dataclass(slots=True)
class ModelEstimate:
    """A model under which the input is counted. Only the job's `own` has answers already."""

    model: str
    tokenizer: Tokenizer
    context_length: int | None
    charge: Charge | None
    own: bool = True
    load: Load = field(default_factory=Load)


class SampledRow(NamedTuple):
    """A row of a pilot to be: whether it is still to be sent, its prompt's tokens and the most that its reply has."""

    sends: bool
    prompt: int
    most: int | None


@dataclass(slots=True)
class ScanResult:
    """What was found beside the loads: `seen` are rows of a pilot, or a bounded sample of all answers.

    `piloted` rows of the pilot have ended, `piloted_failed` of them without an answer.
    """

    good: int = 0
    first_bad: str | None = None
    answers: int = 0
    piloted: int = 0
    piloted_failed: int = 0
    seen: list[ObservedRow] = field(default_factory=list)


@contextmanager
def journal_of(job: JobSpec, *, fresh: bool) -> Iterator[Ledger]:
    """The ledger of what `job` has finished, read without a lock; an empty one where the run starts anew."""
    folder = folder_of(job.output.path)
    ledger = Ledger(folder)
    try:
        if not fresh and segments(folder):
            for at, record in scan(folder):
                ledger.fold(at, record)
            totals = ledger.totals
            others = totals.answered - totals.mock_answers if job.is_mock else totals.mock_answers
            if others:
                raise OutputError(mixed_mock(job, others))
        yield ledger
    finally:
        ledger.close()


def scan_input(
    job: JobSpec,
    rates: Rates,
    lanes: Sequence[ModelEstimate],
    sending: SendOptions,
    *,
    draw: StableSample[SampledRow] | None = None,
    drawn: StableSample[SampledRow] | None = None,
) -> ScanResult:
    """Read the input once into the loads of `lanes`, the first being the job's own.

    `draw` is given all rows that can be in a pilot; with `drawn`, only rows of that one are seen.
    """
    source, script_for = open_source(job.input), scripts_for(job, rates)
    with journal_of(job, fresh=sending.fresh) as ledger:
        looker = _Scanner(job, lanes, ledger, sending, draw=draw, drawn=drawn)
        for row in source.read():
            for lane in lanes:
                lane.load.rows += 1
            if isinstance(row, BadRow):
                looker.bad(row)
            else:
                request = script_for(row).next(())
                assert isinstance(request, Request)
                looker.good(row, request)
    looker.close()
    return looker.found


class _Scanner:
    """Takes the rows one by one."""

    def __init__(
        self,
        job: JobSpec,
        lanes: Sequence[ModelEstimate],
        ledger: Ledger,
        sending: SendOptions,
        *,
        draw: StableSample[SampledRow] | None,
        drawn: StableSample[SampledRow] | None,
    ) -> None:
        self._job = job
        self._lanes = lanes
        self._ledger = ledger
        self._sending = sending
        self._draw = draw
        self._drawn = drawn
        self._bound: tuple[Mapping[str, Any] | None, int | None] = (None, None)
        self._some = StableSample[ObservedRow](MOST_SEEN, 0)
        self.found = ScanResult()

    def bad(self, row: BadRow) -> None:
        self.found.first_bad = self.found.first_bad or f"{row.place}: {row.error}"
        for lane in self._lanes:
            lane.load.invalid += 1

    def good(self, row: Row, request: Request) -> None:
        self.found.good += 1
        params = {**self._job.params, **row.params} if row.params else self._job.params
        if params is not self._bound[0]:  # most rows have the job's own
            self._bound = (params, max_reply_tokens(params))
        fate_, entry = self._fate(request)
        counted: dict[int, int] = {}
        for lane in self._lanes:
            if (prompt := counted.get(id(lane.tokenizer))) is None:
                prompt = counted[id(lane.tokenizer)] = lane.tokenizer.count(request.messages, params.get("tools"))
            lane.load.other_models += request.model != self._job.model
            if lane.own and not fate_.sends:
                self._finished(lane.load, row.key, fate_, entry, prompt)
            else:
                self._to_send(lane, row.key, prompt, self._bound[1])

    def _fate(self, request: Request) -> tuple[Disposition, int | None]:
        index = self._ledger.index
        entry = index.find(request.key)
        status = "" if entry is None else index.status(entry)
        if entry is None or not status:
            return Disposition.SEND_NEW, None
        same = index.fingerprint(entry) == request.fingerprint
        sending = self._sending
        return disposition(status, same_request=same, retry_failed=sending.retry_failed, changed=sending.changed), entry

    def _to_send(self, lane: ModelEstimate, key: Key, prompt: int, most: int | None) -> None:
        room = None if lane.context_length is None else lane.context_length - prompt
        if room is not None and (room <= 0 or (most is not None and most > room)):
            lane.load.refuse(key.id)
            return
        by_context = most is None
        most = room if most is None else most
        lane.load.send(prompt, most, by_context=by_context)
        if lane.own and self._draw is not None:
            self._draw.add(key, SampledRow(sends=True, prompt=prompt, most=most))

    def _finished(self, load: Load, key: Key, fate_: Disposition, entry: int | None, prompt: int) -> None:
        assert entry is not None
        load.undecided += fate_ is Disposition.UNDECIDED
        record = self._ledger.read(entry)
        seen = seen_of(record, prompt)
        load.keep(seen or _silent(record, prompt), tokens_known=seen is not None)
        if fate_ is not Disposition.KEEP:  # another request than the one that is in the input
            return
        if self._draw is not None:
            self._draw.add(key, SampledRow(sends=False, prompt=prompt, most=None))
        answered = record["status"] == Status.ANSWERED
        self.found.answers += answered
        if self._drawn is not None:
            if self._drawn.has(key):
                self.found.piloted += 1
                self.found.piloted_failed += not answered
                self.found.seen += [] if seen is None else [seen]
        elif seen is None:
            return
        elif seen.answered:
            self._some.add(key, seen)

    def close(self) -> None:
        """The reading has come to its end."""
        self.found.seen += self._some.items


def seen_of(record: RowRecord, prompt: int) -> ObservedRow | None:
    """What a finished row tells of others like it; None where it did not say how long its reply was."""
    answered = record["status"] == Status.ANSWERED
    usage: Mapping[str, Any] = record.get("usage") or {}
    completion = usage.get("completion_tokens")
    if answered and completion is None:
        return None
    silent = _silent(record, prompt)
    return silent._replace(completion=completion or 0)


def _silent(record: RowRecord, prompt: int) -> ObservedRow:
    usage: Mapping[str, Any] = record.get("usage") or {}
    return ObservedRow(
        prompt=prompt,
        reported=usage.get("prompt_tokens"),
        completion=0,
        cost_usd=record.get("cost_usd"),
        cost_reported=record.get("cost_source") == "reported",
        latency_s=record.get("latency_s") or 0.0,
        answered=record["status"] == Status.ANSWERED,
    )
