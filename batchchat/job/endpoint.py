"""`endpoint`: its URL, the variable that holds the key, extra headers.

No message here shows a value that may be a secret. A URL with a password in it and a key pasted where a variable's
name belongs are refused without being shown; header values are kept as `Secret`s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.tree import MappingNode, Node, Scalar, printable, shown, wrong_type
from batchchat.job.value_types import ValueType, collect
from batchchat.job.variables import looks_like_name
from batchchat.secret import Secret, is_plain_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOCK", "base_url", "check_key_name", "headers", "key_name", "needs_deepinfra_key", "read_key"]

MOCK = "mock"
"""The `base_url` of the embedded endpoint."""
DEEPINFRA = "api.deepinfra.com"
KEY_NAME = "endpoint.api_key_env"
_SUFFIX = "/chat/completions"
_URL_LIKE = re.compile(r"[./:]")
_MAX_SHOWN_LENGTH = 12
_CAPITALS = re.compile(r"[A-Z][A-Z0-9_]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = {"content-type", "content-length", "host"}
_NOT_SHOWN = "(the value is not shown, in case it is the key itself)"
_WAY_OUT = "Put the key into a variable and its name here, for example DEEPINFRA_TOKEN."


def base_url() -> ValueType:
    """`mock`, or an http(s) URL, whose path loses the slash at its end; a query is kept."""
    takes = "`mock` or a URL such as https://api.deepinfra.com/v1/openai"

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes, hidden=True)
        if node.value == MOCK:
            return MOCK
        parts = _split(node.value)
        if problem := _url_problem(node, parts, takes, in_list=name != "endpoint.base_url"):
            raise RefusedError(Diagnostic(node.location, f"`{name}` {problem}"))
        assert parts is not None
        return parts._replace(path=parts.path.rstrip("/")).geturl()

    schema = {"anyOf": [{"const": MOCK}, {"type": "string", "pattern": "^https?://"}]}
    return ValueType(takes, schema, read)


def _split(url: str) -> SplitResult | None:
    """The parts of `url`, or None if it is no URL with a host; reading `port` is what checks the port."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _url_problem(node: Scalar, parts: SplitResult | None, takes: str, *, in_list: bool = False) -> str | None:
    """What is wrong with the URL `node` holds, to follow the key's name; None if nothing is."""
    url = str(node.value)
    if "@" in (parts.netloc if parts else url):
        way_out = "Give the key by `api_key_env`." if in_list else "Give the key by `endpoint.api_key_env`."
        return f"holds a user name or a password (the value is not shown). {way_out}"
    fits = parts is not None and parts.scheme in ("http", "https") and url.isprintable() and " " not in url
    if parts is None or not fits:
        shown_part = re.split(r"[?#]", node.written)[0]
        if node.from_variable:
            description = f"is {shown(node)}, whose value does not fit"
        elif "@" not in url and (_URL_LIKE.search(shown_part) or len(shown_part) <= _MAX_SHOWN_LENGTH):
            description = f"is {printable(shown_part) or 'blank'}"
        else:
            description = "is no URL (the value is not shown)"
        return f"{description}. It takes {takes}."
    if "#" in url:
        return "has a fragment (`#...`), which is never sent; leave that off."
    if parts.path.rstrip("/").endswith(_SUFFIX):
        return f"ends in {_SUFFIX}. Leave that off; batchchat adds it."
    return None


def needs_deepinfra_key(url: str) -> bool:
    """Whether `url` is DeepInfra's, which has a default variable for the key; self-hosted servers mostly need none."""
    return url != MOCK and urlsplit(url).hostname == DEEPINFRA


def key_name() -> ValueType:
    """The name of a variable; whether it looks like one depends on the environment: `check_key_name`."""
    takes = "the name of a variable, for example DEEPINFRA_TOKEN"

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes, hidden=True)
        return node.value

    return ValueType(takes, {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, read)


def check_key_name(variable: str, location: SourceLocation, environ: Mapping[str, str], name: str = KEY_NAME) -> None:
    """Refuse a pasted key without showing it. A name that is set in `environ` is a name, whatever it looks like.

    `name` is that of the job's key which has it.
    """
    if variable in environ or looks_like_name(variable):
        return
    if _CAPITALS.fullmatch(variable):
        problem = f"names no variable that is set {_NOT_SHOWN}"
    else:
        problem = f"does not look like the name of a variable {_NOT_SHOWN}"
    raise RefusedError(Diagnostic(location, f"`{name}` {problem}. {_WAY_OUT}"))


def read_key(variable: str, location: SourceLocation, environ: Mapping[str, str], name: str = KEY_NAME) -> Secret:
    """The key in `variable`, stripped of spaces; `variable` has passed `check_key_name`, so it can be shown."""
    key = environ.get(variable, "").strip()
    if not key:
        lacks = "is empty" if variable in environ else "is not set"
        sentence = f"names {variable}, which {lacks}. {_set_it(variable)}"
        raise RefusedError(Diagnostic(location, f"`{name}` {sentence}"))
    if not key.isascii() or not key.isprintable() or " " in key:
        sentence = (
            f"names {variable}, whose value has a space, a control character or one outside ASCII in it"
            f" (it is not shown). {_set_it(variable)}"
        )
        raise RefusedError(Diagnostic(location, f"`{name}` {sentence}"))
    return Secret(key)


def _set_it(variable: str) -> str:
    return f"Set it with: export {variable}=..., or in a file .env beside the job: {variable}=..."


def headers() -> ValueType:
    """HTTP headers sent with every request; spaces around a value are dropped, as HTTP does."""
    takes = "a mapping of header names to text"

    def read(name: str, node: Node) -> dict[str, Secret]:
        if not isinstance(node, MappingNode):
            raise wrong_type(name, node, takes, hidden=True)
        named = [(header, entry) for header, entry in node.entries.items()]
        values = collect(lambda header, entry: _header(name, header, entry), named)
        repeated = _repeated_name(node)
        if repeated:
            header = _shown_header(name, repeated)
            sentence = f"{header} is repeated in other capitals; header names are not case-sensitive."
            raise RefusedError(Diagnostic(node.entries[repeated].location, sentence))
        return dict(zip(node.entries, values, strict=True))

    return ValueType(takes, {"type": "object", "additionalProperties": {"type": "string"}}, read, secret=True)


def _header(section: str, header: str, node: Node) -> Secret:
    if not _TOKEN.fullmatch(header):
        sentence = f"`{section}` has a name here that HTTP does not take (it is not shown)."
        raise RefusedError(Diagnostic(node.location, sentence))
    if header.lower() in _OURS:
        raise RefusedError(Diagnostic(node.location, f"`{section}.{header}` is set by batchchat itself; leave it out."))
    if not is_plain_name(header) and (not isinstance(node, Scalar) or node.value in {None, ""}):
        sentence = f"`{section}` has a name here without a value (it is not shown, in case it is a key)."
        raise RefusedError(Diagnostic(node.location, f"{sentence} A header is written `Name: value`."))
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise wrong_type(_shown_header(section, header).strip("`"), node, "text", hidden=True)
    value = node.value.strip()
    if _CONTROL.search(value):
        sentence = f"{_shown_header(section, header)} has a control character in its value (it is not shown)."
        sentence += " It takes text on one line."
        raise RefusedError(Diagnostic(node.location, sentence))
    return Secret(value)


def _shown_header(section: str, header: str) -> str:
    """The key of `header`, whose name is shown only if it can't be a key that was pasted."""
    return f"`{section}.{header}`" if is_plain_name(header) else f"`{section}`: a header (not shown)"


def _repeated_name(node: MappingNode) -> str | None:
    lower_names: set[str] = set()
    for header in node.entries:
        if header.lower() in lower_names:
            return header
        lower_names.add(header.lower())
    return None
