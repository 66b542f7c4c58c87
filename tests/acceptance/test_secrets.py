"""The key's value is in no file, no stream and no traceback, however a run fails, and whatever the server echoes."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batchchat.cli import main
from tests.acceptance.job import Ended, Job, rows, until
from tests.acceptance.servers import Asked, completion, http, raw_server

KEY = "sk-Zq8/vT3+nW5xKe7Lm2Rb9Yc4"
HEADER = "hdr-J4hG8fD2sA6pO0iU"
ENV = {"THE_KEY": KEY, "THE_HEADER": HEADER}
SECRETS = (KEY, HEADER)


def spread(job: Job) -> None:
    """Fail where a secret stands in a file below the job's folder that the user did not write."""
    for path in job.folder.rglob("*"):
        if path.is_file() and path not in {job.file, job.input}:
            assert_clean(path.read_bytes(), str(path))


def assert_clean(data: bytes, where: str) -> None:
    for secret in SECRETS:
        words = (secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/"), secret.replace("+", "%2B"))
        for word in words:
            assert word.encode() not in data, f"{where} has the secret"


def check(job: Job, ended: Ended) -> None:
    assert_clean(ended.out.encode(), f"stdout {ended.out}")
    assert_clean(ended.err.encode(), f"stderr {ended.err}")
    spread(job)


def secret_job(job: Job, url: str, count: int = 3, **keys: Any) -> None:
    """A job that gives the key and a header, and gives up soon."""
    job.write(
        rows(count),
        endpoint__base_url=url,
        endpoint__api_key_env="THE_KEY",
        **{"endpoint.headers.X-Extra": "${THE_HEADER}"},
        retry__max_wait=0.01,
        retry__max_attempts=2,
        drain=1,
        **keys,
    )


def echoed(asked: Asked) -> str:
    return f"you said {asked.headers['authorization']} and {asked.headers['x-extra']} and {KEY}"


def error(status: int) -> Callable[[Asked], bytes]:
    """An error whose every part has the secrets in it."""

    def answer(asked: Asked) -> bytes:
        said = echoed(asked)
        body = {"error": {"message": said, "code": KEY, "type": said}, "detail": said}
        return http(status, body, x_echo=said, retry_after="0", location=f"http://elsewhere/?key={KEY}&h={HEADER}")

    return answer


def text(status: int, body: str, **headers: str) -> Callable[[Asked], bytes]:
    return lambda asked: http(status, (body + echoed(asked)).encode(), **headers)


def escaped(said: str) -> bytes:
    r"""JSON text as some servers write it, with \uXXXX for what need not be escaped."""
    return b'"' + "".join(f"\\u{ord(c):04x}" for c in said).encode() + b'"'


ANSWERS: dict[str, Callable[[Asked], bytes]] = {
    **{str(status): error(status) for status in (301, 307, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429)},
    **{str(status): error(status) for status in (500, 502, 503, 524)},
    "html": text(200, "<html>"),
    "garbage": text(200, "\x00\xff{"),
    "html error": text(500, "<html>"),
    "error in 200": lambda asked: http(200, {"error": {"message": echoed(asked), "code": 400}}),
    "422 list": lambda asked: http(422, {"detail": [{"loc": ["header", KEY], "msg": echoed(asked), "type": "x"}]}),
    "no choices": lambda asked: http(200, {"id": echoed(asked), "object": KEY}),
    "cut": lambda asked: http(200, b"x" * 10 + echoed(asked).encode(), content_length="9999", connection="close"),
    "no http": lambda asked: echoed(asked).encode() + b"\r\n\r\n",
    "bad status": lambda asked: b"HTTP/1.1 " + KEY.encode() + b"\r\n\r\n",
    "reason": lambda asked: http(500, b"").replace(b"500 Status", b"500 " + KEY.encode()),
    "bad header": lambda asked: http(200, b"{}").replace(b"content-type", KEY.encode() + b" :\x00 bad" + KEY.encode()),
    "answer": lambda asked: http(200, completion(echoed(asked), id=KEY, model=echoed(asked), service_tier=KEY)),
    "finish": lambda asked: http(
        200, completion(choices=[{"message": {"content": "", "tool_calls": None}, "finish_reason": echoed(asked)}])
    ),
}


STOPS = ("301", "401", "429", "html")
LIKE_THEM = ("402", "403", "404", "503")


@pytest.mark.parametrize("name", STOPS)
def test_echoing_server_that_stops_the_run(job: Job, name: str) -> None:
    """A server that refuses for good, and echoes key and header in all it says, finds no echo in ours."""
    with raw_server(ANSWERS[name]) as server:
        secret_job(job, server.url, retry__max_outage=0.5)
        ended = job.run(env=ENV)
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
        assert server.asked[0].headers["x-extra"] == HEADER
    assert ended.code == 5, ended.err
    check(job, ended)


def test_echoing_server(job: Job) -> None:
    """Neither does one that answers each row with another failure, or with an answer, that repeats the key."""
    names = ["answer", *(name for name in ANSWERS if name not in {*STOPS, *LIKE_THEM})]
    with raw_server(lambda asked: ANSWERS[names[int(asked.said.split()[1])]](asked)) as server:
        secret_job(job, server.url, len(names), concurrency=1)
        ended = job.run(env=ENV)
    assert ended.code == 3, ended.err
    check(job, ended)
    kinds = {name: row["error_kind"] for name, row in zip(names, job.table(), strict=True)}
    assert {name for name, kind in kinds.items() if kind is None} == {"answer"}


@pytest.mark.parametrize("status", [200, 401])
def test_escaped_echo(job: Job, status: int) -> None:
    r"""Neither does one that writes the key in \u escapes, as some JSON writers do with `+` and `/`."""

    def answer(asked: Asked) -> bytes:
        body = json.dumps(completion("TEXT") if status == 200 else {"error": {"message": "TEXT"}}).encode()
        return http(status, body.replace(b'"TEXT"', escaped(echoed(asked))))

    with raw_server(answer) as server:
        secret_job(job, server.url)
        check(job, job.run(env=ENV))


def test_key_in_a_header_of_its_own(job: Job) -> None:
    """A key given in a header after a word like Bearer is blanked when it comes back without that word."""
    with raw_server(lambda _: http(400, {"error": {"message": f"Incorrect API key provided: {KEY}"}})) as server:
        job.write(rows(2), endpoint__base_url=server.url, **{"endpoint.headers.Authorization": "Bearer ${THE_KEY}"})
        ended = job.run(env=ENV)
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert ended.code == 5
    refusal = "refused the key in `endpoint.headers.Authorization` (HTTP 400): Incorrect API key provided: ***"
    assert refusal in ended.err
    check(job, ended)


def test_header_by_option(job: Job) -> None:
    """A header value given on the command line is in no file, nor in the command that is told to continue."""
    with raw_server(error(401)) as server:
        secret_job(job, server.url)
        ended = job.run("--set", f"endpoint.headers.X-Extra={HEADER}", env=ENV)
    assert ended.code == 5
    check(job, ended)
    assert "\nnext  batchchat run job.yaml --set 'endpoint.headers.X-Extra=${X_EXTRA}'\n" in ended.out
    pasted = job.run("--set", "endpoint.headers.X-Extra=${X_EXTRA}", env=ENV)
    assert (pasted.code, "X_EXTRA" in pasted.err) == (2, True)


def test_command_by_option(job: Job) -> None:
    """An address that `on_finish` posts to is in no file, nor in the command that is told to continue."""
    with raw_server(error(401)) as server:
        secret_job(job, server.url)
        ended = job.run("--set", f"on_finish=true https://hooks.invalid/{HEADER}", env=ENV)
        assert (ended.code, server.requests) == (5, 3)
        check(job, ended)
        assert "\nnext  batchchat run job.yaml --set 'on_finish=${ON_FINISH}'\n" in ended.out
        pasted = job.run("--set", "on_finish=${ON_FINISH}", env=ENV)
        assert (pasted.code, "ON_FINISH" in pasted.err, server.requests) == (2, True, 3)


@pytest.mark.parametrize(
    ("url", "phrase"),
    [
        (
            "http://127.0.0.1:1/v1",
            "no response from 127.0.0.1:1 since ",
        ),
        (
            "http://no-such-host.invalid/v1",
            "no connection to no-such-host.invalid: ",
        ),
    ],
)
def test_never_reached(job: Job, url: str, phrase: str) -> None:
    """An endpoint that is not there is told in one sentence, without the key; a wrong name at once."""
    job.write(retry__max_outage=1)
    secret_job(job, url)
    ended = job.run(env=ENV)
    assert ended.code == 5
    (stopped,) = ended.errors
    assert stopped.startswith(f"stopped: {phrase}")
    check(job, ended)


def test_signals(job: Job) -> None:
    """Nor in a run that is stopped at once while requests hang."""
    with raw_server(lambda _: None) as server:
        secret_job(job, server.url)
        running = job.start(env=ENV)
        until(lambda: server.requests == 3)
        running.signal(signal.SIGTERM)
        running.says("SIGTERM")
        running.signal(signal.SIGTERM)
        ended = running.end()
    assert ended.code == 143
    check(job, ended)


DEFECTS = {
    "in a reply": ("batchchat.endpoint.wire", "read_reply", "str(payload)"),
    "in the client": ("batchchat.endpoint.client", "read_bytes", "repr(args) + KEY"),
    "in the recorder": ("batchchat.execution.recorder", "record_of_outcome", "repr(args) + KEY"),
    "in the summary": ("batchchat.reporting.summary", "summary", "KEY"),
    "in the loader": ("batchchat.job.load", "_job", "KEY"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_defect(job: Job, name: str) -> None:
    """A defect of ours says in one sentence where its traceback is, exits 1, and that traceback has no key in it."""
    module, function, words = DEFECTS[name]
    patch = job.folder / "patch"
    patch.mkdir()
    # Built from pieces, so that the source lines of the traceback do not hold what we search for.
    (patch / "sitecustomize.py").write_text(
        "import os, importlib.abc, sys\n"
        "KEY = os.environ.get('THE_KEY', '')\n"
        "def broken(*args, **kwargs):\n"
        "    payload = args[0] if args else None\n"
        f"    raise RuntimeError('injected ' + {words})\n"
        "import batchchat.cli\n"
        f"import {module} as module\n"
        f"assert callable(module.{function})\n"
        f"module.{function} = broken\n"
    )
    with raw_server(lambda asked: http(200, completion(echoed(asked)))) as server:
        secret_job(job, server.url)
        ended = job.start(env={**ENV, "PYTHONPATH": str(patch)}).end()
    assert ended.code == 1, ended.err
    assert len(ended.errors) == 1
    found = re.search(r"defect of batchchat; its traceback is in (\S+)\.", ended.errors[0])
    assert found
    log = (job.folder / found[1]).read_text()
    assert "RuntimeError: injected" in log
    assert "Traceback" not in ended.err
    check(job, ended)


MISTAKES: dict[str, tuple[str, tuple[str, ...]]] = {
    "pasted for the name": ("endpoint: {api_key_env: KEY}", ()),
    "unknown key": ("endpoint: {api_key: KEY}", ()),
    "unknown key at the top": ("api_key: KEY", ()),
    "unknown header key": ("endpoint: {header: {Authorization: Bearer KEY}}", ()),
    "as the endpoint": ("endpoint: KEY", ()),
    "as headers": ("endpoint: {headers: KEY}", ()),
    "in a list of headers": ("endpoint: {headers: [KEY]}", ()),
    "in nested headers": ("endpoint: {headers: {Authorization: {Bearer: KEY}}}", ()),
    "in a list of names": ("endpoint: {api_key_env: [KEY]}", ()),
    "in a mapping of names": ("endpoint: {api_key_env: {key: KEY}}", ()),
    "as the URL": ("endpoint: {base_url: KEY}", ()),
    "in the URL": ('endpoint: {base_url: "https://user:KEY@127.0.0.1/v1"}', ()),
    "in broken YAML": ('endpoint: {api_key_env: "KEY', ()),
    "in a variable's name": ('endpoint: {api_key_env: "${KEY}"}', ()),
    "twice": ("endpoint: {headers: {X: KEY, X: KEY}}", ()),
    "in a tab": ("endpoint:\n\tapi_key_env: KEY", ()),
    "by --set of the name": ("", ("--set", "endpoint.api_key_env=KEY")),
    "by --set of an unknown key": ("", ("--set", "endpoint.api_key=KEY")),
    "by --set of the endpoint": ("", ("--set", "endpoint=KEY")),
    "by --set of headers": ("", ("--set", "endpoint.headers=KEY")),
    "by --set of a nested header": ("", ("--set", "endpoint.headers.X=[KEY]")),
}


def test_key_in_the_wrong_place(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that stands where it does not belong is refused without being repeated."""
    key = "sk-Zq8vT3nW5xKe7Lm2Rb9Yc4"
    job.write(rows(1))
    monkeypatch.chdir(job.folder)
    lines = ["input: {path: in.jsonl}", "model: m", "output: {path: out.parquet}"]
    for name, (yaml, options) in MISTAKES.items():
        job.file.write_text("\n".join([*lines, yaml.replace("KEY", key), ""]))
        words = ["run", "job.yaml", *(option.replace("KEY", key) for option in options)]
        # In this process, for there are many; nothing is sent by any.
        ended = CliRunner(env={"DEEPINFRA_TOKEN": "unused-token"}).invoke(main, words)
        assert (ended.exit_code, ended.stdout) == (2, ""), name
        assert ended.stderr.startswith("error: "), name
        assert key not in ended.output, name
    assert not job.run_folder.exists()


def test_nothing_is_sent_without_a_key(job: Job) -> None:
    """A variable that is missing or empty is told before anything is sent."""
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(1), endpoint__base_url=server.url, endpoint__api_key_env="THE_KEY")
        cases: list[tuple[Mapping[str, str], str]] = [({}, "is not set"), ({"THE_KEY": ""}, "is empty")]
        for env, lacks in cases:
            ended = job.run(env=env)
            assert (ended.code, ended.out) == (2, "")
            (error,) = ended.errors
            assert f"`endpoint.api_key_env` names THE_KEY, which {lacks}." in error
        assert server.requests == 0
    assert not Path(job.run_folder).exists()
