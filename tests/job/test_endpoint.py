from __future__ import annotations

import pytest

from tests.job.given import KEYED, TOKEN, TOP, faults, load

NOT_NAME = (
    "job.yaml:4: `endpoint.api_key_env` does not look like the name of a variable "
    "(the value is not shown, in case it is the key itself). "
    "Put the key into a variable and its name here, for example DEEPINFRA_TOKEN."
)
UNKNOWN_NAME = (
    "job.yaml:4: `endpoint.api_key_env` names no variable that is set "
    "(the value is not shown, in case it is the key itself). "
    "Put the key into a variable and its name here, for example DEEPINFRA_TOKEN."
)
SET_IT = "Set it with: export DEEPINFRA_TOKEN=..., or in a file .env beside the job: DEEPINFRA_TOKEN=..."
URL_TAKES = "It takes `mock` or a URL such as https://api.deepinfra.com/v1/openai."


@pytest.mark.parametrize(
    ("written", "url", "host"),
    [
        ("http://localhost:8000/v1/", "http://localhost:8000/v1", "localhost:8000"),
        ("HTTPS://API.example.com", "https://API.example.com", "api.example.com"),
        (
            "https://x.azure.com/openai/v1/?api-version=1",
            "https://x.azure.com/openai/v1?api-version=1",
            "x.azure.com",
        ),
        ("http://[::1]:80/v1", "http://[::1]:80/v1", "[::1]:80"),
        ("mock", "mock", "the embedded mock"),
    ],
)
def test_base_url(written: str, url: str, host: str) -> None:
    """A URL keeps its query and loses its last slash; a self-hosted server needs no key."""
    job = load(f"{TOP}endpoint: {{base_url: '{written}'}}")
    assert (job.endpoint.base_url, job.host) == (url, host)
    assert (job.endpoint.api_key, job.endpoint.api_key_env) == (None, None)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("api.deepinfra.com/v1", f"is api.deepinfra.com/v1. {URL_TAKES}"),
        ("ftp://host/x", f"is ftp://host/x. {URL_TAKES}"),
        ("localhost:8000/v1?key=abc", f"is localhost:8000/v1. {URL_TAKES}"),
        ("https://", f"is https://. {URL_TAKES}"),
        ("http://host:99999/", f"is http://host:99999/. {URL_TAKES}"),
        ("http://[::1/", f"is http://[::1/. {URL_TAKES}"),
        ("http://a b/", f"is http://a b/. {URL_TAKES}"),
        ("Mock", f"is Mock. {URL_TAKES}"),
        ("", f"is blank. {URL_TAKES}"),
        (TOKEN, f"is no URL (the value is not shown). {URL_TAKES}"),
        ("${U}", f"is ${{U}}, whose value does not fit. {URL_TAKES}"),
        ("https://h/v1#x", "has a fragment (`#...`), which is never sent; leave that off."),
        ("https://h/v1/chat/completions/", "ends in /chat/completions. Leave that off; batchchat adds it."),
        (
            "https://me:pw@host/v1",
            ("holds a user name or a password (the value is not shown). Give the key by `endpoint.api_key_env`."),
        ),
        (
            "me:pw@host/v1",
            ("holds a user name or a password (the value is not shown). Give the key by `endpoint.api_key_env`."),
        ),
    ],
)
def test_bad_base_url(written: str, sentence: str) -> None:
    """A URL that is not accepted is reported with the way out, and without a password."""
    text = f"{TOP}endpoint: {{base_url: '{written}'}}"
    assert faults(text, environ={"U": "hidden"}) == [f"job.yaml:4: `endpoint.base_url` {sentence}"]


def test_types_show_nothing() -> None:
    """A value of the wrong type is not shown anywhere under `endpoint`."""
    text = f"{TOP}endpoint: {{base_url: 123456, api_key_env: 1234567, headers: 'Bearer x'}}"
    assert faults(text) == [
        f"job.yaml:4: `endpoint.base_url` is a whole number (the value is not shown). {URL_TAKES}",
        (
            "job.yaml:4: `endpoint.api_key_env` is a whole number (the value is not shown). "
            "It takes the name of a variable, for example DEEPINFRA_TOKEN."
        ),
        (
            "job.yaml:4: `endpoint.headers` is text (the value is not shown). It takes a mapping of "
            "header names to text."
        ),
    ]
    assert faults(f"{TOP}endpoint: secret-text") == [
        "job.yaml:4: `endpoint` is text (the value is not shown). It takes a mapping."
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (TOKEN, NOT_NAME),
        ("sk-proj-abcdef", NOT_NAME),
        ("lower_case", NOT_NAME),
        (f"Bearer {TOKEN}", NOT_NAME),
        ("AKIAIOSFODNN7EXAMPLE", UNKNOWN_NAME),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", UNKNOWN_NAME),
        ("${DEEPINFRA_TOKEN}", NOT_NAME),
    ],
)
@pytest.mark.parametrize("url", ["", "base_url: mock, ", "base_url: 'http://h/v1', "])
def test_pasted_key(name: str, sentence: str, url: str) -> None:
    """A key pasted where a name belongs is refused without being shown, for the mock too."""
    assert faults(f"{TOP}endpoint: {{{url}api_key_env: '{name}'}}", environ=KEYED) == [sentence]


@pytest.mark.parametrize("name", ["lower_case", "AVERYLONGNAMEWITHOUTANYUNDERSCORE1"])
def test_any_name_that_is_set(name: str) -> None:
    """A variable that is set is a variable, whatever its name looks like."""
    job = load(f"{TOP}endpoint: {{api_key_env: {name}}}", environ={name: TOKEN})
    assert job.endpoint.api_key is not None
    assert job.endpoint.api_key.reveal() == TOKEN


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, f"which is not set. {SET_IT}"),
        ("", f"which is empty. {SET_IT}"),
        (" \n", f"which is empty. {SET_IT}"),
        (
            "two words",
            ("whose value has a space, a control character or one outside ASCII in it (it is not shown). " + SET_IT),
        ),
        (
            "a\x00b",
            ("whose value has a space, a control character or one outside ASCII in it (it is not shown). " + SET_IT),
        ),
        (
            "kéy",
            ("whose value has a space, a control character or one outside ASCII in it (it is not shown). " + SET_IT),
        ),
    ],
)
def test_key_of_no_use(value: str | None, sentence: str) -> None:
    """A key that is missing or broken is reported by its variable's name, the default one too."""
    environ = {} if value is None else {"DEEPINFRA_TOKEN": value}
    begin = "`endpoint.api_key_env` names DEEPINFRA_TOKEN, "
    assert faults(TOP, environ=environ) == [f"job.yaml:1: {begin}{sentence}"]
    assert faults(f"{TOP}endpoint:\n  api_key_env: DEEPINFRA_TOKEN\n", environ=environ) == [
        f"job.yaml:5: {begin}{sentence}"
    ]


def test_authorization_header_needs_no_key() -> None:
    """A job with an Authorization header needs no key."""
    job = load(f"{TOP}endpoint: {{headers: {{authorization: Bearer x}}}}")
    assert (job.endpoint.api_key, job.endpoint.api_key_env) == (None, None)


def test_headers() -> None:
    """Header values lose the spaces around them and may come from variables."""
    job = load(f"{TOP}endpoint:\n  base_url: mock\n  headers:\n    A: ' x y '\n    B: ${{B}}\n", environ={"B": "b\n"})
    assert {name: value.reveal() for name, value in job.endpoint.headers.items()} == {"A": "x y", "B": "b"}


def test_bad_headers() -> None:
    """Each header that is not accepted is reported without its value."""
    text = f"""{TOP}endpoint:
  base_url: mock
  headers:
    A: 7654321
    B: [secret]
    C: null
    D: "a\\nsecret"
    Host: secret
    content-type: secret
    Bad name: secret
    E: ${{NOPE}}
"""
    assert faults(text) == [
        "job.yaml:7: `endpoint.headers.A` is a whole number (the value is not shown). It takes text.",
        "job.yaml:8: `endpoint.headers.B` is a list. It takes text.",
        "job.yaml:9: `endpoint.headers.C` is empty. It takes text.",
        (
            "job.yaml:10: `endpoint.headers.D` has a control character in its value (it is not shown). "
            "It takes text on one line."
        ),
        "job.yaml:11: `endpoint.headers.Host` is set by batchchat itself; leave it out.",
        "job.yaml:12: `endpoint.headers.content-type` is set by batchchat itself; leave it out.",
        "job.yaml:13: `endpoint.headers` has a name here that HTTP does not take (it is not shown).",
        (
            "job.yaml:14: `endpoint.headers.E` takes its value from NOPE, which is not set. "
            "Set it, or write ${NAME:-default}."
        ),
    ]
    assert faults(f"{TOP}endpoint: {{base_url: mock, headers: {{A: x, a: y}}}}") == [
        "job.yaml:4: `endpoint.headers.a` is repeated in other capitals; header names are not case-sensitive."
    ]
