"""The rows of a job against its endpoint's bill: response ids are read in batches, and asked for as many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchchat.endpoint.unavailable import Unavailable
from batchchat.errors import EndpointError, UsageError
from batchchat.job import JobSpec, load_job
from batchchat.pricing.for_job import rates_for
from batchchat.results.reader import open_results
from batchchat.results.reconciliation import Claim, Reconciliation
from batchchat.run.wiring import redactor_for, sender_for

__all__ = ["job_to_reconcile", "reconciled"]

Ask = Callable[[Sequence[str]], Awaitable[list[Decimal | None] | Unavailable]]
_IDS_AT_ONCE = 500
_ASKED_AT_ONCE = 4
_PAUSES_S = (1.0, 4.0, 15.0)
"""Before an unanswered question is asked again."""
_COLUMNS = frozenset({"id", "sample", "status", "response_id", "cost_usd", "attempts"})


def job_to_reconcile(source: Path, environ: Mapping[str, str]) -> JobSpec:
    """The job whose endpoint is to be asked. Raises `UsageError` where `source` is an output, which has no key."""
    if source.suffix not in {".yaml", ".yml"}:
        raise UsageError(
            f"{source} does not say whom to ask, nor with which key. With --reconcile, give the job file instead."
        )
    job = load_job(source, environ=environ)
    if job.is_mock:
        raise UsageError(
            f"{source} has `endpoint.base_url: mock`, which lives as long as a run: there is nobody to ask what was"
            " billed. Run `batchchat mock-server` and give its address instead."
        )
    return job


async def reconciled(job: JobSpec, environ: Mapping[str, str]) -> Reconciliation:
    """Ask for every row that has a response id.

    Raises `OutputError` without results, `EndpointError` where the endpoint does not say what it billed.
    """
    found = Reconciliation()
    async with sender_for(job, rates_for(job), environ, redactor_for(job, environ)) as opened:
        with open_results(job.output.path) as results:
            for claims in _claims(results.columns(_COLUMNS), found):
                pieces = [claims[at : at + _IDS_AT_ONCE] for at in range(0, len(claims), _IDS_AT_ONCE)]
                for at in range(0, len(pieces), _ASKED_AT_ONCE):
                    some = pieces[at : at + _ASKED_AT_ONCE]
                    told = await asyncio.gather(*(_asked(opened.billed, piece, job.host) for piece in some))
                    for piece, costs in zip(some, told, strict=True):
                        for claim, billed_usd in zip(piece, costs, strict=True):
                            found.add(claim, billed_usd)
    return found


def _claims(batches: Iterator[Any], found: Reconciliation) -> Iterator[list[Claim]]:
    """Those of each batch; answered rows without an id are counted in `found`."""
    for batch in batches:
        claims = []
        for row in batch.to_pylist():
            if row["response_id"] is not None:
                cost = row["cost_usd"]
                usd = None if cost is None else Decimal(repr(cost))
                claims.append(Claim(row["id"], row["sample"], row["response_id"], usd, row["attempts"] or 1))
            elif row["status"] == "answered":
                found.without_id_rows += 1
        yield claims


async def _asked(ask: Ask, claims: Sequence[Claim], host: str) -> list[Decimal | None]:
    ids = [claim.response_id for claim in claims]
    told = await ask(ids)
    for pause_s in _PAUSES_S:
        if not isinstance(told, Unavailable) or not told.retryable:
            break
        await asyncio.sleep(pause_s)
        told = await ask(ids)
    if isinstance(told, Unavailable):
        raise EndpointError(
            f"{host} does not say what it billed ({told.sentence} at /v1/request-costs). DeepInfra does; elsewhere the"
            " provider's own bill is what there is to compare."
        )
    return told
