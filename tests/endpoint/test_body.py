"""Whole JSON is read whatever stands around it, in whatever charset; and nothing secret is in what was read."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.endpoint.body import read_body
from batchchat.secret import Redactor, Secret

PAYLOAD: dict[str, Any] = {"choices": [{"message": {"content": "Grüße, 世界 🦉"}, "finish_reason": "stop"}]}
JSON = json.dumps(PAYLOAD, ensure_ascii=False)
KEY = "sk-0123456789abcdef"


def payload_of(data: bytes | str, content_type: str = "application/json", *, complete: bool = True) -> Any:
    body = read_body(data.encode() if isinstance(data, str) else data, content_type, Redactor(), complete=complete)
    assert body.complete == complete
    return body.payload


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n{JSON}",
        f"\r\n \t\r\n{JSON}\n",
        f"\ufeff\n: ping\r\n\ufeff{JSON}",
        f"{JSON}\n\ndata: [DONE]\n\n",
        f"{JSON}data: [DONE]",
        f"{JSON}\x00\x00",
        f'{JSON}\n{{"error": null}}',
        f"{JSON}</body></html>",
        f"data: {JSON}\n\n",
        f"data: {JSON}\n\ndata: [DONE]\n\n",
    ],
)
def test_whole_json_is_whole(text: str) -> None:
    """Marks, blanks and comments before it and anything behind it take nothing from an answer."""
    assert payload_of(text)["choices"][0]["message"] == PAYLOAD["choices"][0]["message"]


def test_raw_control_characters_are_text() -> None:
    """A line feed or an escape character that a server did not escape is part of the text."""
    text = "one\ntwo\tthree\x1b[0m"
    body = JSON.replace(PAYLOAD["choices"][0]["message"]["content"], text)
    assert payload_of(body)["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize(
    "text", ["", "  ", "hello", JSON[:-9], f": ping\n{JSON[:-9]}", '{"a": 1} and more', "<html></html>", "[" * 100_000]
)
def test_what_is_no_whole_json_has_no_payload(text: str) -> None:
    """Text, half a JSON, and JSON that is no chat completion with something behind it."""
    assert payload_of(text) is None


@pytest.mark.parametrize(
    ("charset", "declared"),
    [
        *[("utf-8", "application/json"), ("utf-8", "application/json; charset=UTF-8"), ("utf-8-sig", "text/plain")],
        *[("utf-8", "text/html; charset=ISO-8859-1"), ("utf-8", "application/json; charset=nonsense")],
        *[("utf-8", "application/json; charset=ascii"), ("utf-8", "application/json; charset=rot13")],
        *[("gb18030", "application/json; charset=gb18030"), ("gb18030", 'application/json; charset="GB18030"')],
        *[("utf-16", "application/json"), ("utf-16-le", "application/json"), ("utf-16-be", "application/json")],
        *[("utf-16-be", "text/plain;charset=utf-16"), ("utf-32", "application/json"), ("utf-32-be", "")],
    ],
)
def test_charsets(charset: str, declared: str) -> None:
    """By the mark, by the zero bytes or by name; what says ISO-8859-1 and is UTF-8 is UTF-8."""
    assert payload_of(JSON.encode(charset), declared) == PAYLOAD
    assert codecs.lookup(charset)


def test_a_single_byte_charset() -> None:
    """ISO-8859-1 and Windows' are read where the bytes are no UTF-8."""
    for charset in ("iso-8859-1", "windows-1252", "iso-8859-15"):
        data = '{"choices": [], "x": "café"}'.encode(charset)
        assert payload_of(data, f"application/json; charset={charset}")["x"] == "café"


def test_bytes_of_no_charset_are_replaced_or_kept() -> None:
    """A text that is not what its charset says loses what can't be read, and no more."""
    data = b'{"x": "caf\xff\xff"}'
    assert payload_of(data, "application/json; charset=gb18030")["x"].startswith("caf")
    assert payload_of(data)["x"] == "caf\udcff\udcff"


def chunk(text: str, **more: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, **more}]})


def test_a_stream_is_one_response() -> None:
    """As events, or as chunks one behind the other; its own end counts, not that of the connection."""
    parts = [chunk("Hel"), chunk("lo", finish_reason="stop")]
    for text in ("".join(f"data: {part}\n\n" for part in parts), "\n".join(parts), "".join(parts)):
        for complete in (True, False):
            body = read_body(text.encode(), "text/event-stream", Redactor(), complete=complete)
            assert body.payload["choices"][0]["message"] == {"content": "Hello"}
            assert (body.complete, body.streamed) == (True, True)
            assert json.loads(body.raw) == body.payload
    body = read_body(f"data: {chunk('Hel')}\n\n".encode(), "", Redactor())
    assert (body.complete, body.streamed, "choices" in body.payload) == (False, True, False)
    assert json.loads(body.raw)["choices"][0] == {"index": 0, "message": {"content": "Hel"}, "finish_reason": None}
    body = read_body(b'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n', "", Redactor())
    assert (body.partial, body.raw[:6]) == (None, "data: ")
    body = read_body(f"data: {chunk('Hel')}\n\ndata: {{broken\n\ndata: [DONE]\n\n".encode(), "", Redactor())
    assert not body.complete


def test_an_error_in_a_stream_is_the_payload() -> None:
    """The response is an error, and complete as far as its connection was."""
    body = read_body(f'data: {chunk("Hel")}\n\ndata: {{"error": {{"code": 502}}}}\n\n'.encode(), "", Redactor())
    assert (body.payload["error"], "choices" in body.payload) == ({"code": 502}, False)
    assert body.complete
    assert body.partial["choices"][0]["message"] == {"content": "Hel"}


def test_no_secret_is_left() -> None:
    """In another charset, and in two pieces of a stream, a secret is redacted as anywhere."""
    redactor = Redactor([Secret(KEY)])
    for charset in ("utf-8", "utf-16", "utf-32"):
        body = read_body(json.dumps({"x": KEY}).encode(charset), "", redactor)
        assert body.payload == {"x": "***"}
        assert KEY not in body.raw
    stream = f"data: {chunk(KEY[:9])}\n\ndata: {chunk(KEY[9:], finish_reason='stop')}\n\n"
    body = read_body(stream.encode(), "", redactor)
    assert body.payload["choices"][0]["message"]["content"] == "***"
    assert KEY not in body.raw


@given(st.binary(max_size=60), st.sampled_from(["", "text/html; charset=gbk", "x; charset=utf-16"]))
def test_any_bytes_are_read(data: bytes, content_type: str) -> None:
    """Nothing is an error of ours."""
    read_body(data, content_type, Redactor())
    read_body(b"data: " + data, content_type, Redactor())
