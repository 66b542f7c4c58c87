"""What obstore's exceptions mean, in words for people.

An exception's text has the reply of the server, which may repeat keys, and the URL with its signature: none of it is
shown. What is read of it are the client's own fields: the status, how the connection failed, and which host was asked.
"""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchchat.object_store.url import ObjectUrl

__all__ = ["ObjectStoreError", "StoreFailure", "translated"]


class StoreFailure(Enum):
    """Why a store did not do what it was asked."""

    MISSING = "missing"
    NO_BUCKET = "no bucket"
    NO_CREDENTIALS = "no credentials"
    DENIED = "denied"
    CHANGED = "changed"
    """The object is not the one that was asked for: its ETag or size is another."""
    EXISTS = "exists"
    """An object is to be made, and is there already."""
    OTHER_REGION = "other region"
    UNREACHABLE = "unreachable"
    NO_RANGES = "no ranges"
    SETTINGS = "settings"
    NO_TLS = "no TLS"
    OTHER = "other"


_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_PUBLIC = {"s3": "AWS_SKIP_SIGNATURE", "gs": "GOOGLE_SKIP_SIGNATURE", "az": "AZURE_SKIP_SIGNATURE"}
_ENDPOINTS = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}
_PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}

_STATUS = re.compile(r"\binner: Status \{\s+status: ([0-9]{3}),")
_CONNECTION = re.compile(r"\bHttpError \{\s+kind: ([A-Za-z]+),")
_ASKED = re.compile(r"\buri: Some\(\s+(\S+),\s")
_METADATA_HOSTS = frozenset({"169.254.169.254", "169.254.170.2", "fd00:ec2::254", "metadata.google.internal"})
"""Where a cloud's own machines get credentials: what is asked where the environment has none."""
_METADATA_PATH = "/latest/api/token"
"""What is asked first there, also where AWS_METADATA_ENDPOINT names another host."""
_LOST = frozenset({"Connect", "Timeout", "Request", "Interrupted"})


class ObjectStoreError(Exception):
    """What a store did not do. `str()` names the URL without its secrets, and the way out.

    `detail` says more about the failure: the status, or the host that did not answer. `verb` is what was to be done
    with the object: it "can't be read" or "can't be written".
    """

    def __init__(self, url: ObjectUrl, failure: StoreFailure, detail: str = "", verb: str = "read") -> None:
        self.url = url
        self.failure = failure
        self.detail = detail
        super().__init__(_sentence(url, failure, detail, verb))


@contextmanager
def translated(url: ObjectUrl, verb: str = "read") -> Iterator[None]:
    """What obstore raises in the block, for `url`, becomes an `ObjectStoreError`; other exceptions stay."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.BaseError, FileNotFoundError) as error:
        failure, detail = _failure_of(error, url)
        # Without the cause: a traceback would show its text.
        raise ObjectStoreError(url, failure, detail, verb) from None


def _failure_of(error: Exception, url: ObjectUrl) -> tuple[StoreFailure, str]:
    from obstore import exceptions

    text = str(error)
    match error:
        case FileNotFoundError():
            failure, detail = StoreFailure.MISSING, ""
        case exceptions.PreconditionError() | exceptions.NotModifiedError():
            failure, detail = StoreFailure.CHANGED, ""
        case exceptions.AlreadyExistsError():
            failure, detail = StoreFailure.EXISTS, ""
        case exceptions.NotSupportedError():
            failure, detail = StoreFailure.NO_RANGES, ""
        case exceptions.PermissionDeniedError() | exceptions.UnauthenticatedError():
            failure, detail = StoreFailure.DENIED, _status(text)
        case _:
            failure, detail = _of_generic(text, url)
    contacted = _contacted(text)
    if contacted is not None and (contacted.hostname in _METADATA_HOSTS or contacted.path == _METADATA_PATH):
        failure = StoreFailure.NO_CREDENTIALS
    return failure, detail


def _of_generic(text: str, url: ObjectUrl) -> tuple[StoreFailure, str]:
    status = _status(text)
    match status:
        case "404":
            return StoreFailure.NO_BUCKET, status
        case "401" | "403":
            return StoreFailure.DENIED, status
        case "301" | "307" | "308" if url.scheme == "s3":
            return StoreFailure.OTHER_REGION, status
        case "":
            connection = _CONNECTION.search(text)
            contacted = _contacted(text)
            if connection is None or connection[1] not in _LOST:
                return StoreFailure.OTHER, ""
            return StoreFailure.UNREACHABLE, _what_is_at(contacted, connection[1])
        case _:
            return StoreFailure.OTHER, f"HTTP {status}"


def _status(text: str) -> str:
    match = _STATUS.search(text)
    return match[1] if match else ""


def _contacted(text: str) -> SplitResult | None:
    match = _ASKED.search(text)
    return urlsplit(match[1]) if match else None


def _what_is_at(contacted: SplitResult | None, connection: str) -> str:
    """Why nothing came from the host of `contacted`, as far as a look at it tells.

    It is None where obstore hides the URL, which has the SAS token of Azure in it.
    """
    if contacted is None:
        return "no connection to the store" if connection == "Connect" else "no response from the store"
    host, port = contacted.hostname or "", contacted.port or (443 if contacted.scheme == "https" else 80)
    if connection != "Connect":
        return f"no response from {host}"
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return f"there is no host {host}"
    return f"no connection to {host}:{port}"


def _sentence(url: ObjectUrl, failure: StoreFailure, detail: str, verb: str) -> str:
    cannot = f"{url.shown} can't be {verb}"
    status = f" (HTTP {detail})" if detail else ""
    of_store = url.scheme in _VARIABLES
    noun = "container" if url.scheme == "az" else "bucket"
    variables = _VARIABLES.get(url.scheme, "")
    sentences = {
        StoreFailure.MISSING: f"{url.shown} is not there. Check the URL.",
        StoreFailure.NO_BUCKET: f"{url.scheme}://{url.bucket}: there is no such {noun}. Check the URL.",
        StoreFailure.NO_CREDENTIALS: f"{cannot}: the environment has no credentials. Set {variables};"
        f" for what is public, {_PUBLIC.get(url.scheme)}=true.",
        StoreFailure.DENIED: f"{cannot}: permission denied{status}. "
        + (f"Check {variables}, and what they may do." if of_store else "The URL needs access, or has expired."),
        StoreFailure.CHANGED: f"{url.shown} was replaced while it was being {verb}.",
        StoreFailure.EXISTS: f"{url.shown} is there already.",
        StoreFailure.OTHER_REGION: f"{cannot}: the bucket is in another region. Set AWS_REGION to it.",
        StoreFailure.UNREACHABLE: f"{cannot}: {detail}. Check the URL and the network"
        + (f" (and {_ENDPOINTS[url.scheme]}, where it is set)." if of_store else "."),
        StoreFailure.NO_RANGES: f"{cannot}: the server sends no parts of it.",
        StoreFailure.SETTINGS: f"{cannot}: the variables {_PREFIXES.get(url.scheme)}_* hold no settings of a store. Set"
        f" {variables}.",
        StoreFailure.NO_TLS: f"{cannot}: its endpoint is http:// and not on this machine. Use https://, or set"
        f" {_PREFIXES.get(url.scheme)}_ALLOW_HTTP=true.",
        StoreFailure.OTHER: f"{cannot}: {detail or 'the store answers what is no reply of a store'}. Try again later.",
    }
    return sentences[failure]
