"""What an exception of aiohttp means for the attempt it ended: a verdict, and words for the user."""

from __future__ import annotations

import errno
import os
import ssl

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong

from batchchat.core.attempt import Action, Billed, Scope, Verdict
from batchchat.core.conversation import ErrorKind

__all__ = ["TOO_LARGE", "describe", "is_undecodable", "judge_network_error"]


def _verdict(kind: ErrorKind, action: Action, scope: Scope, billed: Billed, *, instant: bool = False) -> Verdict:
    return Verdict(action, scope, billed, kind, instant=instant)


TOO_LARGE = _verdict(ErrorKind.TOO_LARGE, Action.FAIL_ROW, Scope.ROW, Billed.YES)
_UNREACHED = _verdict(ErrorKind.CONNECTION, Action.RETRY, Scope.ENDPOINT, Billed.NO)
_DROPPED = _verdict(ErrorKind.CONNECTION, Action.RETRY, Scope.ROW, Billed.MAYBE, instant=True)
_TIMED_OUT = _verdict(ErrorKind.TIMEOUT, Action.RETRY, Scope.ROW, Billed.MAYBE)
_NOT_HTTP = _verdict(ErrorKind.BAD_RESPONSE, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.MAYBE)
_NOT_TRUSTED = _verdict(ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.NO)

_NO_HOST = _verdict(ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, Scope.ENDPOINT, Billed.NO)
_PROXY_REFUSES = _verdict(ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, Scope.ENDPOINT, Billed.NO)
_SERVER_ERRORS = 500

_NOTHING_LISTENS = "nothing listens at {host}:{port}"
_UNDECODABLE = "{host} answered in an encoding that was not asked for, or in another than it says: {error}"
_LONG_HEADER = "{host} answered with a header that is longer than {max_header_kib} KiB"

# The first class that the exception is an instance of wins; aiohttp's classes precede the OSErrors they derive from.
_FAILURES: tuple[tuple[type[BaseException], Verdict, str], ...] = (
    (aiohttp.ClientConnectorCertificateError, _NOT_TRUSTED, "the certificate of {host} is not trusted: {error}"),
    (aiohttp.ClientConnectorSSLError, _NOT_TRUSTED, "no TLS connection to {host}: {error}"),
    (aiohttp.ClientConnectorDNSError, _NO_HOST, "{host} does not resolve"),
    (aiohttp.ClientProxyConnectionError, _UNREACHED, "the proxy {proxy} can't be reached: {error}"),
    (aiohttp.ClientHttpProxyError, _UNREACHED, "the proxy {proxy} refuses to connect to {host}: {error}"),
    (aiohttp.ClientConnectorError, _UNREACHED, "{host} can't be reached: {error}"),
    (aiohttp.ConnectionTimeoutError, _UNREACHED, "no connection to {host} within {connect_s:g} s"),
    (aiohttp.ServerDisconnectedError, _DROPPED, "{host} closed the connection without an answer"),
    (aiohttp.ClientResponseError, _NOT_HTTP, "{host} answered with something that is not HTTP: {error}"),
    (TimeoutError, _TIMED_OUT, "no answer within {total_s:g} s"),
    (aiohttp.ClientOSError, _DROPPED, "the connection to {host} broke: {error}"),
    (OSError, _DROPPED, "the connection to {host} broke: {error}"),
    (aiohttp.ClientError, _NOT_HTTP, "{error}"),
)


def judge_network_error(error: BaseException) -> tuple[Verdict, str]:
    """The verdict on an attempt that `error` ended, and a template for its words.

    The template has the host and port, the proxy, the error, times and sizes.
    """
    verdict, template = next((verdict, template) for kind, verdict, template in _FAILURES if isinstance(error, kind))
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status < _SERVER_ERRORS:
        return _PROXY_REFUSES, template  # it wants a password, or does not allow the host
    if verdict is _UNREACHED and not isinstance(error, aiohttp.ClientProxyConnectionError) and _is_refused(error):
        return verdict, _NOTHING_LISTENS
    if is_undecodable(error):
        return _NOT_HTTP, _UNDECODABLE
    return verdict, _LONG_HEADER if _has_cause(error, LineTooLong) else template


def is_undecodable(error: BaseException) -> bool:
    """Whether `error` is about the Content-Encoding of a response."""
    return _has_cause(error, ContentEncodingError)


def _is_refused(error: BaseException) -> bool:
    return getattr(getattr(error, "os_error", error), "errno", None) == errno.ECONNREFUSED


def _has_cause(error: BaseException, kind: type[BaseException]) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__
    return cause is not None


def describe(error: BaseException) -> str:
    """The message of `error`, without the object dump that aiohttp puts around it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refusal = error.certificate_error
        return getattr(refusal, "verify_message", "") or str(refusal)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"{error.status} {error.message}"
    if is_undecodable(error):
        cause = error if error.__cause__ is None else error.__cause__
        return getattr(cause, "message", "").partition(". Please install")[0]
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message  # aiohttp made its status up
    inner: object = getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLError):
        # aiohttp's own SSL errors are SSLErrors that lack what those have.
        reason: str | None = getattr(inner, "reason", None)
        return reason.replace("_", " ").lower() if reason else str(inner)
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)
    return str(inner) or type(inner).__name__
