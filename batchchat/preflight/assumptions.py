"""What an estimate assumes of a model before anything is sent: its tokenizer, price and context length.

The endpoint's list of models is asked for, since it has prices and contexts that no table has; without it the estimate
is made of what is known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from batchchat.endpoint.unavailable import Unavailable
from batchchat.errors import BatchchatError
from batchchat.execution.wiring import redactor_for, sender_for
from batchchat.job import JobSpec
from batchchat.preflight.charges import Charge
from batchchat.pricing.for_job import rates_for
from batchchat.pricing.rates import ListedModel, Rates
from batchchat.tokens.for_model import Tokenizer, tokenizer_for

__all__ = ["Assumptions", "ModelList", "model_list", "price_missing", "prompt_source"]

_MILLION = 1_000_000
_MAX_LOOKUP_S = 5.0

ModelList = Mapping[str, ListedModel] | Unavailable | None
"""The endpoint's list of models, why there is none, or None where it was not asked for."""


async def model_list(job: JobSpec, environ: Mapping[str, str]) -> ModelList:
    """Ask the endpoint of `job` for its list of models; None for the mock, whose list is DeepInfra's.

    Of several endpoints the lists are one, in which a model that several have is the last one's; where none gives a
    list, why the first does not.
    """
    if job.is_mock:
        return None
    answers = await asyncio.gather(*(_own_list(view, environ) for view in job.per_endpoint))
    lists = [answer for answer in answers if not isinstance(answer, Unavailable)]
    return {name: model for listed in lists for name, model in listed.items()} if lists else answers[0]


async def _own_list(job: JobSpec, environ: Mapping[str, str]) -> dict[str, ListedModel] | Unavailable:
    """The list of the one endpoint of `job`."""
    try:
        async with asyncio.timeout(_MAX_LOOKUP_S):
            async with sender_for(job, rates_for(job), environ, redactor_for(job, environ)) as sender:
                return await sender.listing_once()
    except TimeoutError:
        return Unavailable(f"no response within {_MAX_LOOKUP_S:g} s", None, retryable=True)
    except BatchchatError as error:  # what a run would refuse, a run says
        return Unavailable(str(error), None, retryable=False)


class Assumptions:
    """The tokenizer, price and context length of each model that `job` is estimated for, with `models` listed."""

    def __init__(self, job: JobSpec, models: ModelList = None) -> None:
        self._job = job
        listed = None if isinstance(models, Unavailable) else models
        self.rates = rates_for(job, listed)
        # The job's own price and context length apply to its own model only, not to the models it is compared with.
        endpoint = replace(job.endpoint, context_length=None)
        self._rates_of_others = rates_for(replace(job, price=None, endpoint=endpoint), listed)

    def tokenizer(self, model: str) -> Tokenizer:
        """The tokenizer of `model`. Raises `UsageError` where the job's `tokenizer.json` can't be read."""
        return tokenizer_for(model, self._job.estimate.tokenizer if model == self._job.model else None)

    def charge(self, model: str) -> Charge | None:
        """The price of a token of `model` by the job, the list or the price table; None where it is unknown."""
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


def price_missing(job: JobSpec, model: str, models: ModelList = None) -> str:
    """The note where no price of `model` is known: which list and table lack it and how to set one."""
    table = "the price table" if job.prices is None else job.prices.as_given
    unknown = f"no price of {model} at {job.host} is in {table}, so its cost is unknown."
    if isinstance(models, Unavailable):
        unknown = f"{unknown[:-1]}; the endpoint's list of models can't be read ({models.sentence.rstrip('.')})."
    elif models is not None:
        unknown = f"no price of {model} is in {job.host}'s list of models, nor in {table}, so its cost is unknown."
    if model != job.model:
        return f"{unknown} Name a price table of your own in `prices`."
    return (
        f"{unknown} Add `price: {{input: ..., output: ...}}` to the job, USD per million tokens; if the endpoint"
        " reports costs, --pilot measures it."
    )
