"""What a job will use, cost and take: its input read once, and learned from what was answered before, or a pilot.

Without a pilot nothing is sent, nothing is written and no key is needed. With one, the pilot's rows are played in a
session of the job itself, so that their answers are the job's; the input is then read once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batchchat.core.conversation import Key, Status
from batchchat.core.record import key_of
from batchchat.errors import InputError, OutputError
from batchchat.job import JobSpec
from batchchat.preflight.assumptions import Assumptions, counted, price_missing
from batchchat.preflight.charges import charged
from batchchat.preflight.forecast import Evidence, Forecast, SendLimits, forecast
from batchchat.preflight.job_estimate import JobEstimate, PilotResult
from batchchat.preflight.load import Load, ObservedRow
from batchchat.preflight.scan import (
    MOST_SEEN,
    ModelEstimate,
    SampledRow,
    ScanResult,
    SendOptions,
    observed_row,
    scan_input,
)
from batchchat.preflight.stable_sample import StableSample
from batchchat.results.reader import Results, open_results
from batchchat.run.messages import nothing_good, own_input
from batchchat.sources import overlapping_entry
from batchchat.text import numbers

__all__ = ["Pilot", "PilotPlan", "estimate"]

_OWN = "in the answers there are"


@dataclass(frozen=True, slots=True)
class PilotPlan:
    """A pilot that is to be sent: `rows` of the `of` left, which `has` knows by their keys.

    `most_usd` is the most they cost by the `price`; None is unknown.
    """

    rows: int
    of: int
    most_usd: float | None
    price: str | None
    has: Callable[[Key], bool]


@dataclass(frozen=True, slots=True)
class Pilot:
    """Which rows, and who sends them: `send` plays the session, and raises where it is not to be, or breaks."""

    rows: int
    seed: int
    send: Callable[[PilotPlan], None]


def estimate(
    job: JobSpec,
    *,
    sending: SendOptions = SendOptions(),  # noqa: B008 (frozen)
    pilot: Pilot | None = None,
    like: Path | None = None,
    compare: Sequence[str] = (),
) -> list[JobEstimate]:
    """The job's estimate, and one more for each model to `compare`.

    Raises `InputError` and `OutputError` for what a run would refuse, `OutputError` for a `like` that has no answers.
    """
    if (entry := overlapping_entry(job.input, job.output.path)) is not None:
        raise OutputError(own_input(job.output.as_given, entry))
    evidence = None if like is None else _like(job, like)
    basis = Assumptions(job)
    lanes = _lanes(job, basis, compare)
    draw = None if pilot is None else StableSample[SampledRow](pilot.rows, pilot.seed)
    found = scan_input(job, basis.rates, lanes, sending, draw=draw)
    if not found.good:
        raise InputError(nothing_good(job, found.first_bad))
    piloted = None
    if pilot is not None and draw is not None:
        if any(row.sends for row in draw.held):
            pilot.send(_plan(lanes[0], draw, found))
        lanes = _lanes(job, basis, compare)
        found = scan_input(job, basis.rates, lanes, sending, drawn=draw)
        evidence, piloted = _piloted(found, pilot.seed)
    elif evidence is None:
        evidence = _own(found)
    return [_estimated(job, lane, evidence, piloted, seed=0 if pilot is None else pilot.seed) for lane in lanes]


def _lanes(job: JobSpec, basis: Assumptions, compare: Sequence[str]) -> list[ModelEstimate]:
    """The job's own model first; a model that is named twice is compared once."""
    models = dict.fromkeys([job.model, *compare])
    return [
        ModelEstimate(
            each, basis.tokenizer(each), basis.context_length(each), basis.charge(each), own=each == job.model
        )
        for each in models
    ]


def _plan(lane: ModelEstimate, draw: StableSample[SampledRow], found: ScanResult) -> PilotPlan:
    rows = [row for row in draw.held if row.sends]
    charge = charged(found.observed, lane.charge, _OWN)
    usd = None
    if charge is not None and all(row.most is not None for row in rows):
        margin = 1.0 + (lane.tokenizer.error or 0.0)
        usd = sum(charge.of(row.prompt * margin, row.most or 0) for row in rows)
    return PilotPlan(len(rows), lane.load.left, usd, None if charge is None else charge.words, draw.has)


def _own(found: ScanResult) -> Evidence | None:
    """What the job's own answers tell, where it has any."""
    if not found.observed:
        return None
    many = numbers.rows(found.answers)
    of = "" if len(found.observed) == found.answers else f"{numbers.count(len(found.observed))} of "
    return Evidence(found.observed, _OWN, f"lengths from {of}the {many} that this job has answered")


def _piloted(found: ScanResult, seed: int) -> tuple[Evidence, PilotResult]:
    seen = found.observed
    costs = [each.cost_usd for each in seen if each.answered or each.cost_usd is not None]
    known = sum(usd for usd in costs if usd is not None) if costs and None not in costs else None
    lengths = f"lengths from a pilot of {numbers.rows(found.piloted)}, seed {seed}"
    piloted = PilotResult(found.piloted, found.piloted_failed, seed, known)
    return Evidence(seen, "in the pilot", lengths, drawn=True), piloted


def _like(job: JobSpec, output: Path) -> Evidence:
    """What another output's answers tell: a bounded sample of them."""
    with open_results(output) as results:
        seen, answers = _sampled(results)
        if not seen:
            raise OutputError(f"{output} has no answer that says how long it was. Give --like an output that has.")
        same = results.model == job.model and results.endpoint == job.host
        of = "" if len(seen) == answers else f"{numbers.count(len(seen))} of "
        model = "" if results.model == job.model else f" of {results.model}"
        lengths = f"lengths from {of}{numbers.rows(answers)}{model} in {output}"
        return Evidence(seen, f"in {output}", lengths, calibrates=False, same_price=same)


def _sampled(results: Results) -> tuple[list[ObservedRow], int]:
    """A sample of the answered rows that say how long they were, and how many are answered."""
    drawn = StableSample[ObservedRow](MOST_SEEN, 0)
    answers = 0
    for record, _ in results.rows():
        if record["status"] != Status.ANSWERED:
            continue
        answers += 1
        usage = record.get("usage") or {}
        if (seen := observed_row(record, usage.get("prompt_tokens") or 0)) is not None:
            drawn.add(key_of(record), seen)
    return drawn.held, answers


def _estimated(
    job: JobSpec, lane: ModelEstimate, evidence: Evidence | None, piloted: PilotResult | None, *, seed: int
) -> JobEstimate:
    tokenizer = lane.tokenizer
    if evidence is not None and not lane.own:  # another model's lengths, and nothing else of it, hold here
        lengths = f"{evidence.lengths}, of {job.model}"
        evidence = replace(evidence, lengths=lengths, calibrates=False, drawn=False, same_price=False)
    limits = job.limits
    pace = SendLimits(job.concurrency, limits.requests_per_minute, limits.tokens_per_minute)
    made = forecast(lane.load, evidence, lane.charge, pace, counted=counted(tokenizer), seed=seed)
    if not lane.own and made.duration_s is not None:
        made.duration_s, made.sources["duration_s"] = None, None
    made.notes += _notes(job, lane, made, piloted if lane.own else None)
    return JobEstimate(
        job=job.name,
        model=lane.model,
        host=job.host,
        concurrency=job.concurrency,
        load=lane.load,
        forecast=made,
        tokenizer=(tokenizer.name, tokenizer.exact, tokenizer.error),
        context_length=lane.context_length,
        pilot=piloted if lane.own else None,
    )


def _notes(job: JobSpec, lane: ModelEstimate, made: Forecast, piloted: PilotResult | None) -> list[str]:
    """What one has to know of the figures, in sentences with the way out."""
    load, notes = lane.load, list[str]()
    if lane.tokenizer.note is not None:
        notes.append(lane.tokenizer.note)
    if made.charge is None:
        notes.append(price_missing(job, lane.model))
    if load.unbounded:
        notes.append(
            f"{numbers.rows(load.unbounded)} set no max_tokens, and the context of {lane.model} is not known, so that"
            " the worst case has no bound. Set `params.max_tokens`."
        )
    if piloted is not None and load.left:
        notes += _notes_of_pilot(piloted, made)
    elif not made.measured and load.left:
        notes.append("no reply was seen yet: --pilot 100 measures lengths, --like OUTPUT learns them from another run.")
    return [*notes, *_notes_of_rows(load, lane.model)]


def _notes_of_pilot(piloted: PilotResult, made: Forecast) -> list[str]:
    notes = []
    if piloted.failed:
        notes.append(
            f"{piloted.failed} of the pilot's {numbers.rows(piloted.rows)} failed; they count as replies of no tokens."
        )
    if not made.measured:
        notes.append("no answer of the pilot says how many tokens it had, so that nothing can be learned from it.")
    elif made.completion_interval is None:
        notes.append("one row of a pilot gives no interval; --pilot 20 or more does.")
    return notes


def _notes_of_rows(load: Load, model: str) -> list[str]:
    notes = []
    if load.undecided:
        notes.append(
            f"{numbers.rows(load.undecided)} {'is' if load.undecided == 1 else 'are'} answered to another request than"
            " the input has now; they count as answered here, and run asks whether to pay for them again."
        )
    if load.unknown_cost:
        notes.append(f"the cost of {numbers.rows(load.unknown_cost)} already answered is unknown, and in no sum here.")
    if load.unknown_tokens:
        notes.append(
            f"{numbers.rows(load.unknown_tokens)} already answered did not say how long; they are in no sum here."
        )
    if load.other_models:
        notes.append(f"{numbers.rows(load.other_models)} bring a model of their own; they are counted as {model}'s.")
    return notes
