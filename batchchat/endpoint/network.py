"""Network settings of the environment, proxy and CA, read once; and this process's limits on sockets.

aiohttp's `trust_env=True` would read the environment and netrc at each request, for 370-400 µs.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address, ip_network
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from batchchat.errors import UsageError
from batchchat.secret import Secret

__all__ = ["Proxy", "keepalive_socket", "own_file_limit", "proxy_for", "raise_file_limit", "tls_context"]

_KEEPALIVE_IDLE_S = 30  # NAT and load balancers forget idle connections after 60-350 s
_KEEPALIVE_INTERVAL_S = 10
_USER_TIMEOUT_MS = 60_000  # a peer that acknowledges nothing for this long is gone
_ENDS_IN_PORT = re.compile(r"^([^:]*|\[.*\]):[0-9]+$")  # `::1` does not
_OTHER_FILES = 256  # descriptors that are not connections: input, journal, libraries
_FEWEST_OTHER_FILES = 32  # where few are allowed at all
_MACOS_FILES = 10_240  # OPEN_MAX: macOS allows no more, though it says that there is no limit

resource: ModuleType | None
try:
    import resource
except ImportError:  # no such limits on this system
    resource = None


AddrInfo = tuple[socket.AddressFamily | int, socket.SocketKind | int, int, str, tuple[Any, ...]]
"""One result of `getaddrinfo`."""


class Proxy(NamedTuple):
    """A proxy's URL, with its password, which `repr` hides; `host` may be shown."""

    url: Secret
    password: Secret | None
    host: str


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for `url` by `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case."""
    target = urlsplit(url)
    variable = _variable(environ, f"{target.scheme}_proxy") or _variable(environ, "all_proxy")
    exempt = environ.get(_variable(environ, "no_proxy") or "", "")
    port = target.port or (443 if target.scheme == "https" else 80)
    if variable is None or _exempt(target.hostname or "", port, exempt):
        return None
    address = environ[variable].strip()
    if "://" not in address:
        address = f"http://{address}"
    try:
        proxy = urlsplit(address)
        usable = proxy.scheme in {"http", "https"} and bool(proxy.hostname) and proxy.port != 0
    except ValueError:  # reading `port` raises it
        usable = False
    if not usable:
        raise UsageError(
            f"{variable} names the proxy for {target.hostname} and is not an http:// or https:// address"
            f" (the value is not shown). Correct it, or add the host to NO_PROXY."
        )
    password = Secret(unquote(proxy.password)) if proxy.password else None
    return Proxy(Secret(address), password, proxy.hostname or "")


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    """Which of `name` and its upper case is a variable that is set; None for neither."""
    return next((variable for variable in (name, name.upper()) if environ.get(variable, "").strip()), None)


def _exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether `no_proxy` lists `host`, by curl's rules: a domain and subdomains, `*`, `host:port`, `10.0.0.0/8`."""
    for entry in (part.lower() for part in no_proxy.replace(",", " ").split()):
        name, _, entry_port = entry.rpartition(":") if _ENDS_IN_PORT.search(entry) else (entry, "", str(port))
        name = name.removeprefix("*").strip(".[]")
        if entry == "*" or (
            entry_port == str(port) and name and (f".{host}".endswith(f".{name}") or _inside(host, name))
        ):
            return True
    return False


def _inside(host: str, network: str) -> bool:
    try:
        return "/" in network and ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """A context that trusts the system's certificates, or those in `SSL_CERT_FILE`."""
    path = environ.get("SSL_CERT_FILE") or None
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(
            f"SSL_CERT_FILE is {path}, which can't be read as certificates: {error.strerror or error}."
        ) from error


def keepalive_socket(address: AddrInfo) -> socket.socket:
    """A TCP socket that detects a dead peer, for aiohttp's `socket_factory`."""
    family, kind, protocol = address[0], address[1], address[2]
    keepalive = socket.socket(family=family, type=kind, proto=protocol)
    keepalive.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for names, value in (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), _KEEPALIVE_IDLE_S),  # the second is macOS's
        (("TCP_KEEPINTVL",), _KEEPALIVE_INTERVAL_S),
        (("TCP_USER_TIMEOUT",), _USER_TIMEOUT_MS),
    ):
        option = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
        if option is not None:
            with suppress(OSError):  # a system that knows the name and refuses it: the attempt's own timeout is left
                keepalive.setsockopt(socket.IPPROTO_TCP, option, value)
    return keepalive


class _FileLimit:
    """The process's limit on open files while runs need it raised: they may overlap, and the last restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: dict[object, int] = {}
        self._before: tuple[int, int] | None = None

    def enter(self, run: object) -> None:
        with self._lock:
            if not self._connections and resource is not None:
                self._before = resource.getrlimit(resource.RLIMIT_NOFILE)
            self._connections[run] = 0

    def raise_for(self, run: object, connections: int) -> None:
        with self._lock:
            raise_file_limit(connections, sum(self._connections.values()) - self._connections[run])
            self._connections[run] = connections

    def leave(self, run: object) -> None:
        with self._lock:
            del self._connections[run]
            if not self._connections and resource is not None and self._before is not None:
                with suppress(OSError, ValueError):
                    resource.setrlimit(resource.RLIMIT_NOFILE, self._before)


_FILE_LIMIT = _FileLimit()


@contextmanager
def own_file_limit() -> Iterator[Callable[[int], None]]:
    """Give a function that allows this run so many connections, as `raise_file_limit`; at the end all is as before.

    Runs may overlap, in several threads: each has its connections beside those of the others.
    """
    run = object()
    _FILE_LIMIT.enter(run)
    try:
        yield partial(_FILE_LIMIT.raise_for, run)
    finally:
        _FILE_LIMIT.leave(run)


def raise_file_limit(connections: int, of_others: int = 0) -> None:
    """Allow this process `connections` sockets beside those `of_others`, the other runs that go on in it.

    Raises `UsageError` where the machine doesn't.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = None if hard == resource.RLIM_INFINITY else hard
    other_files = _other_files(allowed) + of_others
    needed = connections + other_files
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if allowed is None or allowed >= needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except (OSError, ValueError):
            allowed = max(soft, _MACOS_FILES)
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, allowed), hard))
    if allowed is not None and allowed < needed:
        raise UsageError(
            f"{connections:,} requests in flight need {needed:,} open files, and this machine allows {allowed:,}."
            f" Raise it (`ulimit -Hn {needed}`) or set `concurrency` to"
            f" {max(1, allowed - _other_files(allowed) - of_others):,} or less."
        )


def _other_files(allowed: int | None) -> int:
    """How many descriptors are kept for other things than connections, of those `allowed`."""
    if allowed is None or allowed >= 2 * _OTHER_FILES:
        return _OTHER_FILES
    return max(_FEWEST_OTHER_FILES, allowed // 2)
