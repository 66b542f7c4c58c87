"""`endpoint`: its URL, the variable that holds the key, extra headers.

Nothing here repeats what may be a secret. A URL with a password in it and a key pasted where a variable's
name belongs are refused without being shown; header values are kept without ever being shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.spec import MOCK
from batchchat.job.tree import MappingNode, Node, Scalar, printable, shown, wrong_type
from batchchat.job.value_types import ValueType, gathered
from batchchat.job.variables import looks_like_name
from batchchat.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["base_url", "headers", "key_name", "needs_deepinfra_key", "read_key", "vet_key_name"]

DEEPINFRA = "api.deepinfra.com"
_SUFFIX = "/chat/completions"
_URL_LIKE = re.compile(r"[./:]")
_SHORT = 12
_CAPITALS = re.compile(r"[A-Z][A-Z0-9_]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = {"content-type", "content-length", "host"}
_NOT_SHOWN = "(the value is not shown, in case it is the key itself)"
_WAY_OUT = "Put the key into a variable and its name here, for example DEEPINFRA_TOKEN."


def base_url() -> ValueType:
    """`mock`, or an http(s) URL, handed on without the slash at its path's end; a query is kept."""
    takes = "`mock` or a URL such as https://api.deepinfra.com/v1/openai"

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes, hidden=True)
        if node.value == MOCK:
            return MOCK
        parts = _split(node.value)
        if complaint := _url_complaint(node, parts, takes):
            raise RefusedError(Diagnostic(node.place, f"`{name}` {complaint}"))
        assert parts is not None
        return parts._replace(path=parts.path.rstrip("/")).geturl()

    schema = {"anyOf": [{"const": MOCK}, {"type": "string", "pattern": "^https?://"}]}
    return ValueType(takes, schema, read)


def _split(url: str) -> SplitResult | None:
    """The parts of `url`, None where it has none; reading `port` is what checks it."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _url_complaint(node: Scalar, parts: SplitResult | None, takes: str) -> str | None:
    url = str(node.value)
    if "@" in (parts.netloc if parts else url):
        way_out = "Give the key by `endpoint.api_key_env`."
        return f"holds a user name or a password (the value is not shown). {way_out}"
    fits = parts is not None and parts.scheme in ("http", "https") and url.isprintable() and " " not in url
    if parts is None or not fits:
        bare = re.split(r"[?#]", node.written)[0]
        if node.from_variable:
            said = f"is {shown(node)}, whose value does not fit"
        elif "@" not in url and (_URL_LIKE.search(bare) or len(bare) <= _SHORT):
            said = f"is {printable(bare) or 'blank'}"
        else:
            said = "is no URL (the value is not shown)"
        return f"{said}. It takes {takes}."
    if "#" in url:
        return "has a fragment (`#...`), which is never sent; leave that off."
    if parts.path.rstrip("/").endswith(_SUFFIX):
        return f"ends in {_SUFFIX}. Leave that off; batchchat adds it."
    return None


def needs_deepinfra_key(url: str) -> bool:
    """Whether `url` is DeepInfra's, whose key has a usual variable; self-hosted servers mostly need none."""
    return url != MOCK and urlsplit(url).hostname == DEEPINFRA


def key_name() -> ValueType:
    """The name of a variable; whether it looks like one depends on the environment: `vet_key_name`."""
    takes = "the name of a variable, for example DEEPINFRA_TOKEN"

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes, hidden=True)
        return node.value

    return ValueType(takes, {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, read)


def vet_key_name(variable: str, place: SourceLocation, environ: Mapping[str, str]) -> None:
    """Refuse a pasted key, unseen. A name that is set is a name, whatever it looks like."""
    if variable in environ or looks_like_name(variable):
        return
    if _CAPITALS.fullmatch(variable):
        said = f"names no variable that is set {_NOT_SHOWN}"
    else:
        said = f"does not look like the name of a variable {_NOT_SHOWN}"
    raise RefusedError(Diagnostic(place, f"`endpoint.api_key_env` {said}. {_WAY_OUT}"))


def read_key(variable: str, place: SourceLocation, environ: Mapping[str, str]) -> Secret:
    """The key in `variable`, stripped of the blanks around it; `variable` is vetted, so it can be shown."""
    key = environ.get(variable, "").strip()
    if not key:
        lacks = "is empty" if variable in environ else "is not set"
        sentence = f"names {variable}, which {lacks}. Set it with: export {variable}=..."
        raise RefusedError(Diagnostic(place, f"`endpoint.api_key_env` {sentence}"))
    if not key.isascii() or not key.isprintable() or " " in key:
        sentence = (
            f"names {variable}, whose value has a blank, a control character or one outside ASCII in it"
            f" (it is not shown). Set it anew with: export {variable}=..."
        )
        raise RefusedError(Diagnostic(place, f"`endpoint.api_key_env` {sentence}"))
    return Secret(key)


def headers() -> ValueType:
    """HTTP headers put on every request; blanks around a value are dropped, as HTTP does."""
    takes = "a mapping of header names to text"

    def read(name: str, node: Node) -> dict[str, Secret]:
        if not isinstance(node, MappingNode):
            raise wrong_type(name, node, takes, hidden=True)
        named = [(f"{name}.{header}", entry) for header, entry in node.entries.items()]
        values = gathered(_header, named)
        twice = _twice(node)
        if twice:
            sentence = f"`{name}.{twice}` stands here again in other capitals; header names have none."
            raise RefusedError(Diagnostic(node.entries[twice].place, sentence))
        return dict(zip(node.entries, values, strict=True))

    return ValueType(takes, {"type": "object", "additionalProperties": {"type": "string"}}, read)


def _header(name: str, node: Node) -> Secret:
    header = name.removeprefix("endpoint.headers.")
    if not _TOKEN.fullmatch(header):
        sentence = "`endpoint.headers` has a name here that HTTP does not take (it is not shown)."
        raise RefusedError(Diagnostic(node.place, sentence))
    if header.lower() in _OURS:
        raise RefusedError(Diagnostic(node.place, f"`{name}` is set by batchchat itself; leave it out."))
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise wrong_type(name, node, "text", hidden=True)
    value = node.value.strip()
    if _CONTROL.search(value):
        sentence = f"`{name}` has a control character in its value (it is not shown). It takes text on one line."
        raise RefusedError(Diagnostic(node.place, sentence))
    return Secret(value)


def _twice(node: MappingNode) -> str | None:
    seen: set[str] = set()
    for header in node.entries:
        if header.lower() in seen:
            return header
        seen.add(header.lower())
    return None
