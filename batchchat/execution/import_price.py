"""Whether the cost of a batch's responses can be known."""

from __future__ import annotations

from batchchat.endpoint.batch_response import reports_no_cost
from batchchat.job import JobSpec
from batchchat.pricing.for_job import rates_for
from batchchat.sources.batch_output import BatchOutput
from batchchat.text import numbers

__all__ = ["price_to_be_set"]


def price_to_be_set(job: JobSpec, batch: BatchOutput) -> str | None:
    """Why the cost of responses in `batch` would be unknown though they were paid for; None where it would not.

    The known price of a model is that of live requests.
    """
    rate = rates_for(job).rate(job.model)
    if rate is None or rate.source == "job":
        return None
    count = sum(reports_no_cost(response.status, response.body) for response in batch.responses())
    if not count:
        return None
    return (
        f"{batch.counts.file}: {numbers.quantity(count, 'response')} of {numbers.count(len(batch))} report no cost, and"
        f" the known price of {job.model} is that of live requests; a batch costs less at many providers. Set"
        " `price: {input: ..., output: ...}` to what the batch was billed at, USD per million tokens, or take them in"
        " at an unknown cost with --yes."
    )
