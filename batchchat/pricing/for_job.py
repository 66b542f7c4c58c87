"""The rates and context windows of a job: from its own keys, the endpoint's list of models and a price table."""

from __future__ import annotations

from collections.abc import Mapping

from batchchat.job import JobSpec
from batchchat.pricing.price_table import PriceTable, builtin_table, read_table
from batchchat.pricing.rates import ListedModel, Rates
from batchchat.tokens.context_window import ContextWindow
from batchchat.tokens.for_model import tokenizer_for
from batchchat.tokens.wizardlm import is_wizardlm

__all__ = ["asks_for_list", "context_for", "no_price", "rates_for", "table_for"]

# The embedded mock imitates DeepInfra, so its rows cost what DeepInfra's do until its own list is known.
_MOCKED_HOST = "api.deepinfra.com"


def table_for(job: JobSpec) -> PriceTable:
    """The price table that `job` names, else the package's. Raises `UsageError` for an invalid line."""
    return builtin_table() if job.prices is None else read_table(job.prices.path, job.prices.as_given)


def rates_for(job: JobSpec, listed: Mapping[str, ListedModel] | None = None) -> Rates:
    """The rates of `job`; `listed` is the endpoint's list of models by name, None where it was not requested."""
    return Rates(
        _MOCKED_HOST if job.is_mock else job.price_host,
        job_price=job.price,
        job_context_length=job.endpoint.context_length,
        listed=listed,
        table=table_for(job),
    )


def asks_for_list(job: JobSpec) -> bool:
    """True if a run of `job` needs the endpoint's list of models, for a price or a context length."""
    if job.is_mock:
        return False
    return job.price is None or (job.endpoint.context_length is None and is_wizardlm(job.model))


def context_for(job: JobSpec, rates: Rates) -> ContextWindow:
    """The check of rows against their context; the tokenizer is loaded for the first row that might not fit."""
    return ContextWindow(rates.context_length, lambda model: tokenizer_for(model, job.estimate.tokenizer))


def no_price(job: JobSpec) -> str:
    """The error where `budget.max_cost` is set and no price is known: a cost is reserved before a request is sent."""
    table = "the price table" if job.prices is None else job.prices.as_given
    return (
        f"{job.path}: `budget.max_cost` needs a known price, and neither the endpoint nor {table} has one for"
        f" {job.model} at {job.host}. Add"
        " `price: {input: ..., output: ...}`, USD per million tokens, from the endpoint's price list."
    )
