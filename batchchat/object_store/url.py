"""URLs of objects: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`, `https://host/path`.

A key of the first three stands as it is, without percent-encoding, and has no query. The query of an https URL may be a
signature, and what stands before its `@` a password: `shown` is without them, and it alone is for messages, logs and
files.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from batchchat.secret import Secret

__all__ = ["STORES", "WEB", "ObjectUrl", "is_loopback", "is_url", "parse_url"]

STORES = frozenset({"s3", "gs", "az"})
"""The schemes of stores that can be listed and written."""
WEB = frozenset({"https", "http"})
"""The schemes of web servers: one URL is one file."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_QUERY = re.compile(r"\?[^/]*=")
"""Of a key: it could be a signature, such as the SAS token of Azure. Elsewhere `?` is any character of a pattern."""
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]{1,254}")


class ObjectUrl(NamedTuple):
    """What a URL names: an object, or all whose keys begin with `key` where that is empty or ends in `/`.

    `bucket` is the container of Azure, and the host (with its port) of a web server. `shown` is the URL without
    secrets, `secret` the URL as it was written.
    """

    scheme: str
    bucket: str
    key: str
    shown: str
    secret: Secret

    def at(self, key: str) -> ObjectUrl:
        """The URL of another object in the same bucket."""
        text = f"{self.scheme}://{self.bucket}/{key}"
        return ObjectUrl(self.scheme, self.bucket, key, text, Secret(text))

    @property
    def secrets(self) -> list[Secret]:
        """What must not be shown of the URL of a web server: its query, each value in it, and its password."""
        if self.scheme not in WEB:
            return []
        parts = urlsplit(self.secret.reveal())
        values = [pair.partition("=")[2] for pair in re.split("[&;]", parts.query)]
        words = [parts.query, *values, parts.username or "", parts.password or ""]
        return [Secret(word) for word in dict.fromkeys((*words, *map(unquote, words))) if word]


def is_url(path: str) -> bool:
    """Whether `path` has the form of a URL, of whatever scheme."""
    return _URL.match(path) is not None


def parse_url(text: str) -> ObjectUrl:
    """What the URL `text` names. Raises `ValueError`, whose words follow a key's name and repeat nothing secret."""
    scheme = text.partition("://")[0].lower()
    if scheme in STORES:
        return _in_store(scheme, text)
    if scheme not in WEB:
        raise ValueError(f"is a URL ({scheme[:12]}://...) of a kind that is not read. It takes s3, gs, az and https.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"is a URL ({scheme}://...) that can't be read. It takes https://HOST/PATH.") from None
    if not parts.hostname:
        raise ValueError(f"is a URL ({scheme}://...) without a host. It takes https://HOST/PATH.")
    if scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("is an http:// URL, which is read from this machine only. Use https://.")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = name if port is None else f"{name}:{port}"
    return ObjectUrl(scheme, host, parts.path.lstrip("/"), f"{scheme}://{host}{parts.path}", Secret(text))


def _in_store(scheme: str, text: str) -> ObjectUrl:
    bucket, _, key = text.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        name = "container" if scheme == "az" else "bucket"
        sentence = f"is a URL ({scheme}://...) without the name of a {name}. It takes {scheme}://{name}/key"
        raise ValueError(f"{sentence}; credentials come from the environment.")
    if _QUERY.search(key):
        raise ValueError(f"is a URL ({scheme}://...) with a query; credentials come from the environment.")
    shown = f"{scheme}://{bucket}/{key}"
    return ObjectUrl(scheme, bucket, key, shown, Secret(shown))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, by its name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
