"""A job's spec to the parts that run it. Only this module knows them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batchchat.core.attempt import Attempt, Request, Usage
from batchchat.core.events import LimitsRead
from batchchat.core.totals import Totals
from batchchat.dispatch.work import Send
from batchchat.endpoint import network
from batchchat.endpoint.client import Client, Endpoint
from batchchat.endpoint.quota import Allowance
from batchchat.endpoint.reading import ReadingMemory
from batchchat.endpoint.unavailable import Unavailable
from batchchat.endpoint.urls import allowance_url, completions_url, costs_url, models_url
from batchchat.execution.context import RunContext
from batchchat.execution.endpoints_of_run import one_endpoint, rate_policies, several_endpoints
from batchchat.execution.engine import Engine
from batchchat.execution.recorder import Recorder
from batchchat.execution.scripts import format_ladder_for
from batchchat.execution.send_plan import SendTerms
from batchchat.execution.spending import Spending
from batchchat.job import JobSpec
from batchchat.job.paths import secrets_of_input
from batchchat.job.spec import MAX_CONCURRENCY, PREFIX
from batchchat.policy import stragglers
from batchchat.policy.budget import Budget, PriceRatio
from batchchat.policy.decision import Policy
from batchchat.policy.retry import limit_reached
from batchchat.pricing.cost import batch_pricing, cost_usd, pricing
from batchchat.pricing.for_job import rates_for
from batchchat.pricing.rates import ListedModel, Rates
from batchchat.secret import Redactor, Secret, secrets_in_url
from batchchat.sources.local_files import LocalFiles
from batchchat.store.ledger import Ledger

if TYPE_CHECKING:
    from batchchat.sources.batch_output import BatchResponse

__all__ = [
    "BatchJudge",
    "JobLimits",
    "Sender",
    "batch_judge_for",
    "budget_for",
    "computed_cost_of",
    "engine_for",
    "job_limits_for",
    "limit_reached_for",
    "price_label",
    "rates_for",
    "redactor_for",
    "sender_for",
    "senders_for",
    "with_endpoint_limits",
]

# Headers whose values may stand in a reply: who asks, and from where.
_NO_SECRETS = {"accept", "accept-language", "http-referer", "origin", "referer", "user-agent", "x-title"}


BatchJudge = Callable[[Request, "BatchResponse"], Attempt]
"""(request, its response in a batch's output file) -> the attempt."""


def batch_judge_for(job: JobSpec, rates: Rates) -> BatchJudge:
    """What makes an attempt of a response that a batch gave to a request of `job`."""
    from batchchat.endpoint.batch_response import judged_attempt

    cost_of, keep_raw = batch_pricing(rates), job.output.raw

    def judge(request: Request, response: BatchResponse) -> Attempt:
        return judged_attempt(request, response.status, response.body, response.error, cost_of, keep_raw=keep_raw)

    return judge


def engine_for(
    context: RunContext, terms: SendTerms, senders: Sequence[Sender], recorder: Recorder, job_limits: JobLimits
) -> Engine:
    """What the requests of rows go through, sent by `terms`, by a sender for each endpoint of the context's job."""
    job, ledger, tell = context.job, terms.ledger, context.tell
    # Without a price as many may be billed as may be in flight, and as many that are not yet synced.
    spending = Spending(price_label(job, terms.rates), job_limits.budget, 2 * job.concurrency, recorder.hold, tell)
    formats = format_ladder_for(job)
    if job.endpoints:
        from batchchat.policy.in_flight_limit import InFlightLimit

        of_run = [InFlightLimit(job.concurrency), *job_limits.rates, *spending.policies]
        endpoints = several_endpoints(job, [sender.send for sender in senders], ledger, formats, tell)
    else:
        of_run = spending.policies
        endpoints = one_endpoint(job, senders[0].send, ledger, formats, tell, rates=job_limits.rates)
    sending = replace(
        endpoints.sending,
        policies=(*endpoints.sending.policies, *of_run),
        stragglers=_stragglers_for(job, ledger.totals),
    )
    if job.affinity == PREFIX:
        from batchchat.dispatch.prefix_line import PrefixLine, look_ahead

        waiting = look_ahead(job.concurrency)
        sending = replace(sending, workers=sending.workers + waiting, line=partial(PrefixLine, max_rows=waiting))
    # What was read and is not on disk yet takes memory as well; all senders have one.
    memory = senders[0].memory
    memory.count_backlog(lambda: recorder.unsynced_bytes)
    recorder.subscribe(lambda _: memory.wake(), memory.wake)
    return Engine(
        sending,
        endpoints.limits,
        spending,
        endpoints.observer,
        drain_s=job.drain,
        attempt_s=job.timeout.total,
        stop_at=terms.stop_at,
        formats=formats,
        membership=endpoints.membership,
    )


class JobLimits(NamedTuple):
    """The limits of a whole job, in money and a minute: its own, or what is leased to one of several workers."""

    budget: Budget | None
    rates: Sequence[Policy]


def job_limits_for(job: JobSpec, rates: Rates, ledger: Ledger) -> JobLimits:
    """The limits of `job` where this process alone sends."""
    return JobLimits(budget_for(job, rates, ledger), rate_policies(job.limits))


def limit_reached_for(job: JobSpec) -> Callable[[Mapping[str, int]], str | None]:
    """Why a row may not be sent again after so many attempts that were or may have been billed."""
    retry = job.retry

    def words(billed: Mapping[str, int]) -> str | None:
        limit = limit_reached(billed, retry.max_attempts, retry.max_possibly_billed)
        return None if limit is None else limit.words

    return words


def _stragglers_for(job: JobSpec, totals: Totals) -> stragglers.StragglerPolicy:
    """When a last row that hangs is sent again: never where a row has but one attempt. `totals`: of earlier runs.

    Each that is cut off may have been billed, so it counts against the row's limits.
    """
    return stragglers.StragglerPolicy(
        max_resends=min(stragglers.MAX_RESENDS, job.retry.max_attempts - 1, job.retry.max_possibly_billed - 1),
        floor_s=stragglers.FLOOR_S,
        earlier_p99_s=totals.latency_s(0.99) if totals.answered >= stragglers.MIN_ANSWERS else None,
    )


def budget_for(job: JobSpec, rates: Rates, ledger: Ledger) -> Budget | None:
    """The cap on the job's cost, where it has one, with all that was spent before and what that taught of the price."""
    max_cost, label = job.budget.max_cost, price_label(job, rates)
    if max_cost is None or label is None:
        return None
    return Budget(
        max_cost,
        computed_cost_of(rates),
        paid_usd=ledger.paid_usd,
        uncertain=ledger.uncertain_cost,
        learned=PriceRatio(label, *ledger.price_ratios.get(label, ())),
    )


def computed_cost_of(rates: Rates) -> Callable[[str, Usage], Decimal | None]:
    """What computes the cost in USD of a model's usage at its price; None where that is unknown."""

    def computed(model: str, usage: Usage) -> Decimal | None:
        own = rates.rate(model)
        return None if own is None else cost_usd(usage, own.price)

    return computed


def price_label(job: JobSpec, rates: Rates) -> str | None:
    """What the journal calls the prices of the job's models; None where one is not known."""
    labels = []
    for model in job.models:
        if (rate := rates.rate(model)) is None:
            return None
        price = rate.price
        prices = (price.input, price.output, price.cached_input)
        labels.append(f"{model} {'/'.join(str(usd) for usd in prices if usd is not None)}")
    # What is billed for a price depends on who bills it, and for what.
    return f"{job.host} {', '.join(labels)}"


def redactor_for(job: JobSpec, environ: Mapping[str, str]) -> Redactor:
    """Knows the keys, header values, what may be a key in the URLs of endpoints and input, and a proxy's password."""
    secrets = [secret for path in job.input.paths for secret in secrets_of_input(path)]
    for endpoint in job.endpoints or (job.endpoint,):
        secrets += [value for name, value in endpoint.headers.items() if name.lower() not in _NO_SECRETS]
        secrets += secrets_in_url(endpoint.base_url)
        if endpoint.api_key is not None:
            secrets.append(endpoint.api_key)
        if not endpoint.is_mock and (proxy := network.proxy_for(endpoint.base_url, environ)) is not None:
            secrets += [secret for secret in (proxy.password, proxy.url) if secret is not None]
    return Redactor(secrets)


class Sender(NamedTuple):
    """An open client: `send` a request, or ask for something else.

    That is the account's `allowance`, the endpoint's `listing` of models (`listing_once`: without trying again), or
    what was `billed` for responses. Instead of what is asked for, `Unavailable` says why it is unknown. `memory` bounds
    the responses that are being read; `allow_connections` has the process open so many. `another` opens that of an
    endpoint which joins while this one is open.
    """

    send: Send
    allowance: Callable[[], Awaitable[Allowance | Unavailable]]
    listing: Callable[[], Awaitable[dict[str, ListedModel] | Unavailable]]
    listing_once: Callable[[], Awaitable[dict[str, ListedModel] | Unavailable]]
    billed: Callable[[Sequence[str]], Awaitable[list[Decimal | None] | Unavailable]]
    memory: ReadingMemory
    allow_connections: Callable[[int], None]
    another: Callable[[JobSpec, Rates], Awaitable[Sender]]


@asynccontextmanager
async def sender_for(
    job: JobSpec, rates: Rates, environ: Mapping[str, str], redactor: Redactor
) -> AsyncIterator[Sender]:
    """The sender of a job with one endpoint."""
    async with senders_for(job, rates, environ, redactor) as senders:
        yield senders[0]


@asynccontextmanager
async def senders_for(
    job: JobSpec, rates: Rates, environ: Mapping[str, str], redactor: Redactor
) -> AsyncIterator[Sequence[Sender]]:
    """An open client for each endpoint of `job`; as many open files as they need meanwhile."""
    async with AsyncExitStack() as stack:
        allow_connections = stack.enter_context(network.own_file_limit())
        allow_connections(job.concurrency)
        memory = ReadingMemory()

        async def open_sender(view: JobSpec, rates_of_view: Rates) -> Sender:
            base_url, own_environ = view.endpoint.base_url, environ
            if view.is_mock:
                base_url, own_environ = await _embedded_mock(stack), {}
            learn = None if view.is_mock or rates_of_view.has_list else rates_of_view.learn
            endpoint = _endpoint(view, base_url, own_environ)
            client = await stack.enter_async_context(
                Client(endpoint, redactor, pricing(rates_of_view), learn, memory=memory)
            )
            return _sender(client, base_url, allow_connections, open_sender)

        yield [await open_sender(*of) for of in zip(job.per_endpoint, rates.parts, strict=True)]


async def _embedded_mock(stack: AsyncExitStack) -> str:
    """The address of an embedded mock, which runs as long as `stack` is open."""
    from batchchat.mock import MockOptions, MockServer

    # It answers about as a small model does, so that a first run shows how a real one looks.
    mock = MockServer(MockOptions(latency_s=0.2, latency_jitter_s=0.4))
    base_url = f"{await mock.start()}/v1/openai"
    stack.push_async_callback(mock.stop)
    return base_url


def _sender(
    client: Client,
    base_url: str,
    allow_connections: Callable[[int], None],
    another: Callable[[JobSpec, Rates], Awaitable[Sender]],
) -> Sender:
    return Sender(
        client.send,
        partial(client.allowance, allowance_url(base_url)),
        client.listing,
        partial(client.listing, once=True),
        partial(client.billed, costs_url(base_url)),
        client.memory,
        allow_connections,
        another,
    )


async def with_endpoint_limits(job: JobSpec, sender: Sender) -> tuple[JobSpec, LimitsRead]:
    """The job with the limits that the endpoint names; its own limit of tokens stays where that is lower."""
    allowance = await sender.allowance()
    if isinstance(allowance, Unavailable):
        return job, LimitsRead(None, None, job.concurrency, allowance.sentence)
    concurrency = job.concurrency if allowance.requests is None else min(allowance.requests, MAX_CONCURRENCY)
    tokens_allowed: float | None = allowance.tokens_per_minute
    if (shard := job.input.shard) is not None:
        concurrency = max(1, shard.part_of_count(concurrency))
        tokens_allowed = None if tokens_allowed is None else tokens_allowed / shard.of
    sender.allow_connections(concurrency)
    limits_of_tokens = (tokens_allowed, job.limits.tokens_per_minute)
    tokens_per_minute = min((limit for limit in limits_of_tokens if limit is not None), default=None)
    limits_read = LimitsRead(allowance.requests, allowance.tokens_per_minute, concurrency)
    limits = replace(job.limits, tokens_per_minute=tokens_per_minute)
    return replace(job, concurrency=concurrency, limits=limits), limits_read


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
        models_url=models_url(base_url),
        stream=job.endpoint.stream,
        files=LocalFiles(job.input.folder or Path(), outside=job.input.allow_outside_files),
    )
