"""How the rows of a job become scripts: which requests are made of a row, how its reply is checked, what it shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from batchchat.core.attempt import MaxUsage, Script
from batchchat.core.conversation import Message, Row
from batchchat.core.response_format import ResponseFormat
from batchchat.endpoint import wire
from batchchat.execution.context_check import unfit_for
from batchchat.execution.tasks import Scripts
from batchchat.job import JobSpec
from batchchat.job.expect import FORMAT_AUTO
from batchchat.job.spec import AUTO
from batchchat.policy.format_ladder import FormatLadder
from batchchat.pricing.for_job import context_for
from batchchat.pricing.max_usage import UsageBounds
from batchchat.pricing.rates import Rates
from batchchat.script.single import Compose, sent_messages, sent_params, single_message
from batchchat.script.variants import RowExpansion, Variant, variants_of

__all__ = ["format_ladder_for", "scripts_for"]


def scripts_for(job: JobSpec, rates: Rates, formats: FormatLadder | None = None) -> Scripts:
    """How the rows of `job` become scripts.

    `formats` is what requests for JSON begin with, None where nothing is sent.
    """
    compose, bounds = _compose_for(job, rates), UsageBounds(rates.highest_price)
    unfit = partial(unfit_for, context_for(job, rates))
    bounded = _is_bounded(job, rates)
    checked = _checked_for(job, compose, format_ladder_for(job) if formats is None else formats)

    def script_for(row: Row, variant: Variant) -> Script:
        script: Script
        script = first = single_message(
            row, model=job.model, params=job.params, system=job.system, compose=compose, variant=variant
        )
        if row.turns:
            from batchchat.script.turns import Turns

            script = Turns(first, compose, bounds.longer, unfit)
        return script if checked is None else checked(script)

    shares = _always if job.dedupe is True else _at_temperature_0 if job.dedupe == AUTO else None

    def bound_of_text(row: Row, variant: Variant) -> MaxUsage | None:
        messages, params = sent_messages(row, job.system, variant), sent_params(job.params, row, variant)
        if row.turns or checked is not None or not bounded or (shares is not None and shares(params)):
            return None
        return bounds.of_text(variant.model or row.model or job.model, messages, params)

    return Scripts(script_for, RowExpansion(variants_of(job.matrix or ()), job.samples), shares, bound_of_text)


def _compose_for(job: JobSpec, rates: Rates) -> Compose:
    """Makes the requests; where a model's price is known, or a limit counts tokens, they know the most they may use."""
    if _is_bounded(job, rates):
        return wire.Composer(UsageBounds(rates.highest_price))
    measured = job.limits.tokens_per_minute is not None or job.ask_concurrency
    return wire.Composer(_measured_usage if measured else None)


def _is_bounded(job: JobSpec, rates: Rates) -> bool:
    """Whether requests of `job` know the most they may use."""
    return job.budget.max_cost is not None or any(rates.rate(model) is not None for model in job.models)


def _always(_: Mapping[str, Any]) -> bool:
    return True


def _at_temperature_0(params: Mapping[str, Any]) -> bool:
    return params.get("temperature") == 0


def _measured_usage(_model: str, _messages: list[Message], params: Mapping[str, Any], body_bytes: int) -> MaxUsage:
    """The tokens that a request may use at most, as far as that is seen without a tokenizer."""
    limit = params.get("max_tokens", params.get("max_completion_tokens"))
    return MaxUsage(body_bytes, limit if type(limit) is int and limit >= 0 else None)


def format_ladder_for(job: JobSpec) -> FormatLadder:
    """What requests of `job` begin with where they ask for JSON."""
    form = job.expect.response_format
    return FormatLadder(ResponseFormat.JSON_SCHEMA if form == FORMAT_AUTO else ResponseFormat(form))


def _checked_for(job: JobSpec, compose: Compose, formats: FormatLadder) -> Callable[[Script], Script] | None:
    """Makes scripts such that check their replies; None where any reply will do."""
    expect = job.expect
    if expect.json_schema is None and expect.matches is None:
        return None
    from batchchat.script.checked import CheckedScript, Checking
    from batchchat.script.expectation import Expectation

    checking = Checking(
        Expectation(expect.json_schema, expect.matches),
        expect.json_schema,
        expect.re_ask,
        compose,
        formats.present,
        falls_back=expect.response_format == FORMAT_AUTO,
        has_endpoints=bool(job.endpoints),
    )
    return lambda script: CheckedScript(script, checking)
