"""Compares the rows of a job with what its endpoint billed; response ids are read and sent in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchchat.endpoint.unavailable import Unavailable
from batchchat.errors import EndpointError, UsageError
from batchchat.execution.wiring import redactor_for, sender_for
from batchchat.job import JobSpec, load_job
from batchchat.pricing.for_job import rates_for
from batchchat.results.reader import open_results
from batchchat.results.reconciliation import Claim, Reconciliation

__all__ = ["job_to_reconcile", "reconciled"]

Billed = Callable[[Sequence[str]], Awaitable[list[Decimal | None] | Unavailable]]
_IDS_AT_ONCE = 500
"""Response ids in one request."""
_REQUESTS_AT_ONCE = 4
_PAUSES_S = (1.0, 4.0, 15.0)
"""Before each retry of a request that may succeed later."""
_COLUMNS = frozenset({"id", "sample", "status", "response_id", "cost_usd", "attempts"})


def job_to_reconcile(source: Path, environ: Mapping[str, str]) -> JobSpec:
    """The job in the file `source`. Raises `UsageError` for an output, which has no key, and for the mock."""
    if source.suffix not in {".yaml", ".yml"}:
        raise UsageError(
            f"{source} does not say whom to ask, nor with which key. With --reconcile, give the job file instead."
        )
    job = load_job(source, environ=environ)
    if job.is_mock:
        raise UsageError(
            f"{source} has `endpoint.base_url: mock`, which lives as long as a run: no endpoint is left to ask what was"
            " billed. Run `batchchat mock-server` and give its address instead."
        )
    if job.endpoints:
        raise UsageError(
            f"{source} has several `endpoints`, and --reconcile asks one. Give it a copy of the job with the `endpoint`"
            " that billed, and compare the rows of that one."
        )
    return job


async def reconciled(
    job: JobSpec,
    environ: Mapping[str, str],
    *,
    ids_at_once: int = _IDS_AT_ONCE,
    pauses_s: Sequence[float] = _PAUSES_S,
) -> Reconciliation:
    """Look up every row of the job's results that has a response id, `ids_at_once` in a request.

    A request that may succeed later is retried after each of `pauses_s`. Raises `OutputError` without results,
    `EndpointError` where the endpoint does not say what it billed.
    """
    reconciliation = Reconciliation()
    async with sender_for(job, rates_for(job), environ, redactor_for(job, environ)) as opened:
        with open_results(job.output.path) as results:
            for claims in _claims(results.columns(_COLUMNS), reconciliation):
                requests = [claims[at : at + ids_at_once] for at in range(0, len(claims), ids_at_once)]
                for at in range(0, len(requests), _REQUESTS_AT_ONCE):
                    group = requests[at : at + _REQUESTS_AT_ONCE]
                    bills = await asyncio.gather(
                        *(_billed(opened.billed, request, job.host, pauses_s) for request in group)
                    )
                    for request, costs in zip(group, bills, strict=True):
                        for claim, billed_usd in zip(request, costs, strict=True):
                            reconciliation.add(claim, billed_usd)
    return reconciliation


def _claims(batches: Iterator[Any], reconciliation: Reconciliation) -> Iterator[list[Claim]]:
    """The claims of each batch; answered rows without a response id are counted in `reconciliation`."""
    for batch in batches:
        claims = []
        for row in batch.to_pylist():
            if row["response_id"] is not None:
                cost = row["cost_usd"]
                usd = None if cost is None else Decimal(repr(cost))
                claims.append(Claim(row["id"], row["sample"], row["response_id"], usd, row["attempts"] or 1))
            elif row["status"] == "answered":
                reconciliation.without_id_rows += 1
        yield claims


async def _billed(
    billed: Billed, claims: Sequence[Claim], host: str, pauses_s: Sequence[float]
) -> list[Decimal | None]:
    """What was billed for each of `claims`; None for one that the endpoint does not know. Raises `EndpointError`."""
    ids = [claim.response_id for claim in claims]
    bill = await billed(ids)
    for pause_s in pauses_s:
        if not isinstance(bill, Unavailable) or not bill.retryable:
            break
        await asyncio.sleep(pause_s)
        bill = await billed(ids)
    if isinstance(bill, Unavailable):
        raise EndpointError(
            f"{host} does not say what it billed ({bill.sentence} at /v1/request-costs). DeepInfra does; elsewhere the"
            " provider's own bill is what there is to compare."
        )
    return bill
