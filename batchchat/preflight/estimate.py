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
from batchchat.execution.messages import nothing_good, own_input
from batchchat.job import JobSpec
from batchchat.preflight.assumptions import Assumptions, ModelList, price_missing, prompt_source
from batchchat.preflight.charges import Charge, observed_charge
from batchchat.preflight.forecast import Evidence, Forecast, SendLimits, forecast
from batchchat.preflight.job_estimate import JobEstimate, PilotResult
from batchchat.preflight.load import Load, ObservedRow
from batchchat.preflight.models_sum import sum_of_models
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
from batchchat.sources import overlapping_entry
from batchchat.text import numbers

__all__ = ["Pilot", "PilotPlan", "estimate"]

_IN_OWN_ANSWERS = "in the answers so far"


@dataclass(frozen=True, slots=True)
class PilotPlan:
    """A pilot that is to be sent: `rows` of the `left` rows of the job; `has` is True for their keys.

    They are all variants and samples of `input_rows`. `max_usd` is their maximum cost at `price`, which is a
    description for users; None is unknown.
    """

    rows: int
    input_rows: int
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

    Where the job's matrix has several models, each has one too, behind that of the whole job.

    `like` is another output whose answers give the reply lengths; `models` is the endpoint's list. Raises `InputError`
    and `OutputError` where a run would, and `OutputError` where `like` has no answers.
    """
    if (entry := overlapping_entry(job.input, job.output.path, job.output.url)) is not None:
        raise OutputError(own_input(job.output.as_given, entry))
    evidence = None if like is None else _evidence_of_output(job, like)
    assumptions = Assumptions(job, models)
    candidates = _models(job, assumptions, compare)
    sample = None if pilot is None else StableSample[list[SampledRow]](pilot.rows, pilot.seed)
    scanned = scan_input(job, assumptions.rates, candidates, sending, draw=sample)
    if not scanned.good:
        raise InputError(nothing_good(job, scanned.first_bad))
    pilot_result = None
    if pilot is not None and sample is not None:
        if any(row.sends for rows in sample.items for row in rows):
            pilot.send(_plan(candidates, sample))
        candidates = _models(job, assumptions, compare)
        scanned = scan_input(job, assumptions.rates, candidates, sending, drawn=sample)
    own = [model for model in candidates if model.own]
    if pilot is not None:
        evidence, pilot_result = _evidence_of_pilot(own, scanned, pilot.seed)
    elif evidence is None:
        evidence = _evidence_of_job(own)
    seed = 0 if pilot is None else pilot.seed
    estimates = [
        _estimate(job, model, _of_model(evidence, model, own), pilot_result, models, seed=seed) for model in candidates
    ]
    if len(own) == 1:
        return estimates
    whole = sum_of_models(estimates[: len(own)], evidence, _limits(job), pilot_result, seed)
    return [whole, *estimates]


def _models(job: JobSpec, assumptions: Assumptions, compare: Sequence[str]) -> list[ModelEstimate]:
    """The job's own models, then those of `compare`, each once."""
    return [
        ModelEstimate(
            name,
            assumptions.tokenizer(name),
            assumptions.context_length(name),
            assumptions.charge(name),
            own=name in job.models,
        )
        for name in dict.fromkeys([*job.models, *compare])
    ]


def _plan(models: Sequence[ModelEstimate], sample: StableSample[list[SampledRow]]) -> PilotPlan:
    """The rows of `sample` that are still to be sent, and their maximum cost."""
    own = [model for model in models if model.own]
    rows = [row for rows in sample.items for row in rows if row.sends]
    charges = {model.model: observed_charge(model.observed, model.charge, _IN_OWN_ANSWERS) for model in own}
    costs = [_max_usd(row, charges[row.model.model]) for row in rows]
    prices = dict.fromkeys(charge.description for charge in charges.values() if charge is not None)
    return PilotPlan(
        rows=len(rows),
        input_rows=sum(any(row.sends for row in rows) for rows in sample.items),
        left=sum(model.load.left + model.load.shared for model in own),
        max_usd=None if None in costs else sum(usd or 0.0 for usd in costs),
        price=" and ".join(prices) or None,
        has=sample.has,
    )


def _max_usd(row: SampledRow, charge: Charge | None) -> float | None:
    if charge is None or row.most is None:
        return None
    return charge.cost_usd(row.prompt * (1.0 + (row.model.tokenizer.error or 0.0)), row.most)


def _of_model(evidence: Evidence | None, model: ModelEstimate, own: Sequence[ModelEstimate]) -> Evidence | None:
    """What of `evidence`, which is of all models of the job's `own`, applies to `model`, which is one of them.

    Where it has no answer yet, only the lengths of the others' do.
    """
    if evidence is None or len(own) == 1 or not model.own or not evidence.of_job:
        return evidence
    if any(row.answered for row in model.observed):
        return replace(evidence, rows=model.observed)
    return replace(evidence, is_calibrating=False, is_random_sample=False, same_price=False)


def _evidence_of_job(own: Sequence[ModelEstimate]) -> Evidence | None:
    """The job's own answers; None where it has none."""
    observed = [row for model in own for row in model.observed]
    if not observed:
        return None
    answers = sum(model.answers for model in own)
    part = "" if len(observed) == answers else f"{numbers.count(len(observed))} of "
    source = f"lengths from {part}the {numbers.rows(answers)} that this job has answered"
    return Evidence(observed, _IN_OWN_ANSWERS, source, of_job=True)


def _evidence_of_pilot(own: Sequence[ModelEstimate], scanned: ScanResult, seed: int) -> tuple[Evidence, PilotResult]:
    """The finished rows of the pilot, and their counts and cost."""
    observed = [row for model in own for row in model.observed]
    costs = [row.cost_usd for row in observed if row.answered or row.cost_usd is not None]
    cost_usd = sum(usd for usd in costs if usd is not None) if costs and None not in costs else None
    length_source = f"lengths from a pilot of {numbers.rows(scanned.piloted)}, seed {seed}"
    return (
        Evidence(observed, "in the pilot", length_source, is_random_sample=True, of_job=True),
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
        length_source = f"{evidence.length_source}, of {' and '.join(job.models)}"
        evidence = replace(
            evidence, length_source=length_source, is_calibrating=False, is_random_sample=False, same_price=False
        )
    source = prompt_source(tokenizer)
    figures = forecast(model.load, evidence, model.charge, _limits(job), prompt_source=source, seed=seed)
    if (not model.own or len(job.models) > 1) and figures.duration_s is not None:
        figures.duration_s, figures.sources["duration_s"] = None, None
    pilot_result = pilot_result if model.own else None
    if figures.charge is None:
        figures.notes.append(price_missing(job, model.model, models))
    figures.notes += _notes(job, model, figures, pilot_result)
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


def _limits(job: JobSpec) -> SendLimits:
    return SendLimits(job.concurrency, job.limits.requests_per_minute, job.limits.tokens_per_minute)


def _notes(job: JobSpec, model: ModelEstimate, figures: Forecast, pilot_result: PilotResult | None) -> list[str]:
    """Sentences on what the figures do not include or assume, each with the way out."""
    load, notes = model.load, list[str]()
    if model.tokenizer.note is not None:
        of_model = f"{model.model}: " if len(job.models) > 1 else ""
        notes.append(f"{of_model}{model.tokenizer.note}")
    if job.expect.re_ask and load.left:
        times = "once" if job.expect.re_ask == 1 else f"up to {job.expect.re_ask} times"
        measured = ", and as often as measured in the others" if figures.measured else ""
        notes.append(
            f"a reply that does not fit `expect` is asked for again {times}, which is paid: counted in the worst"
            f" case{measured}."
        )
    if load.to_send.unbounded:
        notes.append(
            f"{numbers.rows(load.to_send.unbounded)} set no max_tokens, and the context of {model.model} is not known,"
            " so the worst case has no limit. Set `params.max_tokens`."
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
    if load.to_send.resends:
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
