"""The estimate of a job whose matrix has several models: the sum over its models, each at its own price; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchchat.preflight.forecast import Evidence, Forecast, Range, SendLimits, forecast
from batchchat.preflight.interval import Interval
from batchchat.preflight.job_estimate import JobEstimate, PilotResult
from batchchat.preflight.load import Load

__all__ = ["sum_of_models"]


def sum_of_models(
    estimates: Sequence[JobEstimate],
    evidence: Evidence | None,
    limits: SendLimits,
    pilot: PilotResult | None,
    seed: int,
) -> JobEstimate:
    """The estimate of the whole job out of those of its models; `evidence` is of all its rows.

    Requests to all models are in flight together, so the duration is that of all rows, not the sum. Intervals are
    added up end to end: the rows of a pilot are the same for each model, so their errors may be as well.
    """
    first, load = estimates[0], Load.of_all([estimate.load for estimate in estimates])
    together = forecast(load, evidence, None, limits, prompt_source="", seed=seed)
    return JobEstimate(
        job=first.job,
        model=", ".join(estimate.model for estimate in estimates),
        host=first.host,
        concurrency=first.concurrency,
        load=load,
        forecast=_sum(estimates, together),
        tokenizer=first.tokenizer
        if len({estimate.tokenizer for estimate in estimates}) == 1
        else ("several", all(estimate.tokenizer[1] for estimate in estimates), None),
        context_length=next((part for part in estimates if part.load.too_long), first).context_length,
        pilot=pilot,
        is_sum=True,
    )


def _sum(estimates: Sequence[JobEstimate], together: Forecast) -> Forecast:
    forecasts = [estimate.forecast for estimate in estimates]
    charges = {forecast.charge for forecast in forecasts}
    return replace(
        together,
        prompt_tokens=sum(forecast.prompt_tokens for forecast in forecasts),
        completion_tokens=_ranges([forecast.completion_tokens for forecast in forecasts]) or Range(None, None, None),
        cost_usd=_ranges([forecast.cost_usd for forecast in forecasts]),
        left_cost_usd=_ranges([forecast.left_cost_usd for forecast in forecasts]),
        charge=charges.pop() if len(charges) == 1 else None,
        completion_interval=_intervals([forecast.completion_interval for forecast in forecasts]),
        cost_interval=_intervals([forecast.cost_interval for forecast in forecasts]),
        measured=all(forecast.measured for forecast in forecasts),
        sources={
            "prompt_tokens": _sources(estimates, "prompt_tokens"),
            "completion_tokens": _sources(estimates, "completion_tokens"),
            "cost_usd": _price_source(forecasts),
            "duration_s": together.sources["duration_s"],
        },
        notes=list(dict.fromkeys(note for forecast in forecasts for note in forecast.notes)),
    )


def _price_source(forecasts: Sequence[Forecast]) -> str | None:
    sources = [forecast.sources["cost_usd"] for forecast in forecasts]
    return sources[0] if len({*sources}) == 1 else "each model's own, as below"


def _sources(estimates: Sequence[JobEstimate], name: str) -> str | None:
    """The source of the figure `name`; where models have several, each with the models that it is for."""
    models: dict[str | None, list[str]] = {}
    for estimate in estimates:
        models.setdefault(estimate.forecast.sources[name], []).append(estimate.model)
    if len(models) == 1:
        return next(iter(models))
    return "; ".join(f"{source or 'unknown'} for {', '.join(names)}" for source, names in models.items())


def _ranges(ranges: Sequence[Range | None]) -> Range | None:
    """The sum of `ranges`, each figure unknown where one of them is; None where one is."""
    present = [values for values in ranges if values is not None]
    if len(present) < len(ranges):
        return None
    return Range(*(_total(figures) for figures in zip(*present, strict=True)))


def _total(figures: Sequence[float | None]) -> float | None:
    numbers = [figure for figure in figures if figure is not None]
    return sum(numbers) if len(numbers) == len(figures) else None


def _intervals(intervals: Sequence[Interval | None]) -> Interval | None:
    present = [span for span in intervals if span is not None]
    if not present or len(present) < len(intervals):
        return None
    return Interval(sum(span.low for span in present), sum(span.high for span in present))
