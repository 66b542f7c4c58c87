"""What is known of prices and contexts for a job, before its first request and with it."""

from __future__ import annotations

from collections.abc import Mapping

from batchchat.job import JobSpec
from batchchat.pricing.price_table import PriceTable, builtin_table, read_table
from batchchat.pricing.rates import ListedModel, Rates
from batchchat.tokens.context_window import ContextWindow
from batchchat.tokens.for_model import tokenizer_for
from batchchat.tokens.wizardlm import is_wizardlm

__all__ = ["asks_for_list", "context_for", "no_price", "rates_for", "table_for"]

# The embedded mock is DeepInfra's double, and so are its prices before it has told them.
_MOCKED = "api.deepinfra.com"


def table_for(job: JobSpec) -> PriceTable:
    """The user's price table where the job names one, else the package's; raises `UsageError` for a wrong line."""
    return builtin_table() if job.prices is None else read_table(job.prices.path, job.prices.typed)


def rates_for(job: JobSpec, listed: Mapping[str, ListedModel] | None = None) -> Rates:
    """The rates of `job`; `listed` is the endpoint's own list, where it was asked."""
    return Rates(
        _MOCKED if job.is_mock else job.price_host,
        own=job.price,
        own_context_length=job.endpoint.context_length,
        listed=listed,
        table=table_for(job),
    )


def asks_for_list(job: JobSpec) -> bool:
    """Whether the endpoint's list of models could tell a run anything that the job does not."""
    if job.is_mock:
        return False
    return job.price is None or (job.endpoint.context_length is None and is_wizardlm(job.model))


def context_for(job: JobSpec, rates: Rates) -> ContextWindow:
    """Whether rows fit; a tokenizer is loaded for the first row that might not."""
    return ContextWindow(rates.context_length, lambda model: tokenizer_for(model, job.estimate.tokenizer))


def no_price(job: JobSpec) -> str:
    """A cap reserves before it sends, and for that it needs a price."""
    table = "the price table" if job.prices is None else job.prices.typed
    return (
        f"{job.path}: `budget.max_cost` needs a price to reckon with before it sends, and none is known for {job.model}"
        f" at {job.host}: neither the endpoint nor {table} has one. Add"
        " `price: {input: ..., output: ...}`, USD per million tokens, from the endpoint's price list."
    )
