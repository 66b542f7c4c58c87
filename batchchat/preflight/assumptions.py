"""What an estimate stands on before anything is sent: who counts tokens, what they cost, how long a context is."""

from __future__ import annotations

from dataclasses import replace

from batchchat.job import JobSpec
from batchchat.preflight.charges import Charge
from batchchat.pricing.for_job import rates_for
from batchchat.pricing.rates import Rates
from batchchat.tokens.for_model import Tokenizer, tokenizer_for

__all__ = ["Assumptions", "counted", "price_missing"]

_MILLION = 1_000_000


class Assumptions:
    """What is known of each model that `job` may be sent to; nothing is asked of the endpoint."""

    def __init__(self, job: JobSpec) -> None:
        self._job = job
        self.rates = rates_for(job)
        # The job's own price, context and tokenizer are those of its model.
        endpoint = replace(job.endpoint, context_length=None)
        self._others = rates_for(replace(job, price=None, endpoint=endpoint))

    def tokenizer(self, model: str) -> Tokenizer:
        """Who counts the prompts of `model`. Raises `UsageError` where the job's `tokenizer.json` can't be read."""
        return tokenizer_for(model, self._job.estimate.tokenizer if model == self._job.model else None)

    def charge(self, model: str) -> Charge | None:
        """What a token of `model` costs by a list; None where none has it."""
        rate = self._of(model).rate(model)
        if rate is None:
            return None
        return Charge(
            float(rate.price.input) / _MILLION,
            float(rate.price.output) / _MILLION,
            source=rate.source,
            words=rate.description,
            as_of=None if rate.as_of is None else rate.as_of.isoformat(),
        )

    def context_length(self, model: str) -> int | None:
        """Tokens of prompt and reply together; None where nobody knows."""
        return self._of(model).context_length(model)

    def _of(self, model: str) -> Rates:
        return self.rates if model == self._job.model else self._others


def counted(tokenizer: Tokenizer) -> str:
    """How prompts were counted, in words."""
    if tokenizer.exact:
        return f"counted exactly ({tokenizer.name})"
    error = "by an unknown margin" if tokenizer.error is None else f"within {tokenizer.error:.0%}"
    return f"estimated {error} ({tokenizer.name})"


def price_missing(job: JobSpec, model: str) -> str:
    """Why there is no cost, and the way out."""
    table = "the price table" if job.prices is None else job.prices.typed
    unknown = f"no price of {model} at {job.host} is in {table}, so that its cost is unknown."
    if model != job.model:
        return f"{unknown} A table of your own is named by `prices`."
    return (
        f"{unknown} Add `price: {{input: ..., output: ...}}` to the job, USD per million tokens; where the endpoint"
        " reports costs, --pilot learns it."
    )
