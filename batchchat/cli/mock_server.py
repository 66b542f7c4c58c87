"""`batchchat mock-server`."""

from __future__ import annotations

import asyncio
import signal

import click

from batchchat.cli.errors import guarded
from batchchat.errors import UsageError

__all__ = ["mock_server"]


@click.command(
    "mock-server",
    epilog="Example:\n\n    batchchat mock-server --port 8010 --latency 0.2 --fault 429=0.05",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8010, show_default=True, help="0: any free port.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, metavar="S", help="Seconds until an answer.")
@click.option(
    "--latency-jitter", type=click.FloatRange(min=0), default=0.0, metavar="S", help="Up to S seconds more, at random."
)
@click.option("--max-concurrent", type=click.IntRange(min=1), metavar="N", help="More in flight get a 429.")
@click.option("--rate-limit", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Requests a minute.")
@click.option("--context-length", type=click.IntRange(min=1), default=65536, show_default=True, metavar="TOKENS")
@click.option("--api-key", metavar="KEY", help="Refuse requests without this key.")
@click.option("--price-share", metavar="LOW:HIGH", help="Bill a share of the mock's price, drawn between the two.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other replies and faults.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND=PROBABILITY",
    help="429, 500, 503, drop, drop-after, truncate, garbage, empty, slow, error-in-200 or bad-json; repeatable.",
)
def mock_server(
    *,
    host: str,
    port: int,
    latency: float,
    latency_jitter: float,
    max_concurrent: int | None,
    rate_limit: float | None,
    context_length: int,
    api_key: str | None,
    seed: int,
    price_share: str | None,
    faults: tuple[str, ...],
) -> None:
    """Answer as DeepInfra does, and count what was billed.

    POST /v1/openai/chat/completions (streaming too), GET /v1/openai/models, GET /v1/me/rate_limit,
    POST /v1/request-costs and GET /stats.

    Replies and costs are deterministic in the request and the seed. Nothing leaves this machine.
    """
    with guarded():
        from batchchat.mock import MockOptions, parse_fault

        try:
            options = MockOptions(
                latency_s=latency,
                latency_jitter_s=latency_jitter,
                max_concurrent=max_concurrent,
                rate_limit=rate_limit,
                context_length=context_length,
                api_key=api_key,
                seed=seed,
                price_share=_shares(price_share),
                faults=tuple(parse_fault(text) for text in faults),
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        asyncio.run(_serve(options, host, port))


def _shares(text: str | None) -> tuple[float, float]:
    """`0.5:1`, or one share alone. Raises `ValueError`."""
    if text is None:
        return 1.0, 1.0
    low, _, high = text.partition(":")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise ValueError(f"--price-share is {text}. It takes two shares, such as 0.5:1.") from None


async def _serve(options: object, host: str, port: int) -> None:
    from batchchat.mock import MockOptions, MockServer

    assert isinstance(options, MockOptions)
    server = MockServer(options)
    try:
        root = await server.start(host, port)
    except OSError as error:
        raise UsageError(f"{host}:{port} can't be listened on: {error.strerror}. Try another --port.") from error
    click.echo(f"mock endpoint at {root}/v1/openai · Ctrl-C stops it", err=True)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await server.stop()
