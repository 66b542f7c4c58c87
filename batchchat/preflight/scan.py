"""Reads a job's input once for an estimate: what is left to send under each model, and what finished rows show.

Nothing is sent or written. Only sums and a bounded sample are kept of the rows, so that memory does not grow with the
input. The disposition of a row is the one that `run` would give it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batchchat.core.conversation import BadRow, Key, Status
from batchchat.core.record import RowRecord
from batchchat.core.totals import SHARED
from batchchat.errors import OutputError
from batchchat.execution.disposition import Disposition, OnChanged
from batchchat.execution.messages import mixed_mock
from batchchat.execution.reuse import FreeAnswers, free_answers, wants_answer
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, RowTask, Scripts, looked_up_tasks, tasks
from batchchat.job import JobSpec
from batchchat.preflight.charges import Charge
from batchchat.preflight.load import Load, ObservedRow
from batchchat.preflight.stable_sample import StableSample
from batchchat.pricing.rates import Rates
from batchchat.script.expectation import MAX_WORDS_BYTES
from batchchat.sources import Source, open_source
from batchchat.store.checkpoint import replay
from batchchat.store.folder import folder_of
from batchchat.store.index import Index
from batchchat.store.ledger import Ledger
from batchchat.store.segments import segments
from batchchat.tokens.for_model import Tokenizer
from batchchat.tokens.reply_limit import max_reply_tokens

__all__ = [
    "MOST_SEEN",
    "ModelEstimate",
    "SampledRow",
    "ScanResult",
    "SendOptions",
    "journal_of",
    "observed_row",
    "scan_input",
]

MOST_SEEN = 5_000
"""Size of the sample of a big run's answers: gives a mean to half a percent where lengths are skewed."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How the run to be estimated treats rows that have a record; with `fresh` the journal is ignored.

    Without `rules` it is as the job says.
    """

    rules: ResumeRules | None = None
    fresh: bool = False


@dataclass(slots=True)
class ModelEstimate:
    """A model under which the input is counted. Only the job's `own` have answers already.

    Of several of its own each has its rows; another has all. `observed` are the rows of a pilot, or a bounded sample of
    its `answers`.
    """

    model: str
    tokenizer: Tokenizer
    context_length: int | None
    charge: Charge | None
    own: bool = True
    load: Load = field(default_factory=Load)
    observed: list[ObservedRow] = field(default_factory=list)
    answers: int = 0


class SampledRow(NamedTuple):
    """A row of a pilot: its model, whether it may be sent, its prompt tokens, and the limit of its reply's tokens.

    Of a row of several turns they are sums over its requests; prompts have the longest replies in them.
    """

    model: ModelEstimate
    sends: bool
    prompt: int
    most: int | None


@dataclass(slots=True)
class ScanResult:
    """The results except those of each model.

    `piloted` rows of the pilot have ended, `piloted_failed` of them without an answer.
    """

    good: int = 0
    first_bad: str | None = None
    piloted: int = 0
    piloted_failed: int = 0


@contextmanager
def journal_of(job: JobSpec, *, fresh: bool) -> Iterator[Ledger]:
    """The ledger of what `job` has finished, read without a lock; an empty one where the run starts over."""
    folder = folder_of(job.output.path)
    ledger = Ledger(folder)
    try:
        if not fresh and segments(folder):
            replay(ledger, folder)
            ledger.index.forget_ordinals()
            totals = ledger.totals
            foreign = totals.answered - totals.mock_answers if job.is_mock else totals.mock_answers
            if foreign:
                raise OutputError(mixed_mock(job, foreign))
        yield ledger
    finally:
        ledger.close()


def scan_input(
    job: JobSpec,
    rates: Rates,
    lanes: Sequence[ModelEstimate],
    sending: SendOptions,
    *,
    draw: StableSample[list[SampledRow]] | None = None,
    drawn: StableSample[list[SampledRow]] | None = None,
) -> ScanResult:
    """Read the input once into `lanes`, the job's own first.

    `draw` is given all rows that can be in a pilot, by their ids; with `drawn`, only rows of that one are seen.
    """
    source, scripts = open_source(job.input, job.template, job.systems), scripts_for(job, rates)
    rules = sending.rules or ResumeRules(changed=OnChanged(job.resume.changed))
    with journal_of(job, fresh=sending.fresh) as ledger:
        free = _free_answers(source, scripts, ledger, rules)
        scanner = _Scanner(job, lanes, ledger, draw=draw, drawn=drawn)
        for task in looked_up_tasks(source, scripts, ledger.index, rules):
            if isinstance(task, BadRow):
                scanner.bad(task)
            else:
                scanner.good(task if free is None else _after_takeover(task, free, ledger.index))
    return scanner.result()


def _free_answers(source: Source, scripts: Scripts, ledger: Ledger, rules: ResumeRules) -> FreeAnswers | None:
    """The answers that rows of `source` would take over from others; None where nothing was answered.

    The rows are read for it, and added to the index, as in a run.
    """
    index = ledger.index
    if not ledger.totals.answered:
        return None
    rows = tasks(source, scripts, index, rules)
    free = free_answers(
        ((task.entry, task.script.identity) for task in rows if isinstance(task, RowTask) and task.entry is not None),
        index,
    )
    return free if len(free) else None


def _after_takeover(task: RowTask, free: FreeAnswers, index: Index) -> RowTask:
    """`task` as it is once its row has taken over an answer, where there is one."""
    if task.entry is None or not wants_answer(index, task.entry, task.script.identity):
        return task
    source = free.take(task.script.identity)
    return task if source is None else task._replace(disposition=Disposition.KEEP, entry=source)


class _Scanner:
    """Takes the rows one by one."""

    def __init__(
        self,
        job: JobSpec,
        lanes: Sequence[ModelEstimate],
        ledger: Ledger,
        *,
        draw: StableSample[list[SampledRow]] | None,
        drawn: StableSample[list[SampledRow]] | None,
    ) -> None:
        self._models = frozenset(job.models)
        self._re_asks = job.expect.re_ask
        self._own = {lane.model: lane for lane in lanes if lane.own}
        self._first = lanes[0]
        self._compared = [lane for lane in lanes if not lane.own]
        self._ledger = ledger
        self._draw = draw
        self._drawing: tuple[str, list[SampledRow]] = ("", [])
        self._drawn = drawn
        self._bound: tuple[Mapping[str, Any] | None, int | None] = (None, None)
        self._samples = {lane.model: StableSample[ObservedRow](MOST_SEEN, 0) for lane in lanes if lane.own}
        self._result = ScanResult()

    def bad(self, row: BadRow) -> None:
        self._result.first_bad = self._result.first_bad or f"{row.location}: {row.error}"
        for lane in (self._first, *self._compared):
            lane.load.rows += 1
            lane.load.invalid += 1

    def good(self, task: RowTask) -> None:
        self._result.good += 1
        row, first, params = task.row, task.script.preview[0], task.script.params
        if params is not self._bound[0]:  # most rows have the job's own
            self._bound = (params, max_reply_tokens(params))
        counts: dict[int, list[int]] = {}
        model, tools, most = first.model, params.get("tools"), self._bound[1]
        shares = task.disposition is Disposition.SHARE
        record = None if shares or task.disposition.sends or task.entry is None else self._ledger.read(task.entry)
        shares = shares or (record is not None and record.get("cost_source") == SHARED)
        for lane in (self._own.get(model, self._first), *self._compared):
            lane.load.rows += 1
            lane.load.other_models += model not in self._models
            if (prompts := counts.get(id(lane.tokenizer))) is None:
                requests = ([*first.messages, *row.turns[:turn]] for turn in range(len(row.turns) + 1))
                prompts = counts[id(lane.tokenizer)] = [lane.tokenizer.count(messages, tools) for messages in requests]
            if lane.own and record is not None:
                self._finished(lane, task, record, sum(prompts))
            elif shares:
                lane.load.shared += 1
                self._draw_row(row.key, _sampled(lane, prompts, most))  # it is sent where the other is not in the pilot
            else:
                self._to_send(lane, row.key, prompts, most)

    def _to_send(self, lane: ModelEstimate, key: Key, prompts: Sequence[int], most: int | None) -> None:
        """Count a row whose requests have `prompts` tokens without replies, and a reply of at most `most` each."""
        length, requests = lane.context_length, len(prompts)
        room = None if length is None else length - prompts[0]
        if room is not None and (room <= 0 or (most is not None and most > room)):
            lane.load.refuse(key.id)
            return
        sampled = _sampled(lane, prompts, most)
        lane.load.send(sum(prompts), sampled.most, by_context=most is None, requests=requests)
        if self._re_asks and sampled.most is not None:
            # The last request once more, with its reply and what is wrong with it.
            reply = -(-sampled.most // requests)
            lane.load.to_send.ask_again(self._re_asks, prompts[-1] + requests * reply + MAX_WORDS_BYTES, reply)
        self._draw_row(key, sampled)

    def _draw_row(self, key: Key, row: SampledRow) -> None:
        """Offer `row` to the pilot, which takes all variants and samples of an id."""
        if self._draw is None or not row.model.own:
            return
        if self._drawing[0] != key.id or not self._drawing[1]:
            self._drawing = (key.id, [])
            self._draw.add(Key(key.id), self._drawing[1])
        self._drawing[1].append(row)

    def _finished(self, lane: ModelEstimate, task: RowTask, record: RowRecord, prompt: int) -> None:
        load, key, result = lane.load, task.row.key, self._result
        load.undecided += task.disposition is Disposition.UNDECIDED
        reply: Mapping[str, Any] = record.get("reply") or {}
        load.cut_off += record["status"] == Status.ANSWERED and reply.get("finish_reason") == "length"
        answered, shares = record["status"] == Status.ANSWERED, record.get("cost_source") == SHARED
        observed, without_length = observed_row(record, prompt), _without_length(record, prompt)
        if turns := task.row.turns:
            tools = task.script.params.get("tools")
            without_length = _with_turns(without_length, record, len(turns), lane.tokenizer, tools)
            observed = observed and _with_turns(observed, record, len(turns), lane.tokenizer, tools)
        if shares:
            observed = None
            load.keep_shared(answered=answered)
        else:
            load.keep(observed or without_length, tokens_known=observed is not None)
        if task.disposition is not Disposition.KEEP:  # another request than the one that is in the input
            return
        self._draw_row(key, SampledRow(lane, sends=False, prompt=prompt, most=None))
        lane.answers += answered and not shares
        if self._drawn is not None:
            if self._drawn.has(key):
                result.piloted += 1
                result.piloted_failed += not answered
                lane.observed += [] if observed is None else [observed]
        elif observed is not None and observed.answered:
            self._samples[lane.model].add(key, observed)

    def result(self) -> ScanResult:
        """The results, after the last row."""
        for model, sample in self._samples.items():
            self._own[model].observed += sample.items
        return self._result


def _sampled(model: ModelEstimate, prompts: Sequence[int], most: int | None) -> SampledRow:
    """A row to be sent whose requests have `prompts` tokens without replies, and a reply of at most `most` each."""
    length, requests = model.context_length, len(prompts)
    prompt, completion = sum(prompts), None
    if most is not None:
        completion = most * requests
        prompt += most * (requests * (requests - 1) // 2)
    elif length is not None:
        completion = sum(max(length - tokens, 0) for tokens in prompts)
        prompt = prompts[0] + length * (requests - 1)
    return SampledRow(model, sends=True, prompt=prompt, most=completion)


def observed_row(record: RowRecord, prompt: int) -> ObservedRow | None:
    """The figures of a finished row; None for an answer whose length the endpoint did not report."""
    answered = record["status"] == Status.ANSWERED
    usage: Mapping[str, Any] = record.get("usage") or {}
    completion = usage.get("completion_tokens")
    if answered and completion is None:
        return None
    # What only the total has beyond prompt and reply is billed as reply: reasoning, at some endpoints.
    prompt_tokens, total = usage.get("prompt_tokens"), usage.get("total_tokens")
    if completion is not None and prompt_tokens is not None and total is not None:
        completion = max(completion, total - prompt_tokens)
    return _without_length(record, prompt)._replace(completion=completion or 0)


def _with_turns(row: ObservedRow, record: RowRecord, turns: int, tokenizer: Tokenizer, tools: Any) -> ObservedRow:
    """`row`, which had so many further `turns`: each request had the replies before it, and took about as long."""
    messages = record.get("messages") or []
    ends = range(len(messages) - 2 * turns, len(messages) + 1, 2)
    sent = sum(tokenizer.count(messages[:end], tools) for end in ends if end > 0)
    return row._replace(resent=max(sent - row.prompt, 0), latency_s=row.latency_s * (turns + 1))


def _without_length(record: RowRecord, prompt: int) -> ObservedRow:
    usage: Mapping[str, Any] = record.get("usage") or {}
    return ObservedRow(
        prompt=prompt,
        reported=usage.get("prompt_tokens"),
        completion=0,
        cost_usd=record.get("cost_usd"),
        cost_reported=record.get("cost_source") == "reported",
        latency_s=record.get("latency_s") or 0.0,
        answered=record["status"] == Status.ANSWERED,
        id=record["id"],
    )
