"""What an estimate assumes of a model before anything is sent: its tokenizer, price and context length."""

from __future__ import annotations

from dataclasses import replace

from batchchat.job import JobSpec
from batchchat.preflight.charges import Charge
from batchchat.pricing.for_job import rates_for
from batchchat.pricing.rates import Rates
from batchchat.tokens.for_model import Tokenizer, tokenizer_for

__all__ = ["Assumptions", "price_missing", "prompt_source"]

_MILLION = 1_000_000


class Assumptions:
    """The tokenizer, price and context length of each model that `job` is estimated for; sends no request."""

    def __init__(self, job: JobSpec) -> None:
        self._job = job
        self.rates = rates_for(job)
        # The job's own price and context length apply to its own model only, not to the models it is compared with.
        endpoint = replace(job.endpoint, context_length=None)
        self._rates_of_others = rates_for(replace(job, price=None, endpoint=endpoint))

    def tokenizer(self, model: str) -> Tokenizer:
        """The tokenizer of `model`. Raises `UsageError` where the job's `tokenizer.json` can't be read."""
        return tokenizer_for(model, self._job.estimate.tokenizer if model == self._job.model else None)

    def charge(self, model: str) -> Charge | None:
        """The price of a token of `model` by the job or the price table; None where it is unknown."""
        rate = self._rates_of(model).rate(model)
        if rate is None:
            return None
        return Charge(
            float(rate.price.input) / _MILLION,
            float(rate.price.output) / _MILLION,
            source=rate.source,
            description=rate.description,
            as_of=None if rate.as_of is None else rate.as_of.isoformat(),
        )

    def context_length(self, model: str) -> int | None:
        """The tokens that prompt and reply of `model` may have together; None where that is unknown."""
        return self._rates_of(model).context_length(model)

    def _rates_of(self, model: str) -> Rates:
        return self.rates if model == self._job.model else self._rates_of_others


def prompt_source(tokenizer: Tokenizer) -> str:
    """How prompts were counted, and how well, as the estimate shows it."""
    if tokenizer.exact:
        return f"counted exactly ({tokenizer.name})"
    error = "with an unknown error" if tokenizer.error is None else f"within {tokenizer.error:.0%}"
    return f"estimated {error} ({tokenizer.name})"


def price_missing(job: JobSpec, model: str) -> str:
    """The note where no price of `model` is known: which table lacks it and how to set one."""
    table = "the price table" if job.prices is None else job.prices.as_given
    unknown = f"no price of {model} at {job.host} is in {table}, so its cost is unknown."
    if model != job.model:
        return f"{unknown} Name a price table of your own in `prices`."
    return (
        f"{unknown} Add `price: {{input: ..., output: ...}}` to the job, USD per million tokens; if the endpoint"
        " reports costs, --pilot measures it."
    )
