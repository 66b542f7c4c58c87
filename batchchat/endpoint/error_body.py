"""Read the error in a response, whatever its shape; pure.

Shapes: OpenAI's `{"error": {"message", "type", "code"}}`; DeepInfra's `{"detail": …}` and `{"detail": {"error": …}}`;
FastAPI's list of complaints; Gemini's `[{"error": {…, "details": [{"reason", "retryDelay"}]}}]`; OpenRouter's
`error.metadata.raw` with the words of the provider behind it; xAI's `{"code": "…", "error": "…"}`; TGI's `error_type`
beside `error`; MiniMax's `base_resp`; Cloudflare's `errors`; Bedrock's `__type`; Baidu's `error_code` and `error_msg`.
In a 2xx an error may be at the top, in the first choice, or in `base_resp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from batchchat import lossless_json

__all__ = ["MAX_ERROR_CHARS", "ErrorBody", "one_line", "read_error", "read_error_in_reply"]

MAX_ERROR_CHARS = 500
_CODE_KEYS = ("code", "type", "status", "reason", "error_type", "error_code", "__type")
_STATUS_KEYS = ("code", "status", "status_code", "http_code", "error_code")
_MESSAGE_KEYS = ("message", "msg", "error_msg", "status_msg", "Message")
_MIN_STATUS, _MAX_STATUS = 400, 599
_MAX_DEPTH = 8
# MiniMax's codes, as the status that says the same; 1026 and 1027 are content filters, and codes of the table.
_MINIMAX_STATUS = {
    1000: 500,
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1013: 500,
    1024: 500,
    1026: 400,
    1027: 400,
    1033: 500,
    1039: 429,
    2013: 400,
    2049: 401,
    2056: 429,
}
# What an error inside a 200 means that has a code, and no status.
_STATUS_OF_CODE = {"invalid_request_error": 400, "invalid_argument": 400, "bad_request": 400, "badrequesterror": 400}
_NO_ERROR = {0, 200, "0", "200", "ok", "success", ""}
# What follows was written by the user: pydantic's and FastAPI's complaints repeat the input.
_ECHO = re.compile(r"""input_value=|['"]input['"]: |\binput: ['"{\[]|\breceived: ['"{\[]""")
_LIMIT = re.compile(r"\blimit:?\s*([\d,]*\d).{0,80}?\brequested:?\s*([\d,]*\d)", re.IGNORECASE | re.DOTALL)
_LARGE_NUMBER = re.compile(r"\d[\d,]{3,}")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


@dataclass(frozen=True)
class ErrorBody:
    """The error in a response. `codes` holds its codes and types, in lower case; `status` is one that it names.

    `foreign`: the body is not JSON, so it may come from a proxy or a firewall in front of the endpoint. `relayed`: the
    message has the words of a provider behind the endpoint. `wait_s`: the seconds to wait that the body asks for.
    """

    message: str
    codes: frozenset[str]
    status: int | None = None
    foreign: bool = False
    relayed: bool = False
    wait_s: float | None = None

    @cached_property
    def own_words(self) -> str:
        """The message without what it repeats of the request: a prompt may contain any words."""
        return _ECHO.split(self.message, maxsplit=1)[0]

    @cached_property
    def over_limit(self) -> bool:
        """Whether it says that the request alone asks for more than a limit allows ("Limit 30, Requested 41")."""
        match = _LIMIT.search(self.own_words)
        return match is not None and _number(match[2]) > _number(match[1])

    @cached_property
    def names_tokens(self) -> bool:
        """Whether the message has a number of four digits or more, as one that counts tokens does."""
        return _LARGE_NUMBER.search(self.own_words) is not None


def read_error(payload: Any, body: bytes) -> ErrorBody:
    """The error in `payload`, in any of the shapes in use; else its message is the beginning of `body`."""
    if isinstance(payload, list) and payload and isinstance(payload[0], dict) and "error" in payload[0]:
        payload = payload[0]
    nodes = list(_nodes(payload))
    node = nodes[-1]
    mappings = [node for node in reversed(nodes) if isinstance(node, dict)]
    codes = frozenset(code for mapping in mappings for code in _codes(mapping))
    status = next((status for mapping in mappings if (status := _status_of(mapping)) is not None), None)
    message = _message(node)
    if message is None:
        message = "" if isinstance(node, str) else begin(body)
    foreign = not isinstance(payload, dict) and not isinstance(node, list)
    wait_s = next((wait_s for mapping in mappings if (wait_s := _retry_delay(mapping)) is not None), None)
    upstream = next((error for mapping in mappings if (error := _upstream(mapping)) is not None), None)
    if upstream is None:
        return ErrorBody(message, codes, status, foreign, wait_s=wait_s)
    words = message if upstream.message in message else f"{message}: {upstream.message}"
    return ErrorBody(words, codes | upstream.codes, status, relayed=True, wait_s=wait_s)


def read_error_in_reply(payload: Any, body: bytes) -> ErrorBody | None:
    """The error in the `payload` of a 2xx, its status filled in; None where it tells of none."""
    if isinstance(payload, list) and len(payload) == 1:
        payload = payload[0] if isinstance(payload[0], dict) and _is_error(payload[0].get("error")) else None
    if not isinstance(payload, dict):
        return None
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    base_resp = payload.get("base_resp")
    if _is_error(payload.get("error")):
        error = read_error(payload, body)
    elif _is_error(choice.get("error")):
        error = read_error({"error": choice["error"]}, body)
    elif isinstance(base_resp, dict) and _minimax_code(base_resp):
        error = read_error({"base_resp": base_resp}, body)
    elif not choice and (
        payload.get("object") == "error" or "error_msg" in payload or _is_error(payload.get("errors"))
    ):
        error = read_error(payload, body)
    else:
        return None
    if error.status is not None:
        return error
    status = next((_STATUS_OF_CODE[code] for code in sorted(error.codes) if code in _STATUS_OF_CODE), None)
    return ErrorBody(error.message, error.codes, status, relayed=error.relayed, wait_s=error.wait_s)


def one_line(text: str) -> str:
    """`text` as one line of at most 500 characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_ERROR_CHARS else line[: MAX_ERROR_CHARS - 1] + "…"


def begin(body: bytes) -> str:
    """The first 200 bytes of `body` as one line."""
    return one_line(body[:200].decode("utf-8", "replace"))


def _nodes(payload: Any) -> Iterator[Any]:
    """`payload` and what it contains of the error, from the outside in; the last one has the message."""
    node = payload
    for _ in range(_MAX_DEPTH):
        yield node
        inner = _inner(node)
        if inner is None:
            return
        node = inner


def _inner(node: Any) -> Any:
    if not isinstance(node, dict):
        return None
    for name in ("error", "errors", "detail", "base_resp"):
        inner = node.get(name)
        if name == "errors" and isinstance(inner, list):
            inner = inner[0] if inner else None
        # `{"error": "Not Found", "message": "no such path"}`: the message says more.
        if (
            inner
            and isinstance(inner, str | dict | list)
            and (not isinstance(node.get("message"), str) or (name == "error" and isinstance(inner, dict)))
        ):
            return inner
    message = node.get("message")  # Mistral: {"message": {"detail": […]}}
    return message if isinstance(message, dict) and message else None


def _message(node: Any) -> str | None:
    if isinstance(node, str):
        return node
    if isinstance(node, list):  # FastAPI's 422: [{"loc": […], "msg": …, "type": …}]
        return "; ".join(_complaint(item) for item in node)
    if isinstance(node, dict):
        return next((value for key in _MESSAGE_KEYS if isinstance(value := node.get(key), str) and value), None)
    return None


def _complaint(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    location = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{location}: {item.get('msg', '')}" if location else str(item.get("msg", ""))


def _codes(node: Mapping[str, Any]) -> Iterator[str]:
    """The codes and types of an error: texts, and numbers that are no HTTP status."""
    for key in _CODE_KEYS:
        value = node.get(key)
        if isinstance(value, str):
            yield value.lower()
        elif type(value) is int and abs(value) > _MAX_STATUS and abs(value) < 1 << 63:
            yield str(value)
    if (code := _minimax_code(node)) is not None:
        yield f"base_resp.{code}"
    details = node.get("details")
    inner = node.get("innererror")
    for part in [*(details if isinstance(details, list) else ()), inner]:
        for key in ("reason", "code"):
            if isinstance(part, dict) and isinstance(part.get(key), str):
                yield part[key].lower()


def _status_of(node: Mapping[str, Any]) -> int | None:
    if (code := _minimax_code(node)) is not None:
        return _MINIMAX_STATUS.get(code)
    return next((status for key in _STATUS_KEYS if (status := _status(node.get(key))) is not None), None)


def _status(code: Any) -> int | None:
    if isinstance(code, str) and re.fullmatch(r"[45][0-9][0-9]", code):
        code = int(code)
    return code if type(code) is int and _MIN_STATUS <= code <= _MAX_STATUS else None


def _minimax_code(node: Mapping[str, Any]) -> int | None:
    """The code of a `base_resp` that is an error."""
    code = node.get("status_code")
    return code if type(code) is int and "status_msg" in node and 0 < code < 1 << 31 else None


def _retry_delay(node: Mapping[str, Any]) -> float | None:
    """Google's RetryInfo: `{"retryDelay": "34s"}` among the details."""
    details = node.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (match := _SECONDS.fullmatch(delay)):
            return float(match[1])
    return None


def _upstream(node: Mapping[str, Any]) -> ErrorBody | None:
    """OpenRouter: what the provider behind it said, as JSON or text."""
    metadata = node.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if not raw or not isinstance(raw, str | dict):
        return None
    text = raw if isinstance(raw, str) else ""
    try:
        payload = lossless_json.loads_lenient(text.encode("utf-8", "replace")) if text else raw
    except ValueError:
        payload = text
    error = read_error(payload, text.encode("utf-8", "replace"))
    words = one_line(error.message or text)
    provider = metadata.get("provider_name") if isinstance(metadata, dict) else None
    return ErrorBody(f"{words} ({provider})" if isinstance(provider, str) and provider else words, error.codes)


def _is_error(value: Any) -> bool:
    """Whether the value of `error` in a 2xx tells of one; some endpoints send null, {} or a code for success."""
    if not isinstance(value, dict):
        return isinstance(value, str | list) and bool(value)
    code = value.get("code")
    is_success = isinstance(code, int | str) and (code.lower() if isinstance(code, str) else code) in _NO_ERROR
    return not is_success and any(bool(part) for part in value.values())


def _number(digits: str) -> int:
    return int(digits.replace(",", "")[:30])
