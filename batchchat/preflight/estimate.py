"""The estimate of a job: its input is read once, and extrapolated from earlier answers or from those of a pilot.

Without a pilot nothing is sent or written, and no key is needed. The rows of a pilot are sent by a session of the job
itself, so their answers are the job's; the input is then read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batchchat.core.conversation import Key, Status
from batchchat.core.record import key_of
from batchchat.errors import InputError, OutputError
from batchchat.job import JobSpec
from batchchat.preflight.assumptions import Assumptions, ModelList, price_missing, prompt_source
from batchchat.preflight.charges import observed_charge
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

_IN_OWN_ANSWERS = "in the answers so far"


@dataclass(frozen=True, slots=True)
class PilotPlan:
    """A pilot that is to be sent: `rows` of the `left` rows of the job; `has` is True for their keys.

    `max_usd` is their maximum cost at `price`, which is a description for users; None is unknown.
    """

    rows: int
    left: int
    max_usd: float | None
    price: str | None
    has: Callable[[Key], bool]


@dataclass(frozen=True, slots=True)
class Pilot:
    """The sample of a pilot, and the callback that sends it, which raises where the pilot is refused or fails."""

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
    models: ModelList = None,
) -> list[JobEstimate]:
    """The estimate of `job`, and one for each model in `compare`, each at its own price.

    `like` is another output whose answers give the reply lengths; `models` is the endpoint's list. Raises `InputError`
    and `OutputError` where a run would, and `OutputError` where `like` has no answers.
    """
    if (entry := overlapping_entry(job.input, job.output.path)) is not None:
        raise OutputError(own_input(job.output.as_given, entry))
    evidence = None if like is None else _evidence_of_output(job, like)
    assumptions = Assumptions(job, models)
    candidates = _models(job, assumptions, compare)
    sample = None if pilot is None else StableSample[SampledRow](pilot.rows, pilot.seed)
    scanned = scan_input(job, assumptions.rates, candidates, sending, draw=sample)
    if not scanned.good:
        raise InputError(nothing_good(job, scanned.first_bad))
    pilot_result = None
    if pilot is not None and sample is not None:
        if any(row.sends for row in sample.items):
            pilot.send(_plan(candidates[0], sample, scanned))
        candidates = _models(job, assumptions, compare)
        scanned = scan_input(job, assumptions.rates, candidates, sending, drawn=sample)
        evidence, pilot_result = _evidence_of_pilot(scanned, pilot.seed)
    elif evidence is None:
        evidence = _evidence_of_job(scanned)
    seed = 0 if pilot is None else pilot.seed
    return [_estimate(job, model, evidence, pilot_result, models, seed=seed) for model in candidates]


def _models(job: JobSpec, assumptions: Assumptions, compare: Sequence[str]) -> list[ModelEstimate]:
    """The job's own model, then those of `compare`, each once."""
    return [
        ModelEstimate(
            name,
            assumptions.tokenizer(name),
            assumptions.context_length(name),
            assumptions.charge(name),
            own=name == job.model,
        )
        for name in dict.fromkeys([job.model, *compare])
    ]


def _plan(model: ModelEstimate, sample: StableSample[SampledRow], scanned: ScanResult) -> PilotPlan:
    """The rows of `sample` that are still to be sent, and their maximum cost."""
    rows = [row for row in sample.items if row.sends]
    charge = observed_charge(scanned.observed, model.charge, _IN_OWN_ANSWERS)
    max_usd = None
    if charge is not None and all(row.most is not None for row in rows):
        margin = 1.0 + (model.tokenizer.error or 0.0)
        max_usd = sum(charge.cost_usd(row.prompt * margin, row.most or 0) for row in rows)
    return PilotPlan(len(rows), model.load.left, max_usd, None if charge is None else charge.description, sample.has)


def _evidence_of_job(scanned: ScanResult) -> Evidence | None:
    """The job's own answers; None where it has none."""
    if not scanned.observed:
        return None
    answered = numbers.rows(scanned.answers)
    part = "" if len(scanned.observed) == scanned.answers else f"{numbers.count(len(scanned.observed))} of "
    return Evidence(scanned.observed, _IN_OWN_ANSWERS, f"lengths from {part}the {answered} that this job has answered")


def _evidence_of_pilot(scanned: ScanResult, seed: int) -> tuple[Evidence, PilotResult]:
    """The finished rows of the pilot, and their counts and cost."""
    costs = [row.cost_usd for row in scanned.observed if row.answered or row.cost_usd is not None]
    cost_usd = sum(usd for usd in costs if usd is not None) if costs and None not in costs else None
    length_source = f"lengths from a pilot of {numbers.rows(scanned.piloted)}, seed {seed}"
    return (
        Evidence(scanned.observed, "in the pilot", length_source, is_random_sample=True),
        PilotResult(scanned.piloted, scanned.piloted_failed, seed, cost_usd),
    )


def _evidence_of_output(job: JobSpec, output: Path) -> Evidence:
    """A bounded sample of the answers in another output. Raises `OutputError` where it has none with a usage."""
    with open_results(output) as results:
        rows, answer_count = _sample_answers(results)
        if not rows:
            raise OutputError(f"{output} has no answer with a token count. Give --like an output that has one.")
        same_price = results.model == job.model and results.endpoint == job.host
        part = "" if len(rows) == answer_count else f"{numbers.count(len(rows))} of "
        model = "" if results.model == job.model else f" of {results.model}"
        length_source = f"lengths from {part}{numbers.rows(answer_count)}{model} in {output}"
        return Evidence(rows, f"in {output}", length_source, is_calibrating=False, same_price=same_price)


def _sample_answers(results: Results) -> tuple[list[ObservedRow], int]:
    """A sample of the answered rows that report their usage, and the count of all answered rows."""
    sample = StableSample[ObservedRow](MOST_SEEN, 0)
    answer_count = 0
    for record, _ in results.rows():
        if record["status"] != Status.ANSWERED:
            continue
        answer_count += 1
        usage = record.get("usage") or {}
        if (row := observed_row(record, usage.get("prompt_tokens") or 0)) is not None:
            sample.add(key_of(record), row)
    return sample.items, answer_count


def _estimate(
    job: JobSpec,
    model: ModelEstimate,
    evidence: Evidence | None,
    pilot_result: PilotResult | None,
    models: ModelList,
    *,
    seed: int,
) -> JobEstimate:
    """The estimate of `job` under `model`, with its notes; `models` is the endpoint's list."""
    tokenizer = model.tokenizer
    if evidence is not None and not model.own:  # only the reply lengths of another model apply
        length_source = f"{evidence.length_source}, of {job.model}"
        evidence = replace(
            evidence, length_source=length_source, is_calibrating=False, is_random_sample=False, same_price=False
        )
    limits = SendLimits(job.concurrency, job.limits.requests_per_minute, job.limits.tokens_per_minute)
    figures = forecast(model.load, evidence, model.charge, limits, prompt_source=prompt_source(tokenizer), seed=seed)
    if not model.own and figures.duration_s is not None:
        figures.duration_s, figures.sources["duration_s"] = None, None
    pilot_result = pilot_result if model.own else None
    if figures.charge is None:
        figures.notes.append(price_missing(job, model.model, models))
    figures.notes += _notes(model, figures, pilot_result)
    return JobEstimate(
        job=job.name,
        model=model.model,
        host=job.host,
        concurrency=job.concurrency,
        load=model.load,
        forecast=figures,
        tokenizer=(tokenizer.name, tokenizer.exact, tokenizer.error),
        context_length=model.context_length,
        pilot=pilot_result,
    )


def _notes(model: ModelEstimate, figures: Forecast, pilot_result: PilotResult | None) -> list[str]:
    """Sentences on what the figures do not include or assume, each with the way out."""
    load, notes = model.load, list[str]()
    if model.tokenizer.note is not None:
        notes.append(model.tokenizer.note)
    if load.unbounded:
        notes.append(
            f"{numbers.rows(load.unbounded)} set no max_tokens, and the context of {model.model} is not known, so"
            " the worst case has no limit. Set `params.max_tokens`."
        )
    if pilot_result is not None and load.left:
        notes += _notes_of_pilot(pilot_result, figures)
    elif not figures.measured and load.left:
        notes.append(
            "no reply was measured yet: --pilot 100 measures lengths, --like OUTPUT takes them from another run."
        )
    return [*notes, *_notes_of_rows(load, model.model)]


def _notes_of_pilot(pilot_result: PilotResult, figures: Forecast) -> list[str]:
    notes = []
    if pilot_result.failed:
        notes.append(
            f"{pilot_result.failed} of the pilot's {numbers.rows(pilot_result.rows)} failed; they count as replies of"
            " no tokens."
        )
    if not figures.measured:
        notes.append("no answer of the pilot reports its tokens, so reply lengths are not measured.")
    elif figures.completion_interval is None:
        notes.append("one row of a pilot gives no interval; use --pilot 20 or more.")
    return notes


def _notes_of_rows(load: Load, model: str) -> list[str]:
    notes = []
    if load.left_resends:
        notes.append(
            "each later turn of a row is sent with the replies before it; they are counted in its prompt at their"
            " expected length."
        )
    if load.undecided:
        notes.append(
            f"{numbers.rows(load.undecided)} changed since {'it was' if load.undecided == 1 else 'they were'} answered;"
            " counted as answered here. run asks whether to pay for them again."
        )
    if load.unknown_cost:
        notes.append(f"the cost of {numbers.rows(load.unknown_cost)} already answered is unknown and not included.")
    if load.unknown_tokens:
        notes.append(
            f"{numbers.rows(load.unknown_tokens)} already answered did not report their tokens, which are not included."
        )
    if load.other_models:
        notes.append(f"{numbers.rows(load.other_models)} set a model of their own; they are counted as {model}'s.")
    return notes
