"""The rates and context windows of a job: from its own keys, the endpoint's list of models and a price table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchchat.job import JobSpec
from batchchat.pricing.price_table import PriceTable, builtin_table, read_table
from batchchat.pricing.rates import ListedModel, Rates
from batchchat.tokens.context_window import ContextWindow

if TYPE_CHECKING:
    from batchchat.tokens.tokenizer import Tokenizer

__all__ = ["context_for", "no_price", "rates_for", "table_for"]

# The embedded mock imitates DeepInfra, so its rows cost what DeepInfra's do until its own list is known.
_MOCKED_HOST = "api.deepinfra.com"


def table_for(job: JobSpec) -> PriceTable:
    """The price table that `job` names, else the package's. Raises `UsageError` for an invalid line."""
    return builtin_table() if job.prices is None else read_table(job.prices.path, job.prices.as_given)


def rates_for(job: JobSpec, listed: Mapping[str, ListedModel] | None = None) -> Rates:
    """The rates of `job`; `listed` is the endpoint's list of models by name, None where it was not requested.

    Where the job has several endpoints, the rates are `JointRates`, and `listed` is of all of them.
    """
    if job.endpoints:
        from batchchat.pricing.joint_rates import JointRates

        return JointRates([rates_for(view, listed) for view in job.per_endpoint])
    return Rates(
        _MOCKED_HOST if job.is_mock else job.price_host,
        job_model=job.model,
        job_price=job.price,
        job_context_length=job.endpoint.context_length,
        listed=listed,
        table=table_for(job),
        served_as=job.served_model,
    )


def context_for(job: JobSpec, rates: Rates) -> ContextWindow:
    """The check of rows against their context; the tokenizer is loaded for the first row that might not fit."""

    def tokenizer_of(model: str) -> Tokenizer:
        from batchchat.tokens.for_model import tokenizer_for

        return tokenizer_for(model, job.estimate.tokenizer)

    return ContextWindow(rates.context_length, tokenizer_of)


def no_price(job: JobSpec, model: str, no_list: str | None = None) -> str:
    """The error where `budget.max_cost` is set and `model` has no known price: a cost is reserved before it is sent.

    `no_list` says why the endpoint gave no list of models, where it may have one.
    """
    table = "the price table" if job.prices is None else job.prices.as_given
    of_model = f"for {model} at {job.host}"
    lack = f"neither the endpoint nor {table} has one {of_model}"
    if no_list is not None:
        lack = f"{table} has none {of_model}, whose list of models can't be read ({no_list})"
    way_out = "Add `price: {input: ..., output: ...}`, USD per million tokens, from the endpoint's price list."
    if model != job.model:  # the job's price is that of its own model
        way_out = "Name a price table of your own in `prices`, with a line for it."
    return f"{job.label}: `budget.max_cost` needs a known price, and {lack}. {way_out}"
