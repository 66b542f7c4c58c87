"""The client against servers that do what servers do: every hazard ends as an attempt, none as an exception."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchchat.core.attempt import Action, Attempt, Billed, Scope
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint.client import Client, Endpoint
from batchchat.endpoint.network import proxy_for, tls_context
from batchchat.errors import UsageError
from batchchat.secret import Redactor, Secret
from tests.endpoint.server import (
    KEY,
    Play,
    Received,
    Server,
    answer,
    client,
    completion,
    exchanged,
    met,
    request,
    sends,
    serving,
)

OK = "HTTP/1.1 200 OK\r\n"


def judged(attempt: Attempt) -> tuple[ErrorKind | None, Action, Scope, Billed]:
    verdict = attempt.verdict
    assert (attempt.failure is None) == (verdict.kind is None)
    if attempt.failure is not None:
        assert attempt.failure.kind is verdict.kind
        assert 0 < len(attempt.failure.text) <= 500
    return verdict.kind, verdict.action, verdict.scope, verdict.billed


UNREACHED = (ErrorKind.CONNECTION, Action.RETRY, Scope.ENDPOINT, Billed.NO)
DROPPED = (ErrorKind.CONNECTION, Action.RETRY, Scope.ROW, Billed.MAYBE)
NO_ENDPOINT = (ErrorKind.BAD_RESPONSE, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.MAYBE)
UNREADABLE = (ErrorKind.BAD_RESPONSE, Action.RETRY, Scope.ROW, Billed.MAYBE)
NOT_TRUSTED = (ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.NO)
TIMED_OUT = (ErrorKind.TIMEOUT, Action.RETRY, Scope.ROW, Billed.MAYBE)
TOO_LARGE = (ErrorKind.TOO_LARGE, Action.FAIL_ROW, Scope.ROW, Billed.YES)
ACCEPTED = (None, Action.ACCEPT, Scope.ROW, Billed.YES)


def said(attempt: Attempt) -> str:
    assert attempt.failure is not None
    return attempt.failure.text


def test_an_answer_is_taken_whole() -> None:
    """Text, finish_reason, model, id, tokens and the reported cost are kept to the digit, with both times."""
    before = time.time()
    attempt = met(sends(answer(completion(" Hello! It's nice", service_tier="default"))))
    reply, usage = attempt.reply, attempt.usage
    assert judged(attempt) == ACCEPTED
    assert reply is not None
    assert (reply.text, reply.finish_reason, reply.model) == (" Hello! It's nice", "stop", "microsoft/WizardLM-2-8x22B")
    assert (reply.response_id, reply.service_tier) == ("chatcmpl-guMTxWgpFf", "default")
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (15, 16, 31)
    assert attempt.cost is not None
    assert (attempt.cost.usd, attempt.cost.source) == (Decimal("0.0000268"), "reported")
    assert attempt.http_status == 200
    assert before <= attempt.started_at <= attempt.finished_at <= time.time() + 1
    assert 0 < attempt.latency_s < 5


def test_what_the_user_set_is_sent_and_nothing_else() -> None:
    """The body is {model, messages, **params}; no cookie comes back, and the only authorization is the user's."""

    async def main() -> Server:
        play = sends(answer(completion(), 200, "Set-Cookie: session=1; Path=/"))
        async with serving(play) as server, client(server.url) as ours:
            for _ in range(2):
                await ours.send(request("Grüß dich", temperature=0.7, tools=[{"type": "function"}]))
            return server

    server = asyncio.run(main())
    for received in server.received:
        assert received.line == "POST /v1/chat/completions HTTP/1.1"
        assert json.loads(received.body) == {
            "model": "a/model",
            "messages": [{"role": "user", "content": "Grüß dich"}],
            "temperature": 0.7,
            "tools": [{"type": "function"}],
        }
        assert received.headers.pop("user-agent")
        assert received.headers.pop("accept-encoding").startswith("gzip")
        assert received.headers.pop("content-length") == str(len(received.body))
        assert received.headers == {
            "host": f"127.0.0.1:{server.port}",
            "authorization": f"Bearer {KEY}",
            "content-type": "application/json",
            "accept": "application/json",
        }


def test_a_connection_is_used_again() -> None:
    """Requests one after the other share one connection."""
    attempts, server = exchanged(sends(answer(completion())), times=20)
    assert [judged(attempt) for attempt in attempts] == [ACCEPTED] * 20
    assert server.connections == 1


def test_a_stale_connection_is_an_instant_retry() -> None:
    """A pooled connection that the server closes on the next request is told as dropped, instant, perhaps billed."""

    async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
        if len(server.received) == 2:
            return False
        writer.write(answer(completion()))
        return True

    (first, second, third), server = exchanged(play, times=3)
    assert judged(first) == judged(third) == ACCEPTED
    assert judged(second) == DROPPED
    assert second.verdict.instant
    assert said(second) == "127.0.0.1 closed the connection without an answer"
    assert server.connections == 2


def test_the_pool_never_queues() -> None:
    """A server that answers nobody until 200 have asked answers a thousand requests, over 200 connections."""
    together = asyncio.Barrier(200)

    async def play(_server: Server, _received: Received, writer: asyncio.StreamWriter) -> bool:
        await together.wait()
        writer.write(answer(completion()))
        return True

    async def main() -> int:
        async with serving(play) as server, client(server.url, total_s=60, connect_s=60) as ours:
            queue = iter(range(1000))

            async def worker() -> None:
                for _ in queue:
                    assert judged(await ours.send(request())) == ACCEPTED

            await asyncio.gather(*(worker() for _ in range(200)))
            return server.connections

    assert asyncio.run(main()) == 200


CHUNKED = f"{OK}Transfer-Encoding: chunked\r\n\r\n".encode()
BODY = json.dumps(completion()).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def compressed(data: bytes) -> bytes:
    packed = gzip.compress(data)
    return f"{OK}Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed


@pytest.mark.parametrize(
    "play",
    [
        sends(CHUNKED, chunk(BODY[:50]), chunk(BODY[50:]) + b"0\r\n\r\n", pause_s=0.01),
        sends(f"{OK}\r\n".encode(), BODY, stays=False),
        sends(compressed(BODY)),
        sends(answer(BODY, kind="text/html; charset=utf-7")),
        sends(answer(b"\xef\xbb\xbf" + BODY)),
        sends(CHUNKED, *[chunk(b"\n")] * 20, chunk(BODY) + b"0\r\n\r\n", pause_s=0.005),
        sends(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(BODY)),
        sends(answer(BODY, 201)),
        sends(*(bytes([byte]) for byte in answer(BODY))),
    ],
    ids=["chunked", "close-delimited", "gzip", "wrong type", "bom", "keep-alive lines", "100", "201", "byte by byte"],
)
def test_however_it_is_framed_an_answer_is_an_answer(play: Play) -> None:
    """Chunks, gzip, an early end of connection, a wrong type, a BOM or blank lines before the JSON don't matter."""
    attempt = met(play)
    assert judged(attempt) == ACCEPTED
    assert attempt.reply is not None
    assert attempt.reply.text == "Hello!"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"a\ud800b"', "a\ud800b"),
        (b'"caf\xe9"', "caf\udce9"),
        (b'"x", "logprobs": NaN', "x"),
        (b'"x", "n": -Infinity', "x"),
        (b'"x", "seed": 123456789012345678901234567890', "x"),
    ],
)
def test_text_that_no_json_should_hold_is_kept(raw: bytes, text: str) -> None:
    """NaN, lone surrogates, integers over 64 bits and bytes that are not UTF-8 lose nothing of an answer."""
    attempt = met(sends(answer(BODY.replace(b'"Hello!"', raw))))
    assert judged(attempt) == ACCEPTED
    assert attempt.reply is not None
    assert attempt.reply.text == text


@pytest.mark.parametrize(
    ("play", "verdict", "status", "text"),
    [
        (sends(stays=False), DROPPED, None, "closed the connection without an answer"),
        (sends(answer(BODY)[:-9], stays=False), UNREADABLE, 200, "broke off"),
        (sends(f"{OK}\r\n".encode(), BODY[:-9], stays=False), UNREADABLE, 200, "no chat completion: {"),
        (sends(CHUNKED, chunk(BODY[:50]), stays=False), UNREADABLE, 200, "broke off"),
        (sends(compressed(BODY)[:-20], stays=False), UNREADABLE, 200, "broke off"),
        (
            sends(f"{OK}Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n".encode(), b"not gzip!", pause_s=0.02),
            NO_ENDPOINT,
            200,
            "or in another than it says: Can not decode content-encoding: gzip",
        ),
        (sends(answer(b"")), UNREADABLE, 200, "the response is empty (HTTP 200)"),
        (sends(answer(b"", 204)), UNREADABLE, 204, "HTTP 204 without a reply, with an empty body"),
        (sends(answer(b"[1]")), UNREADABLE, 200, "no chat completion: [1]"),
        (sends(answer(b"hello")), UNREADABLE, 200, "no chat completion: hello"),
        (sends(answer({"choices": []})), UNREADABLE, 200, 'no chat completion: {"choices": []}'),
        (sends(answer({"choices": [{"message": "no"}]})), UNREADABLE, 200, "no chat completion"),
        (sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", stays=False), NO_ENDPOINT, None, "something that is not HTTP"),
        (sends(f"{OK}Content-Length: -5\r\n\r\n".encode(), stays=False), NO_ENDPOINT, None, "not HTTP"),
        (
            sends(f"{OK}X: {'a' * 70_000}\r\n\r\n".encode(), stays=False),
            NO_ENDPOINT,
            None,
            "a header that is longer than 64 KiB",
        ),
        (
            sends(answer(b"  <!doctype html><title>Sign in</title>", kind="text/html")),
            (ErrorKind.BAD_RESPONSE, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.MAYBE),
            200,
            "a web page in place of JSON: <!doctype",
        ),
        (
            sends(answer(b"x" * 900, 500)),
            (ErrorKind.SERVER_ERROR, Action.RETRY, Scope.ROW, Billed.NO),
            500,
            "xxxx",
        ),
        (
            sends(answer(b"x" * 900, 502)[:-9], stays=False),
            (ErrorKind.GATEWAY_TIMEOUT, Action.RETRY, Scope.ROW, Billed.MAYBE),
            502,
            "xxxx",
        ),
    ],
)
def test_a_broken_answer_is_a_failure_of_its_row(play: Play, verdict: Any, status: int | None, text: str) -> None:
    """What breaks off, is not JSON, is no completion or is not HTTP is told so, and perhaps was billed."""
    attempt = met(play)
    assert judged(attempt) == verdict
    assert attempt.http_status == status
    assert text in said(attempt)


async def _never(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
    writer.write(CHUNKED)
    while True:
        writer.write(chunk(b" "))
        await writer.drain()
        await asyncio.sleep(0.02)


# aiohttp 3.14 does not tell a waiting reader that the framing broke, so this ends by the timeout too.
_misframed = sends(CHUNKED, b"ZZ\r\nabc", stays=False, pause_s=0.05)


async def _silent(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(60)
    return False


@pytest.mark.parametrize(("play", "status"), [(_never, 200), (_silent, None), (_misframed, 200)])
def test_an_answer_that_never_ends_is_cut_at_the_total_timeout(play: Play, status: int | None) -> None:
    """Blanks that keep a connection alive don't, and the attempt counts as possibly billed."""
    attempt = met(play, total_s=0.3)
    assert judged(attempt) == TIMED_OUT
    assert said(attempt) == "no answer within 0.3 s"
    assert attempt.http_status == status
    assert 0.25 < attempt.latency_s < 2


def test_a_body_is_read_up_to_the_maximum() -> None:
    """A huge declared length, an endless body and a gzip bomb all end at the maximum; the row fails, billed."""
    declared = sends(f"{OK}Content-Length: 99999999999\r\n\r\n".encode(), b"{", stays=False)
    endless = sends(CHUNKED, *[chunk(b" " * 65536)] * 40, stays=False)
    bomb = sends(compressed(b" " * (1 << 23)))
    for play in (declared, endless, bomb):
        attempt = met(play, max_body_bytes=1 << 20)
        assert judged(attempt) == TOO_LARGE
        assert said(attempt) == "the response is larger than 1 MiB"


def test_a_redirect_is_not_followed() -> None:
    """The other server is never asked, so it never sees the key; the text says where it pointed."""

    async def main() -> tuple[Attempt, Server, int]:
        async with serving(sends(answer(completion()))) as other:
            play = sends(answer(b"", 302, f"Location: http://127.0.0.1:{other.port}/login?key={KEY}"))
            async with serving(play) as server, client(server.url) as ours:
                return await ours.send(request()), other, other.port

    attempt, other, port = asyncio.run(main())
    assert judged(attempt) == (ErrorKind.BAD_RESPONSE, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.NO)
    assert said(attempt) == f"HTTP 302, a redirect to http://127.0.0.1:{port}/login?key=***"
    assert other.connections == 0


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def sent_to(url: str, **given: Any) -> Attempt:
    async def main() -> Attempt:
        async with client(url, **given) as ours:
            return await ours.send(request())

    return asyncio.run(main())


def test_an_endpoint_that_is_not_there_is_its_own_fault() -> None:
    """A refused connection and a name that does not resolve cost nothing and are the endpoint's, not the row's."""
    port = closed_port()
    refused = sent_to(f"http://127.0.0.1:{port}/v1")
    assert judged(refused) == UNREACHED
    assert said(refused) == f"nothing listens at 127.0.0.1:{port}"
    unknown = sent_to("http://nowhere.invalid/v1")
    assert judged(unknown) == (ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, *UNREACHED[2:])
    assert said(unknown) == "nowhere.invalid does not resolve"


def test_a_connection_that_does_not_come_about_times_out_early() -> None:
    """A listener whose queue is full is given up after the connect timeout, and nothing was billed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            attempt = sent_to(f"http://127.0.0.1:{address[1]}/v1", connect_s=0.3)
        finally:
            for filler in fillers:
                filler.close()
    assert judged(attempt) == UNREACHED
    assert said(attempt) == "no connection to 127.0.0.1 within 0.3 s"


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".invalid"])
def test_a_host_name_that_can_be_none_is_refused_before_the_first_request(host: str) -> None:
    """The resolver raises no network error for it, so it is told as what it is: a wrong job."""
    with pytest.raises(UsageError) as refused:
        client(f"http://{host}/v1")
    assert str(refused.value) == f"`endpoint.base_url` has no valid host name: {host}."


def test_a_header_that_can_not_be_sent_is_refused_unseen() -> None:
    """A value from the environment that is not UTF-8 is refused by its name alone."""
    endpoint = Endpoint("http://127.0.0.1/v1", {"X-Team": Secret("equipe-\udce9t\udce9")}, 1, 1)
    with pytest.raises(UsageError) as refused:
        Client(endpoint, Redactor(), lambda usage, asked, reply: None)
    assert str(refused.value) == (
        "`endpoint.headers.X-Team` can't be sent: it is not valid UTF-8 (the value is not shown)."
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {path}.key -out {path} -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=IP:127.0.0.1"
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the openssl command")
    path.write_bytes(path.read_bytes() + Path(f"{path}.key").read_bytes())
    return path


def test_tls_trusts_whom_the_environment_trusts(certificate: Path) -> None:
    """A self-signed certificate stops the run, unless SSL_CERT_FILE names it."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate)

    async def main(environ: dict[str, str]) -> Attempt:
        async with serving(sends(answer(completion())), theirs) as server:
            url = server.url.replace("http:", "https:")
            async with client(url, tls=tls_context(environ)) as ours:
                return await ours.send(request())

    stranger = asyncio.run(main({}))
    assert judged(stranger) == NOT_TRUSTED
    assert said(stranger) == "the certificate of 127.0.0.1 is not trusted: self-signed certificate"
    assert judged(asyncio.run(main({"SSL_CERT_FILE": str(certificate)}))) == ACCEPTED


def test_tls_to_a_plain_port_is_told() -> None:
    """https:// where the server speaks http:// stops the run instead of failing row after row."""

    async def main() -> Attempt:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(answer(b"this is plain HTTP", 400))
            writer.close()

        listening = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening, client(f"https://127.0.0.1:{port}/v1", tls=tls_context({})) as ours:
            return await ours.send(request())

    attempt = asyncio.run(main())
    assert judged(attempt) == NOT_TRUSTED
    assert said(attempt) == "no TLS connection to 127.0.0.1: wrong version number"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": f"no such key: {KEY}", "code": KEY}}, 401),
        ({"detail": f"Bearer {KEY}"}, 422),
        (f"<html>{KEY}".encode(), 200),
        (f"garbage Bearer {KEY}".encode(), 200),
        (completion(f"your key is {KEY}", finish_reason=KEY, model=KEY), 200),
        (BODY.replace(b"Hello!", "".join(f"\\u{ord(c):04X}" for c in KEY).encode()), 200),
        (completion(None, message={"refusal": KEY, "tool_calls": [{"id": KEY}], "reasoning": KEY}), 200),
        ({"choices": None, "error": {"code": 429, "message": KEY}}, 200),
        (completion("", finish_reason=KEY), 200),
    ],
)
def test_the_key_is_nowhere_in_an_attempt(body: Any, status: int) -> None:
    """A server that echoes the key in an error, a text, a page or garbage finds it blanked in all that we keep."""
    attempt = met(sends(answer(body, status, f"X-Echo: {KEY}", f"Location: {KEY}")))
    assert KEY not in repr(attempt)
    assert "***" in repr(attempt)


@pytest.mark.parametrize("raw", [f"Bearer {KEY}\r\n\r\n", f"HTTP/1.1 {KEY} x\r\n\r\n", f"{OK}Bad {KEY}\r\n\r\n"])
def test_the_key_is_nowhere_in_what_is_no_http(raw: str) -> None:
    """The parser's complaint quotes what it read; the key is blanked there too."""
    attempt = met(sends(raw.encode(), stays=False))
    assert judged(attempt) == NO_ENDPOINT
    assert KEY not in repr(attempt)


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        (completion(None, message={"tool_calls": [{"id": "1"}]}), ACCEPTED),
        (completion(None, message={"refusal": "I can't."}), ACCEPTED),
        (completion([{"type": "thinking"}, {"type": "text", "text": "Hi"}]), ACCEPTED),
        (completion("cut", finish_reason="length"), ACCEPTED),
        (completion("partly", finish_reason="content_filter"), ACCEPTED),
        (completion("whole", error={}), ACCEPTED),
        (completion("whole", error={"code": 0, "message": "success"}), ACCEPTED),
        (
            completion("half a te", error={"message": "gone"}),
            (ErrorKind.SERVER_ERROR, Action.RETRY, Scope.ROW, Billed.YES),
        ),
        (completion(""), (ErrorKind.EMPTY_REPLY, Action.RETRY, Scope.ROW, Billed.YES)),
        (completion(" \n"), (ErrorKind.EMPTY_REPLY, Action.RETRY, Scope.ROW, Billed.YES)),
        (completion([]), (ErrorKind.EMPTY_REPLY, Action.RETRY, Scope.ROW, Billed.YES)),
        (completion("", finish_reason="x" * 900), (ErrorKind.EMPTY_REPLY, Action.RETRY, Scope.ROW, Billed.YES)),
        (
            completion(None, finish_reason="content_filter"),
            (ErrorKind.CONTENT_FILTER, Action.FAIL_ROW, Scope.ROW, Billed.YES),
        ),
        (
            {"error": {"code": 429, "message": "slow"}, "choices": None},
            (ErrorKind.RATE_LIMIT, Action.RETRY, Scope.ENDPOINT, Billed.NO),
        ),
        (
            {"error": {"code": 502, "message": "gone"}, "choices": None, "usage": {"cost": 0.001}},
            (ErrorKind.GATEWAY_TIMEOUT, Action.RETRY, Scope.ROW, Billed.YES),
        ),
        ({"choices": [], "usage": {"cost": 0.001}}, (ErrorKind.BAD_RESPONSE, Action.RETRY, Scope.ROW, Billed.YES)),
    ],
)
def test_a_200_is_judged_by_what_it_says(payload: Any, verdict: Any) -> None:
    """Text, tool calls or a refusal answer a row; empty, filtered and error-in-200 fail it, and their cost is kept."""
    attempt = met(sends(answer(payload)))
    assert judged(attempt) == verdict
    reported = (payload.get("usage") or {}).get("cost") or (payload.get("usage") or {}).get("estimated_cost")
    assert (attempt.cost.usd if attempt.cost else None) == (Decimal(repr(reported)) if reported else None)


def test_without_usage_there_is_no_cost() -> None:
    """A self-hosted server that reports nothing leaves nulls, never zeros."""
    attempt = met(sends(answer({**completion(), "usage": None})))
    assert judged(attempt) == ACCEPTED
    assert (attempt.usage, attempt.cost) == (None, None)


def test_a_proxy_is_used_with_its_password_and_the_password_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY's server gets the request with the password; its refusal shows neither that nor the key."""

    async def main() -> tuple[list[Attempt], Server]:
        async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
            refused = len(server.received) > 1
            echo = json.dumps({"error": f"{dict(received.headers)} s3cret/pass s3cret%2Fpass"}).encode()
            writer.write(answer(echo, 407) if refused else answer(completion()))
            return True

        async with serving(play) as server:
            environ = {"http_proxy": f"http://me:s3cret%2Fpass@127.0.0.1:{server.port}"}
            proxy = proxy_for("http://models.invalid/v1", environ)
            assert proxy is not None
            assert "s3cret" not in repr(proxy)
            async with client("http://models.invalid/v1", proxy=proxy) as ours:
                # Set now, these would send the next request elsewhere if the environment were read per request.
                monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
                monkeypatch.setenv("NO_PROXY", "*")
                return [await ours.send(request()) for _ in range(2)], server

    (first, second), server = asyncio.run(main())
    assert judged(first) == ACCEPTED
    assert server.received[0].line == "POST http://models.invalid/v1 HTTP/1.1"
    assert server.received[0].headers["proxy-authorization"] == "Basic bWU6czNjcmV0L3Bhc3M="
    assert judged(second)[0] is ErrorKind.UNAUTHORIZED
    assert "s3cret" not in repr(second)
    assert KEY not in repr(second)


def test_https_goes_through_a_proxy_by_connect() -> None:
    """A proxy that refuses to connect, is not there or does not resolve is named as the one at fault."""

    async def main() -> tuple[Attempt, Server]:
        async with serving(sends(answer(b"no", 403), stays=False)) as server:
            proxy = proxy_for("https://models.invalid/v1", {"HTTPS_PROXY": f"127.0.0.1:{server.port}"})
            async with client("https://models.invalid/v1", proxy=proxy, tls=tls_context({})) as ours:
                return await ours.send(request()), server

    attempt, server = asyncio.run(main())
    assert server.received[0].line == "CONNECT models.invalid:443 HTTP/1.1"
    assert "authorization" not in server.received[0].headers
    assert judged(attempt) == (ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, *UNREACHED[2:])
    assert said(attempt) == "the proxy 127.0.0.1 refuses to connect to models.invalid: 403 Whatever"
    gone = proxy_for("http://models.invalid/v1", {"HTTP_PROXY": f"127.0.0.1:{closed_port()}"})
    assert said(sent_to("http://models.invalid/v1", proxy=gone)) == (
        "the proxy 127.0.0.1 can't be reached: Connection refused"
    )
    lost = proxy_for("http://models.invalid/v1", {"HTTP_PROXY": "proxy.invalid:80"})
    assert said(sent_to("http://models.invalid/v1", proxy=lost)) == "proxy.invalid does not resolve"
