"""The wiring: a job's spec to the parts that play it. Only this module knows them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from random import Random

from batchchat.conversation import Row
from batchchat.cost.ask import Asking
from batchchat.cost.prices import cost_usd, pricing
from batchchat.dispatch.dispatcher import RetryPolicies, Send
from batchchat.endpoint import network, wire
from batchchat.endpoint.client import Client, Endpoint, completions_url
from batchchat.exchange import Script
from batchchat.job import JobSpec
from batchchat.policy import tail
from batchchat.policy.budget import Budget, Learned
from batchchat.policy.retry import RowStop, RowWait
from batchchat.run.drive import Limits
from batchchat.run.reading import ScriptFor
from batchchat.script.single import single_message
from batchchat.secret import Blanker, Secret
from batchchat.store.ledger import Ledger
from batchchat.totals import Totals

__all__ = ["blanker_for", "budget_for", "limits_for", "retry_for", "scripts_for", "sender", "tail_for"]

# Headers whose values may stand in a reply: who asks, and from where.
_NO_SECRETS = {"accept", "accept-language", "http-referer", "origin", "referer", "user-agent", "x-title"}


def scripts_for(job: JobSpec) -> ScriptFor:
    """The script of each row; where the job has a price, its requests know the most they may cost."""
    compose = wire.compose if job.price is None else partial(wire.compose, ask_of=Asking(job.price))

    def script_for(row: Row) -> Script:
        return single_message(row, model=job.model, params=job.params, system=job.system, compose=compose)

    return script_for


def retry_for(job: JobSpec, random: Random) -> RetryPolicies:
    """Fresh stop and wait policies for a row that failed."""
    retry, attempt_s = job.retry, job.timeout.total
    return lambda: (
        RowStop(retry.max_attempts, retry.max_elapsed, attempt_s, retry.max_possibly_billed),
        RowWait(retry.max_wait, random),
    )


def budget_for(job: JobSpec, ledger: Ledger) -> Budget | None:
    """The cap on the job's cost, where it has one, with all that was spent before and what that taught of the price."""
    price, max_cost = job.price, job.budget.max_cost
    if max_cost is None or price is None:
        return None
    prices = "/".join(str(usd) for usd in (price.input, price.output, price.cached_input) if usd is not None)
    # What is billed for a price depends on who bills it, and for what.
    label = f"{job.host} {job.model} {prices}"
    return Budget(
        max_cost,
        lambda usage: cost_usd(usage, price),
        paid_usd=ledger.paid_usd,
        unsure_usd=ledger.unsure_usd,
        learned=Learned(label, *ledger.learned.get(label, ())),
    )


def limits_for(job: JobSpec, stop_at: float | None) -> Limits:
    """What bounds the drive; `stop_at` is when it is to end, in seconds since the epoch."""
    return Limits(
        concurrency=job.concurrency,
        max_outage_s=job.retry.max_outage,
        stop_after_failures=job.retry.stop_after_failures,
        drain_s=job.drain,
        attempt_s=job.timeout.total,
        stop_at=stop_at,
    )


def tail_for(job: JobSpec, totals: Totals) -> tail.Tail:
    """When a last row that hangs is sent again: never where a row has but one attempt. `totals`: of earlier runs."""
    return tail.Tail(
        again=min(tail.MOST_AGAIN, job.retry.max_attempts - 1),
        floor_s=tail.FLOOR_S,
        earlier_p99_s=totals.latency_s(0.99) if totals.answered >= tail.LEAST_ANSWERS else None,
    )


def blanker_for(job: JobSpec, environ: Mapping[str, str]) -> Blanker:
    """Blanks the key, header values and a proxy's password."""
    headers = job.endpoint.headers
    secrets: list[Secret] = [value for name, value in headers.items() if name.lower() not in _NO_SECRETS]
    if job.endpoint.api_key is not None:
        secrets.append(job.endpoint.api_key)
    if not job.is_mock and (proxy := network.proxy_for(job.endpoint.base_url, environ)) is not None:
        secrets += [secret for secret in (proxy.password, proxy.url) if secret is not None]
    return Blanker(secrets)


@asynccontextmanager
async def sender(job: JobSpec, environ: Mapping[str, str], blanker: Blanker) -> AsyncIterator[Send]:
    """The open client's `send`; the embedded mock lives as long."""
    network.raise_file_limit(job.concurrency)
    if not job.is_mock:
        async with Client(_endpoint(job, job.endpoint.base_url, environ), blanker, pricing(job.price)) as client:
            yield client.send
        return
    from batchchat.mock import MockServer, Options

    # It answers about as a small model does, so that a first run shows how a real one looks.
    mock = MockServer(Options(latency_s=0.2, latency_jitter_s=0.4))
    root = await mock.start()
    try:
        async with Client(_endpoint(job, f"{root}/v1/openai", {}), blanker, pricing(job.price)) as client:
            yield client.send
    finally:
        await mock.stop()


def _endpoint(job: JobSpec, base_url: str, environ: Mapping[str, str]) -> Endpoint:
    headers = dict(job.endpoint.headers)
    key = job.endpoint.api_key
    if key is not None and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = Secret(f"Bearer {key.reveal()}")
    return Endpoint(
        url=completions_url(base_url),
        headers=headers,
        total_s=job.timeout.total,
        connect_s=job.timeout.connect,
        proxy=network.proxy_for(base_url, environ),
        tls=network.tls_context(environ) if base_url.startswith("https:") else None,
        keep_raw=job.output.raw,
    )
